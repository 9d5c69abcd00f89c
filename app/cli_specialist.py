"""``metier specialist``: named answerers, each for one business function."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- Typer resolves annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import open_catalog_only

if TYPE_CHECKING:
    from app.specialists import Specialist

specialist = typer.Typer(
    help="Named answerers, each for one business function.", no_args_is_help=True, rich_markup_mode=None
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@specialist.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Small letters, digits, dots, hyphens, underscores.")],
    source: Annotated[list[str] | None, typer.Option(help="Source it reads; may be repeated.")] = None,
    instructions: Annotated[str, typer.Option(help="What it is told before each question.")] = "",
    instructions_file: Annotated[
        Path | None, typer.Option(help="The same from a file in UTF-8.", exists=True, dir_okay=False)
    ] = None,
    generator: Annotated[str | None, typer.Option(help="reader, or the name of the server's generator.")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Passages that an answer may use.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least confidence for an answer, 0 to 1.")] = None,
    new_version: Annotated[bool, typer.Option("--new-version", help="Add a version to one that exists.")] = False,
) -> None:
    """Create a specialist, or a new version of one, which answers from now on."""
    from app import audit, specialists
    from app.cli_show import remark
    from app.errors import BadRequest
    from indexing.tables import LOCAL_PRINCIPAL_ID

    if instructions_file is not None:
        try:
            instructions = instructions_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadRequest(f"{instructions_file} cannot be read: {exc}.", remedy="Save it as UTF-8.") from exc
    wanted = specialists.Specialist(
        name=name,
        sources=tuple(source or ()),
        instructions=instructions,
        generator=generator,
        top_k=top_k,
        threshold=threshold,
    )
    with open_catalog_only() as catalog, catalog.transaction() as session:
        store = specialists.add_version if new_version else specialists.create_specialist
        made = store(session, wanted)
        audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.change", f"{made.name}@{made.version}")
    remark(f"Specialist {made.name}, version {made.version}. Ask it with `metier ask --specialist {made.name} …`.")


@specialist.command("calibrate")
def calibrate(
    name: Annotated[str, typer.Argument(help="Specialist that gets the threshold, in a new version.")],
    golden: Annotated[Path, typer.Argument(help="Golden set with answers, and with questions that have none.")],
    target: Annotated[float, typer.Option(min=0.001, max=0.9, help="Share of wrong answers that is accepted.")] = 0.05,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which threshold it would be.")] = False,
) -> None:
    """Find the threshold at which so few answers are wrong, on questions with known answers, and use it."""
    from dataclasses import replace

    from app import audit, specialists
    from app.calibration import calibrated
    from app.cli_open import load_settings, local_scope, open_parts, quiet_logs
    from app.cli_show import remark, run_progress
    from app.golden import read_golden
    from indexing.documents import Progress
    from indexing.tables import LOCAL_PRINCIPAL_ID

    quiet_logs("error")
    questions = read_golden(golden)
    with open_parts(load_settings()) as parts, run_progress("calibrate") as show:
        with parts.catalog.reading() as session:
            chosen = specialists.specialist(session, name)
        found = calibrated(
            questions,
            local_scope(parts.catalog),
            parts,
            chosen,
            target,
            progress=lambda done, total: show(Progress("ask", done, total)),
        )
        told = (
            f"Threshold {found.confidence:.3f}: {found.answered} of {found.asked} questions would be answered, "
            f"{found.wrong} of these wrongly; target {target:.0%} of the answers, kept with 90 % certainty."
        )
        if dry_run:
            remark(told)
            return
        with parts.catalog.transaction() as session:
            made = specialists.add_version(session, replace(chosen, threshold=found.confidence))
            audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.change", f"{made.name}@{made.version}")
    remark(f"{told} Specialist {made.name}, version {made.version}, answers with it.")


@specialist.command("list")
def list_specialists(as_json: Json = False) -> None:
    """List the specialists, each in the version that answers."""
    from app import specialists

    with open_catalog_only() as catalog, catalog.reading() as session:
        _show(specialists.specialists(session), as_json=as_json)


@specialist.command("show")
def show(name: str, as_json: Json = False) -> None:
    """Show all versions of one specialist, oldest first."""
    from app import specialists

    with open_catalog_only() as catalog, catalog.reading() as session:
        _show(specialists.versions(session, name), as_json=as_json)


@specialist.command("delete")
def delete(name: str) -> None:
    """Delete a specialist and all its versions; answers that it gave stay."""
    from app import audit, specialists
    from app.cli_show import remark
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        specialists.delete_specialist(session, name)
        audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.delete", name)
    remark(f"Deleted specialist {name}.")


def _show(found: list[Specialist], *, as_json: bool) -> None:
    from app.cli_show import print_json, table

    if as_json:
        print_json(found)
        return
    rows = [
        (s.name, s.version, ", ".join(s.sources) or "all", s.generator, s.top_k, s.threshold, s.instructions)
        for s in found
    ]
    columns = ("name", "version", "sources", "generator", "top_k", "threshold", "instructions")
    table(columns, rows, empty="No specialists.")
