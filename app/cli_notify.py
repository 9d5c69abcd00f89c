"""``metier notify``: whom to tell when something goes wrong, while ``metier serve`` runs."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli_open import load_settings, open_catalog_only, open_parts

notify = typer.Typer(
    help="Whom to tell when something goes wrong, while the server runs.", no_args_is_help=True, rich_markup_mode=None
)


@notify.command("list")
def list_targets(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False) -> None:
    """List the targets, and whether they can be told."""
    from app.cli_show import print_json, table
    from indexing import targets

    with open_catalog_only() as catalog, catalog.reading() as session:
        found = targets.targets(session)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            t.id,
            t.wanted.kind,
            t.wanted.address,
            ", ".join(t.wanted.events),
            f"{t.wanted.digest_minutes} minutes",
            f"FAILED {t.failed_in_row} times: {t.last_error}"
            if t.failed_in_row
            else (f"{t.last_sent_at:%Y-%m-%d %H:%M} UTC" if t.last_sent_at else "nothing sent yet"),
        )
        for t in found
    ]
    columns = ("number", "kind", "address", "events", "at most every", "last message")
    table(columns, rows, empty="Nobody is told. Add somebody with `metier notify add email ADDRESS --server …`.")


@notify.command("add")
def add(
    kind: Annotated[str, typer.Argument(help="webhook, email or slack.")],
    address: Annotated[str, typer.Argument(help="The webhook's address, an e-mail address, or a channel's id.")],
    server: Annotated[
        str | None,
        typer.Option(help="Of an e-mail: smtp://user@host:587, a @ in user as %40. Of Slack: the workspace's id."),
    ] = None,
    event: Annotated[list[str] | None, typer.Option(help="What to tell; may be repeated; all when absent.")] = None,
    digest_minutes: Annotated[int, typer.Option(min=1, max=10_080, help="At most one message in this time.")] = 15,
    secret: Annotated[
        str | None, typer.Option(help="Name of the secret that signs, or of the password; of a webhook: else made.")
    ] = None,
    language: Annotated[str, typer.Option(help="Of e-mails and messages in Slack: en or fr.")] = "en",
) -> None:
    """Tell somebody of what goes wrong from now on."""
    import secrets

    from app import notification_targets, signatures
    from app.cli_show import remark, say
    from indexing.notices import KINDS
    from indexing.secrets import store_secret
    from indexing.tables import LOCAL_PRINCIPAL_ID
    from indexing.targets import NewTarget

    settings = load_settings()
    made = kind == "webhook" and secret is None
    name = f"notify-{secrets.token_hex(4)}" if made else secret
    wanted = NewTarget(kind, address, server, tuple(event or KINDS), digest_minutes, name, language)
    with open_catalog_only(settings) as catalog:
        target = notification_targets.add_target(catalog, wanted, LOCAL_PRINCIPAL_ID)
    if made and name is not None:
        text = signatures.new_secret()
        store_secret(settings.data_dir, name, text)
        say(text)
        remark("This signs what is sent, and is shown this once. docs/notifications.md says how to check it.")
    remark(f"Added target {target.id}. Run `metier notify test {target.id}` to try it.")


@notify.command("remove")
def remove(number: int) -> None:
    """Tell this target nothing any more."""
    from app import notification_targets
    from app.cli_show import remark
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        notification_targets.remove_target(catalog, number, LOCAL_PRINCIPAL_ID)
    remark(f"Removed target {number}.")


@notify.command("test")
def test(number: int) -> None:
    """Send a message that tells nothing; exit code 1 when it does not arrive."""
    from app import notification_targets
    from app.cli_show import remark
    from app.notifying import attempt, carrier_of, trial
    from indexing.tables import LOCAL_PRINCIPAL_ID

    settings = load_settings()
    with open_parts(settings) as parts:
        target = notification_targets.target_to_try(parts.catalog, number, LOCAL_PRINCIPAL_ID)
        why = attempt(carrier_of(parts), trial(target))
    remark("It arrived." if why is None else f"It did not arrive: {why}")
    if why is not None:
        raise typer.Exit(1)
