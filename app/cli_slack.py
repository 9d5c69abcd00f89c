"""``metier slack``: the workspaces that the Slack bot is installed in."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli_open import load_settings, open_catalog_only

slack = typer.Typer(
    help="The Slack bot: `metier serve` runs it for each connected workspace.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Transport = Annotated[str, typer.Option(help="socket (no inbound port) or http.")]


@slack.command("connect")
def connect(
    transport: Transport = "socket",
    bot_secret: Annotated[str, typer.Option(help="Name of the secret: the Bot User OAuth Token.")] = "slack-bot",  # noqa: S107 -- a name
    app_secret: Annotated[str, typer.Option(help="Of Socket Mode: the App-Level Token.")] = "slack-app",  # noqa: S107 -- a name
    signing_secret: Annotated[str, typer.Option(help="Of HTTP: the Signing Secret.")] = "slack-signing",  # noqa: S107 -- a name
    domain: Annotated[
        list[str] | None, typer.Option(help="An e-mail domain of yours: who has such an address is linked by it.")
    ] = None,
    outsiders: Annotated[
        str, typer.Option(help="What guests and shared channels get: nothing, or public documents.")
    ] = "nothing",
    api_url: Annotated[str | None, typer.Option(help="Of another Slack, such as GovSlack.")] = None,
) -> None:
    """Connect the workspace that the bot's token is for, or connect it otherwise than before."""
    from app import audit
    from app.cli_show import remark
    from app.slack import connecting, store_workspaces
    from indexing.tables import LOCAL_PRINCIPAL_ID

    settings = load_settings()
    domains = tuple(sorted({each.lower() for each in domain or ()}))
    names = (bot_secret, app_secret, signing_secret)
    wanted = connecting.Wanted(transport, *names, domains, outsiders, api_url or connecting.API_URL)
    workspace = connecting.checked(settings, wanted)
    with open_catalog_only(settings) as catalog, catalog.transaction() as session:
        new = store_workspaces.connect(session, workspace)
        audit.record(session, LOCAL_PRINCIPAL_ID, "slack.connect", workspace.team_id)
    remark(f"{'Connected' if new else 'Changed'} {workspace.name} ({workspace.team_id}); `metier serve` serves it.")
    if transport == "http":
        remark(f"Slack must reach this server at https://…{connecting.EVENTS_PATH}.")


@slack.command("status")
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False) -> None:
    """Tell how each connected workspace is; exit code 1 when one cannot be served."""
    from app.cli_show import print_json, table
    from app.slack import connecting

    settings = load_settings()
    with open_catalog_only(settings) as catalog:
        found = connecting.conditions(catalog, settings)
    if as_json:
        print_json(found)
    else:
        rows = [
            (
                each.team_id,
                each.name,
                each.transport,
                f"{each.heard_at:%Y-%m-%d %H:%M:%S} UTC" if each.heard_at else "never",
                f"{each.waiting} wait, {each.working} at work, {each.failed} failed",
                "well" if each.trouble is None else f"NOT SERVED: {each.trouble}",
            )
            for each in found
        ]
        columns = ("workspace", "name", "transport", "last event", "jobs", "condition")
        table(columns, rows, empty="No workspace is connected. docs/slack.md says how; then `metier slack connect`.")
    if any(each.trouble is not None for each in found):
        raise typer.Exit(1)


@slack.command("disconnect")
def disconnect(
    team_id: Annotated[str, typer.Argument(help="The workspace, as `metier slack status` names it.")],
) -> None:
    """Serve the workspace no more, and forget what it has sent."""
    from app import audit
    from app.cli_show import remark
    from app.errors import NotFound
    from app.slack import store_inbox, store_workspaces
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        if not store_workspaces.disconnect(session, team_id):
            raise NotFound(f"No workspace {team_id} is connected.", remedy="`metier slack status` lists them.")
        store_inbox.forget_workspace(session, team_id)
        audit.record(session, LOCAL_PRINCIPAL_ID, "slack.disconnect", team_id)
    remark(f"Disconnected {team_id}. Uninstall the app in Slack too, so that its tokens end.")


@slack.command("manifest")
def manifest(
    transport: Transport = "socket",
    url: Annotated[str | None, typer.Option(help="Of HTTP: this server's https address.")] = None,
) -> None:
    """Print the manifest of the Slack app, to paste at https://api.slack.com/apps."""
    import sys

    from app.slack import connecting

    sys.stdout.write(connecting.manifest(transport, url))
