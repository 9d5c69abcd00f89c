"""``metier gate``, ``publish`` and ``specialist golden``: what may be served, by questions with known answers."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- Typer resolves annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_open import local_operator, open_catalog_only, open_parts, quiet_logs

if TYPE_CHECKING:
    from indexing.run_records import RunRecord
    from indexing.trial import Verdict

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
#: Questions that a report lists before it only counts; --json has all of them.
LISTED = 20


def gate(
    run: Annotated[int, typer.Argument(help="Id of a run, as `metier runs` lists it.")], as_json: Json = False
) -> None:
    """Show how the golden questions came out for what a run has read, compared with what was served."""
    from app.cli_show import print_json
    from app.errors import NotFound
    from indexing import runs

    with open_catalog_only() as catalog, catalog.reading() as session:
        found = runs.verdict(session, run)
    if found is None:
        raise NotFound(f"No gate was asked about run {run}.", remedy="`metier runs` lists the runs and their states.")
    if as_json:
        print_json({"run_id": run, "closes": found.closes, **found.report})
        return
    show_verdict(found)


def publish(
    source: Annotated[str, typer.Argument(help="Name of the source whose newest run is held.")],
    force: Annotated[bool, typer.Option("--force", help="Publish although the gate is closed.")] = False,
) -> None:
    """Serve what the newest run of a source holds, in spite of its gate."""
    from app.cli_show import remark
    from app.errors import BadRequest
    from app.gated import publish_held
    from app.places import source_named
    from indexing import runs
    from indexing.tables import LOCAL_PRINCIPAL_ID

    quiet_logs("warning")
    with open_parts() as parts:
        record = source_named(parts.catalog, source)
        with parts.catalog.reading() as session:
            run = _newest(runs.runs(session, record.id, 1), source)
            verdict = runs.verdict(session, run.id)
        if not force:
            if verdict is not None:
                show_verdict(verdict)
            raise BadRequest(
                f"The gate of {source} is closed; nothing was published.",
                remedy="`metier sync` asks it again; --force publishes all the same.",
            )
        with parts.catalog.transaction() as session:
            changed = publish_held(session, run, LOCAL_PRINCIPAL_ID)
        parts.index.publish()
    remark(f"Published what run {run.id} held: {changed} documents changed.")


def _newest(found: list[RunRecord], source: str) -> RunRecord:
    from app.errors import Conflict
    from indexing.runs import HELD

    if not found or found[0].state != HELD:
        raise Conflict(f"The newest run of {source} holds nothing.", remedy="`metier runs` lists the runs.")
    return found[0]


def golden(
    name: Annotated[str, typer.Argument(help="Name of the specialist; metier is the built-in one.")],
    file: Annotated[Path | None, typer.Argument(help="Golden set: JSON lines, or CSV.", show_default=False)] = None,
    tolerance: Annotated[float, typer.Option(min=0, max=1, help="Loss of a measure that is not minded.")] = 0.02,
    floor: Annotated[list[str] | None, typer.Option(help="NAME=NUMBER that must be reached; may be repeated.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Keep none: it guards nothing any more.")] = False,
    as_json: Json = False,
) -> None:
    """Keep a golden set with a specialist, so that it guards its sources; without a file, show what is kept."""
    from app import audit, specialists_golden
    from app.cli_show import print_json, remark, say
    from app.gate import parse_floors
    from app.golden import read_golden
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        if file is None and not remove:
            with catalog.reading() as session:
                kept = specialists_golden.kept(session, name)
            if as_json:
                print_json(kept)
                return
            floors = ", ".join(f"{figure}={limit:g}" for figure, limit in kept.floors.items()) or "none"
            count = len(kept.golden.questions)
            say(f"{kept.golden.name}: {count} questions, tolerance {kept.tolerance:g}, floors: {floors}")
            return
        me = local_operator(catalog)
        with catalog.transaction() as session:
            if file is None:
                done = "It guards nothing now." if specialists_golden.forget(session, name) else "There was none."
            else:
                wanted, limits = read_golden(file), parse_floors(floor or ())
                specialists_golden.keep(session, me, name, wanted, tolerance=tolerance, floors=limits)
                done = f"{len(wanted.questions)} questions guard the sources of {name} from the next run on."
            audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.golden", name)
    remark(done)


def show_verdict(verdict: Verdict) -> None:
    """Print what a gate said, specialist by specialist: the measures, then the questions that got worse."""
    from app.cli_show import say

    for each in verdict.report.get("specialists", ()):
        _show_result(each)
    say("The gate is closed." if verdict.closes else "The gate is open.")


def _show_result(result: dict[str, Any]) -> None:
    from app.cli_show import remark, say, table
    from app.evaluation_report import number

    say(f"{result['specialist']}, version {result['version']}: {result['golden']}, {result['questions']} questions")
    if result["error"]:
        say(f"  {result['error']}")
        return
    rows = [
        (
            each["label"],
            number(each["before"]),
            number(each["after"]),
            "–" if each["difference"] is None else f"{each['difference']:+.3f}",
            "closes" if each["closes"] else ("holds" if each["gated"] else ""),
        )
        for each in result["measures"]
    ]
    table(("measure", "before", "after", "difference", "gate"), rows, empty="")
    for floor in result["floors"]:
        holds = "holds" if floor["holds"] else "is broken"
        say(f"{floor['name']} {number(floor['value'])}: the limit {floor['limit']:g} {holds}.")
    for warning in result["warnings"]:
        remark(f"Warning: {warning}")
    say(f"{len(result['worse'])} questions got worse, {len(result['better'])} better.")
    for each in result["worse"][:LISTED]:
        say(f"  - {each['id']}: {' '.join(each['question'].split())} ({'; '.join(each['reasons'])})")
        for place in each["documents"]:
            if place["before"] != place["after"]:
                say(f"      {place['document']}: {_place(place['before'])} → {_place(place['after'])}")
    if len(result["worse"]) > LISTED:
        say(f"  … and {len(result['worse']) - LISTED} more; --json lists them.")


def _place(place: int | None) -> str:
    return "not found" if place is None else f"place {place}"
