"""``metier specialist``: named answerers, each for one business function."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 -- Typer resolves annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import local_operator, open_catalog_only

if TYPE_CHECKING:
    from app.specialists import Specialist
    from app.specialists_access import SpecialistExplanation, Which

specialist = typer.Typer(
    help="Named answerers, each for one business function.", no_args_is_help=True, rich_markup_mode=None
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Name = Annotated[str, typer.Argument(help="Name of the specialist.")]
Names = Annotated[list[str], typer.Argument(help="Who: names of users, services, groups, or everyone.")]


@specialist.command("create")
def create(  # noqa: PLR0913, PLR0917 -- a command's options are its parameters
    name: Annotated[str, typer.Argument(help="Small letters, digits, dots, hyphens, underscores.")],
    source: Annotated[list[str] | None, typer.Option(help="Source it reads; may be repeated.")] = None,
    instructions: Annotated[str, typer.Option(help="What it is told before each question.")] = "",
    instructions_file: Annotated[
        Path | None, typer.Option(help="The same from a file in UTF-8.", exists=True, dir_okay=False)
    ] = None,
    generator: Annotated[str | None, typer.Option(help="reader, or the name of the server's generator.")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Passages that an answer may use.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least confidence for an answer, 0 to 1.")] = None,
    asker: Annotated[list[str] | None, typer.Option(help="Who may ask a new one, besides you; repeatable.")] = None,
    audience: Annotated[str, typer.Option(help="Of a new one. public: answer from what everyone may read.")] = "asker",
    new_version: Annotated[bool, typer.Option("--new-version", help="Add a version to one that exists.")] = False,
) -> None:
    """Create a specialist, or a new version of one, which answers from now on."""
    from app import audit, specialists, specialists_access
    from app.cli_show import remark
    from app.errors import BadRequest
    from indexing.tables import LOCAL_PRINCIPAL_ID

    if new_version and (asker or audience != "asker"):
        remedy = "Use `metier specialist grant` and `metier specialist audience`."
        raise BadRequest("Who may ask and the audience belong to the specialist, not to a version.", remedy=remedy)
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
        audience=audience,
    )
    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.transaction() as session:
            if new_version:
                made = specialists.add_version(session, me, wanted)
            else:
                askers = specialists_access.known(session, asker or ())
                made = specialists.create_specialist(session, me, wanted, askers)
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
    from app.cli_open import load_settings, open_parts, quiet_logs
    from app.cli_show import remark, run_progress
    from app.golden import read_golden
    from indexing.documents import Progress
    from indexing.tables import LOCAL_PRINCIPAL_ID

    quiet_logs("error")
    questions = read_golden(golden)
    with open_parts(load_settings()) as parts, run_progress("calibrate") as show:
        me = local_operator(parts.catalog)
        with parts.catalog.reading() as session:
            chosen = specialists.specialist(session, me, name)
        found = calibrated(
            questions,
            me.scope,
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
            made = specialists.add_version(session, me, replace(chosen, threshold=found.confidence))
            audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.change", f"{made.name}@{made.version}")
    remark(f"{told} Specialist {made.name}, version {made.version}, answers with it.")


@specialist.command("list")
def list_specialists(as_json: Json = False) -> None:
    """List the specialists, each in the version that answers."""
    from app import specialists

    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.reading() as session:
            found = specialists.specialists(session, me)
    _show(found, as_json=as_json)


@specialist.command("show")
def show(name: Name, as_json: Json = False) -> None:
    """Show all versions of one specialist, oldest first."""
    from app import specialists

    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.reading() as session:
            found = specialists.versions(session, me, name)
    _show(found, as_json=as_json)


@specialist.command("delete")
def delete(name: Name) -> None:
    """Delete a specialist and all its versions; answers that it gave stay."""
    from app import audit, specialists
    from app.cli_show import remark
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.transaction() as session:
            specialists.delete_specialist(session, me, name)
            audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.delete", name)
    remark(f"Deleted specialist {name}.")


# --- who may ask and change it --------------------------------------------------------------------------------


@specialist.command("grant")
def grant(name: Name, who: Names) -> None:
    """Let users, services, groups or everyone ask a specialist, from the next question on."""
    _change_list(name, "askers", who, off=False)


@specialist.command("revoke")
def revoke(name: Name, who: Names) -> None:
    """Let them ask it no more, from the next question on."""
    _change_list(name, "askers", who, off=True)


@specialist.command("curator")
def curator(
    name: Name,
    who: Names,
    remove: Annotated[bool, typer.Option("--remove", help="They are curators no more.")] = False,
) -> None:
    """Make them curators: they may add and promote versions of it and say who may ask it, without being operator."""
    _change_list(name, "curators", who, off=remove)


@specialist.command("audience")
def audience(
    name: Name, to: Annotated[str, typer.Argument(help="asker, or public: answer from what everyone may read only.")]
) -> None:
    """Say who gets to see its answers: who asks, or everybody."""
    from app import audit
    from app.cli_show import remark
    from app.specialists_access import change_access
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.transaction() as session:
            change_access(session, me, name, audience=to)
            audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.access", name)
    remark(f"{name} answers from {_FROM[to]}.")


_FROM = {"asker": "what the asker may read", "public": "what everyone may read, whoever asks"}


@specialist.command("access")
def show_access(name: Name, as_json: Json = False) -> None:
    """Show who may ask a specialist, who curates it, and its audience."""
    from app.cli_show import print_json, say
    from app.specialists_access import access

    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.reading() as session:
            found = access(session, me, name)
    if as_json:
        print_json(found)
        return
    say(f"May ask {name}: {_listed(found.askers)}. Curators: {_listed(found.curators)}. Operators may do both.")
    say(f"It answers from {_FROM[found.audience]}.")


@specialist.command("explain")
def explain(
    who: Annotated[str, typer.Argument(help="Who: a name; issuer|name for one of an identity provider.")],
    name: Name,
    as_json: Json = False,
) -> None:
    """Say whether somebody may ask and change a specialist, and through which group."""
    from app import people, specialists_access
    from app.cli_show import print_json, say

    with open_catalog_only() as catalog, catalog.reading() as session:
        found = specialists_access.explain(session, people.principal(session, who), name)
    if as_json:
        print_json(found)
        return
    say(_explained(who, found))


def _explained(who: str, found: SpecialistExplanation) -> str:
    if found.suspended:
        return f"{who} may not ask {found.specialist}: {who} is suspended."
    if not found.may_ask:
        lists = f"May ask it: {_listed(found.askers)}. Curators: {_listed(found.curators)}."
        return f"{who} may not ask {found.specialist}. {lists}"
    may = "ask and change" if found.may_change else "ask"
    return f"{who} may {may} {found.specialist}, through: {', '.join(found.through)}."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nobody"


def _change_list(name: str, which: Which, who: list[str], *, off: bool) -> None:
    from app import audit
    from app.cli_show import remark
    from app.specialists_access import put_on_list, take_off_list
    from indexing.tables import LOCAL_PRINCIPAL_ID

    change = take_off_list if off else put_on_list
    with open_catalog_only() as catalog:
        me = local_operator(catalog)
        with catalog.transaction() as session:
            found = change(session, me, name, which, who)
            audit.record(session, LOCAL_PRINCIPAL_ID, "specialist.access", name)
    remark(f"May ask {name}: {_listed(found.askers)}. Curators: {_listed(found.curators)}.")


def _show(found: list[Specialist], *, as_json: bool) -> None:
    from app.cli_show import print_json, table

    if as_json:
        print_json(found)
        return
    rows = [
        (
            s.name,
            s.version,
            ", ".join(s.sources) or "all",
            s.generator,
            s.top_k,
            s.threshold,
            s.audience,
            s.instructions,
        )
        for s in found
    ]
    columns = ("name", "version", "sources", "generator", "top_k", "threshold", "audience", "instructions")
    table(columns, rows, empty="No specialists.")
