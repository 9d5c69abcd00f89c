"""``metier sources``: which folders, web sites and push sources documents come from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import load_settings, local_scope, open_catalog_only

if TYPE_CHECKING:
    from indexing.documents import SourceRecord

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
                    "hidden": is_stale(s.acl_synced_at, s.acl_max_age_minutes),
                }
                for s in found
            ]
        )
        return
    rows = [
        (s.name, s.kind, s.location, counts[s.id].documents, run.state if run else "never run", _permissions(s))
        for s in found
        for run in (last[s.id],)
    ]
    columns = ("name", "kind", "location", "documents", "last run", "permissions")
    table(columns, rows, empty="No sources yet. Add one with `metier sources add NAME FOLDER`.")


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
    location: Annotated[str, typer.Argument(help="Folder; of --kind web an address; nothing for push.")] = "",
    kind: Annotated[
        str, typer.Option(help="folder, web (a site), or push: documents come through the REST API.")
    ] = "folder",
) -> None:
    """Add a source. Nothing is read before `metier sync`."""
    from app.cli_show import remark
    from app.places import add_source

    with open_catalog_only() as catalog:
        made = add_source(catalog, name, kind, location)
    what = f": {made.location}" if made.location else ""
    remark(f"Added source {made.name}{what}. Run `metier sync {made.name}` to index it.")


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
