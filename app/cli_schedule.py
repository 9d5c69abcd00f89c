"""``metier schedule``: when sources are synchronised by themselves, while ``metier serve`` runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import open_catalog_only
from app.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from indexing.documents import SourceRecord
    from indexing.schedules import Schedule

schedule = typer.Typer(
    help="When sources are synchronised by themselves, while the server runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@schedule.command("list")
def list_schedules(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False) -> None:
    """List the schedules, the next run first."""
    from app.cli_show import print_json, table
    from indexing import runs, schedules, store

    with open_catalog_only() as catalog, catalog.reading() as session:
        found = list(schedules.schedules(session).values())
        names = {source.id: source.name for source in store.sources(session)}
        asks = {source.id: source.asks for source in store.sources(session)}
        last = {s.source_id: next(iter(runs.runs(session, s.source_id, limit=1)), None) for s in found}
    if as_json:
        print_json(
            [
                {"source": names[s.source_id], "schedule": s, "last_run": last[s.source_id], "asks": asks[s.source_id]}
                for s in found
            ]
        )
        return
    rows = [
        (
            names[s.source_id],
            s.timing.cron,
            s.timing.timezone,
            "paused" if s.paused else f"{s.next_at:%Y-%m-%d %H:%M} UTC",
            "ASKS: `metier sources list` says what"
            if asks[s.source_id]
            else f"{run.state}, {run.started_at:%Y-%m-%d %H:%M} UTC"
            if run
            else "never run",
        )
        for s in found
        for run in (last[s.source_id],)
    ]
    empty = 'No schedules yet. Set one with `metier schedule set SOURCE "0 6 * * *"`.'
    table(("source", "cron", "time zone", "next run", "last run"), rows, empty=empty)


@schedule.command("set")
def set_schedule(
    name: Annotated[str, typer.Argument(help="The source.")],
    cron: Annotated[str, typer.Argument(help='Five fields, such as "0 6 * * 1-5": six o’clock on working days.')],
    timezone: Annotated[str, typer.Option(help="Time zone of the schedule, such as Europe/Paris.")] = "UTC",
    jitter_minutes: Annotated[int, typer.Option(min=0, max=1440, help="Begin so many minutes later at most.")] = 0,
    quiet: Annotated[str, typer.Option(help="Hours in which nothing begins, such as 08:00-18:00.")] = "",
) -> None:
    """Synchronise a source by itself at these times; takes the place of an earlier schedule."""
    from app import audit
    from app.cli_show import remark
    from app.places import source_named
    from indexing import schedules
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        source = source_named(catalog, name)
        timing = schedules.Timing(cron, timezone, jitter_minutes * 60, quiet)
        with catalog.transaction() as session:
            made = schedules.set_schedule(session, source.id, timing)
            audit.record(session, LOCAL_PRINCIPAL_ID, "source.schedule", source.id)
    remark(f"{name} is synchronised next at {made.next_at:%Y-%m-%d %H:%M} UTC, if the server runs then, or else later.")


@schedule.command("pause")
def pause(name: str) -> None:
    """Keep the schedule of a source, and begin nothing until `metier schedule resume`."""
    from app.cli_show import remark

    _set_paused(name, paused=True)
    remark(f"The schedule of {name} is paused.")


@schedule.command("resume")
def resume(name: str) -> None:
    """Go on with a schedule that was paused; what was missed is not made up for."""
    from app.cli_show import remark

    made = _set_paused(name, paused=False)
    remark(f"{name} is synchronised next at {made.next_at:%Y-%m-%d %H:%M} UTC.")


@schedule.command("remove")
def remove(name: str) -> None:
    """Synchronise a source only when somebody asks for it."""
    from app import audit
    from app.cli_show import remark
    from app.places import source_named
    from indexing import schedules
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        source = source_named(catalog, name)
        with catalog.transaction() as session:
            _schedule_of(session, source)
            schedules.remove_schedule(session, source.id)
            audit.record(session, LOCAL_PRINCIPAL_ID, "source.schedule", source.id)
    remark(f"{name} has no schedule any more.")


def _set_paused(name: str, *, paused: bool) -> Schedule:
    from app import audit
    from app.places import source_named
    from indexing import schedules
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        source = source_named(catalog, name)
        with catalog.transaction() as session:
            timing = _schedule_of(session, source).timing
            made = schedules.set_schedule(session, source.id, timing, paused=paused)
            audit.record(session, LOCAL_PRINCIPAL_ID, "source.schedule", source.id)
            return made


def _schedule_of(session: Session, source: SourceRecord) -> Schedule:
    from indexing import schedules

    found = schedules.schedules(session).get(source.id)
    if found is None:
        raise NotFound(f"The source {source.name} has no schedule.", remedy="`metier schedule list` shows them.")
    return found
