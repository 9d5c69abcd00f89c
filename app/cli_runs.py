"""``metier runs``: what synchronisation did and does, why a run is as it is, and stopping it or going on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import open_catalog_only, open_parts, quiet_logs
from app.cli_sync import Json, interruptible, run_once

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from indexing.run_records import RunRecord

runs = typer.Typer(
    help="List the latest runs, or show, explain, cancel and resume one.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most runs to list.")]
Number = Annotated[int, typer.Argument(metavar="RUN", min=1, max=2**63 - 1, help="Its number in `metier runs`.")]


@runs.callback()
def bare(context: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List the latest runs, newest first; its commands show, explain, cancel and resume one."""
    if context.invoked_subcommand is None:
        list_runs(None, limit, as_json)


@runs.command("list")
def list_runs(
    name: Annotated[str | None, typer.Argument(help="Name of a source; all sources when absent.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List the latest runs, newest first."""
    from app.cli_show import print_json, table
    from app.places import source_named
    from indexing import runs as stored

    with open_catalog_only() as catalog:
        source_id = None if name is None else source_named(catalog, name).id
        with catalog.reading() as session:
            found = stored.runs(session, source_id=source_id, limit=limit)
    if as_json:
        print_json(found)
        return
    counted = ("added", "changed", "deleted", "failed")
    rows = [(r.id, r.source, r.state, r.started_at, *(r.report.get(c, 0) for c in counted), r.error) for r in found]
    table(("run", "source", "state", "started", *counted, "error"), rows, empty="No runs yet.")


@runs.command("show")
def show(number: Number) -> None:
    """Print everything that is stored of a run, as JSON."""
    from app.cli_show import print_json

    with open_catalog_only() as catalog, catalog.reading() as session:
        print_json(_run(session, number))


@runs.command("explain")
def explain(number: Number, as_json: Json = False) -> None:
    """Say what a run does, where its time went, and why it is slow, stuck, waiting or failed."""
    from app.cli_show import print_json, say
    from indexing import runs_history
    from indexing.explain import explain as explained

    with open_catalog_only() as catalog, catalog.reading() as session:
        run = _run(session, number)
        lines = explained(run, runs_history.around(session, run))
    if as_json:
        print_json(lines)
        return
    for line in lines:
        say(line.text)


@runs.command("cancel")
def cancel(number: Number) -> None:
    """Ask a run to stop, in whichever process it goes on; what it stored stays."""
    from app import audit
    from app.cli_show import remark
    from app.errors import Conflict
    from indexing import runs_live
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        with catalog.reading() as session:
            run = _run(session, number)
        with catalog.transaction() as session:
            if not runs_live.ask_to_cancel(session, number):
                remedy = f"`metier runs explain {number}` says how it ended."
                raise Conflict(f"Run {number} has ended.", remedy=remedy)
            audit.record(session, LOCAL_PRINCIPAL_ID, "run.cancel", number)
    remark(f"Run {number} of {run.source} ends after the documents that are being read.")


@runs.command("resume")
def resume(number: Number, as_json: Json = False) -> None:
    """Go on where a run stopped: the next run of its source, which reads only what is not stored yet."""
    from app.cli_show import print_json
    from app.errors import Conflict
    from app.places import source_named

    quiet_logs("warning")
    with open_parts() as parts, interruptible() as stop:
        with parts.catalog.reading() as session:
            run = _run(session, number)
        if run.state == "succeeded":
            raise Conflict(
                f"Run {number} succeeded: there is nothing to go on with.", remedy="`metier sync` runs anew."
            )
        source = source_named(parts.catalog, run.source)
        report = run_once(parts, source, stop, confirm_deletions=False, quiet=as_json)
        if as_json:
            print_json(report)
    if report.state != "succeeded":
        raise typer.Exit(1)


def _run(session: Session, number: int) -> RunRecord:
    """Return the run. Raises NotFound, saying why there may be none any more."""
    from app.errors import NotFound
    from indexing import runs as stored

    found = stored.run(session, number)
    if found is None:
        remedy = "`metier runs` lists them; a run goes with its source, and after 90 days if not among the last ten."
        raise NotFound(f"There is no run {number}.", remedy=remedy)
    return found
