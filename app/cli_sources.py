"""``metier sources``: which folders, web sites and push sources documents come from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import load_settings, local_scope, open_catalog_only

if TYPE_CHECKING:
    from indexing.documents import SourceRecord
    from indexing.run_records import RunRecord

sources = typer.Typer(help="Places that documents come from.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@sources.command("list")
def list_sources(as_json: Json = False) -> None:
    """List the sources, each with its number of documents."""
    from app.cli_show import print_json, table
    from indexing import runs, store
    from indexing.store_lists import is_stale

    with open_catalog_only() as catalog:
        scope = local_scope(catalog)
        with catalog.reading() as session:
            found = store.sources(session)
            counts = {s.id: store.counts(session, scope, source_id=s.id) for s in found}
            last = {s.id: next(iter(runs.runs(session, source_id=s.id, limit=1)), None) for s in found}
    if as_json:
        print_json(
            [
                {
                    "id": s.id,
                    "name": s.name,
                    "kind": s.kind,
                    "location": s.location,
                    "documents": counts[s.id].documents,
                    "chunks": counts[s.id].chunks,
                    "last_run": last[s.id],
                    "permissions_synced_at": s.acl_synced_at,
                    "permissions_max_age_minutes": s.acl_max_age_minutes,
                    "asks": s.asks,
                    "hidden": is_stale(s.acl_synced_at, s.acl_max_age_minutes),
                }
                for s in found
            ]
        )
        return
    rows = [
        (s.name, s.kind, s.location, counts[s.id].documents, _last_run(s, run), _permissions(s))
        for s in found
        for run in (last[s.id],)
    ]
    columns = ("name", "kind", "location", "documents", "last run", "permissions")
    table(columns, rows, empty="No sources yet. Add one with `metier sources add NAME FOLDER`.")


def _last_run(source: SourceRecord, run: RunRecord | None) -> str:
    if source.asks:
        return f"ASKS: {source.asks}"
    return run.state if run else "never run"


def _permissions(source: SourceRecord) -> str:
    from indexing.store_lists import is_stale

    if not source.acl_max_age_minutes:
        return "of the last run"
    limit = f"{source.acl_max_age_minutes} minutes"
    return (
        f"HIDDEN: older than {limit}"
        if is_stale(source.acl_synced_at, source.acl_max_age_minutes)
        else f"at most {limit} old"
    )


@sources.command("max-age")
def max_age(
    name: str,
    minutes: Annotated[int, typer.Argument(min=0, max=527_040, help="Minutes; 0 never hides.")],
) -> None:
    """Hide a source's documents while its permissions are older than so many minutes; a complete run renews them."""
    from app.cli_show import remark
    from app.places import source_named
    from indexing.grants import set_max_age

    with open_catalog_only() as catalog:
        source = source_named(catalog, name)
        with catalog.transaction() as session:
            set_max_age(session, source.id, minutes)
    remark(
        f"{name} is hidden while its permissions are older than {minutes} minutes."
        if minutes
        else f"{name} is never hidden."
    )


@sources.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Short name, shown with each citation.")],
    location: Annotated[str, typer.Argument(help="A folder; of other kinds, what `metier sources kinds` says.")] = "",
    kind: Annotated[str, typer.Option(help="What it is: `metier sources kinds` lists them.")] = "folder",
    option: Annotated[list[str] | None, typer.Option(help="NAME=TEXT, as its kind takes it; may be repeated.")] = None,
    secret: Annotated[str | None, typer.Option(help="Name of a secret that `metier sources secret` stored.")] = None,
) -> None:
    """Add a source. Nothing is read before `metier sync`."""
    from app.cli_show import remark
    from app.errors import BadRequest
    from app.places import NewSource, add_source

    options = dict(each.split("=", 1) for each in option or () if "=" in each)
    if len(options) != len(option or ()):
        raise BadRequest("An option is not NAME=TEXT, or is given twice.", remedy="Write --option branch=main.")
    with open_catalog_only() as catalog:
        made = add_source(catalog, NewSource(name, kind, location, options, secret))
    what = f": {made.location}" if made.location else ""
    remark(f"Added source {made.name}{what}. Run `metier sync {made.name}` to index it.")


@sources.command("kinds")
def kinds(as_json: Json = False) -> None:
    """List the kinds of source, each with its location, options and secret."""
    from app.cli_show import print_json, remark, say
    from indexing.errors import SourceError
    from indexing.sources import kind_called, kind_names

    found, broken = {}, []
    for name in kind_names():
        try:
            found[name] = kind_called(name)
        except SourceError as exc:  # of another package: it hides none of the others
            broken.append(str(exc))
    if as_json:
        print_json(
            [{"name": n, "location": k.about, "options": k.options, "secret": k.secret} for n, k in found.items()]
        )
        return
    for name, kind in found.items():
        say(f"{name}: {kind.about}")
        for option, about in kind.options.items():
            say(f"  --option {option}=…  {about}")
        if kind.secret:
            say(f"  --secret NAME  {kind.secret}")
    for line in broken:
        remark(line)


@sources.command("secret")
def secret(name: Annotated[str, typer.Argument(help="Name of the secret, for `metier sources add --secret`.")]) -> None:
    """Store a password or token for sources, read from the keyboard or from a pipe."""
    from app.cli_show import remark
    from app.errors import BadRequest
    from indexing.secrets import check_secret_name, store_secret

    check_secret_name(name)
    given = (typer.prompt("Secret", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not given:
        raise BadRequest("No secret was given.", remedy="Type it, or pipe it in.")
    remark(f"Stored in {store_secret(load_settings().data_dir, name, given)}; only this user may read it.")


@sources.command("hook")
def hook(
    name: str,
    secret: Annotated[
        str | None, typer.Option(help="Name of a secret that is there already, instead of a new one.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Let nobody in any more.")] = False,
) -> None:
    """Let an outside system say that a source has changed: print the address, and the secret that it signs with."""
    from app import audit, signatures
    from app.cli_show import remark, say
    from app.places import source_named
    from indexing import triggers
    from indexing.secrets import read_secret, store_secret
    from indexing.tables import LOCAL_PRINCIPAL_ID

    settings = load_settings()
    with open_catalog_only(settings) as catalog:
        source = source_named(catalog, name)
        made = None
        if not remove and secret is None:
            secret, made = f"hook-{source.id}", signatures.new_secret()
            store_secret(settings.data_dir, secret, made)
        elif secret is not None:
            signatures.check_strength(read_secret(settings.secret_folders, secret))
        with catalog.transaction() as session:
            if remove or secret is None:
                triggers.remove_hook(session, source.id)
            else:
                triggers.set_hook(session, source.id, secret)
            audit.record(session, LOCAL_PRINCIPAL_ID, "source.hook", source.id)
    if remove:
        remark(f"{name} has no hook any more.")
        return
    base = (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")
    say(f"{base}/v1/sources/{source.id}/hook")
    if made is not None:
        say(made)
        remark("The secret is shown this once. docs/sources.md says how to sign with it.")


@sources.command("remove")
def remove(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Remove a source and all that was indexed from it; the files of a folder stay as they are."""
    from app import audit
    from app.cli_show import remark
    from app.errors import Conflict
    from app.places import source_named
    from indexing import store
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only(load_settings()) as catalog:
        source = source_named(catalog, name)
        if source.kind == "push" and not yes:
            only_copy = f"{name} holds the only copy of the documents pushed to it"
            if not sys.stdin.isatty():
                raise Conflict(f"{only_copy}.", remedy="Add --yes to remove them all.")
            typer.confirm(f"{only_copy}. Remove them all?", abort=True)
        with catalog.transaction() as session:
            gone = store.remove_source(session, source.id)
            audit.record(session, LOCAL_PRINCIPAL_ID, "source.remove", source.id)
    remark(f"Removed source {name} and its {gone} documents from the index.")
