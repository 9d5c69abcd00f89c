"""``metier evaluate``: figures on a golden set, compared with earlier ones, as a gate.

Exit codes: 0 the gate is open (or there is none), 1 it is closed, 2 nothing was compared: wrong usage, a golden set or
an earlier result that cannot be used, or questions that could not be asked.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_open import load_settings, local_scope, local_specialist, open_parts, quiet_logs

if TYPE_CHECKING:
    from app.evaluate import Evaluation
    from app.gate import Comparison, Floor
    from app.golden import GoldenSet
    from app.parts import Parts
    from app.specialists import Specialist

WORSE_SHOWN = 20  # questions; the JSON and HTML results have more
DOCUMENTS_READ = 2000  # that questions are made from, evenly spaced: enough for any set that a person would look at
_PAGE = 1000
_CLOSED, _UNUSABLE = 1, 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options ask for."""

    golden: Path
    json_file: Path | None = None
    html_file: Path | None = None
    against: Path | None = None
    tolerance: float = 0.02
    floors: tuple[str, ...] = ()
    limit: int | None = None
    curve: bool = True


Out = Annotated[Path | None, typer.Option("--json", help="Write the whole result here; - prints it.")]
Count = Annotated[int, typer.Option(min=1, max=10_000, help="Questions that --make makes.")]
Number = Annotated[int | None, typer.Option(min=1, help="Ask about so many questions, evenly spaced.")]


def evaluate(  # noqa: PLR0913, PLR0917 -- a command's options are its parameters
    golden: Annotated[Path | None, typer.Argument(help="Golden set: JSON lines, or CSV.", show_default=False)] = None,
    json_file: Out = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report with plots here.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Earlier result (--json) that this one must not be below.")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, max=1, help="Loss of a measure that is not minded.")] = 0.02,
    floor: Annotated[list[str] | None, typer.Option(help="NAME=NUMBER that must be reached; may be repeated.")] = None,
    specialist: Annotated[str | None, typer.Option(help="Name of the specialist that answers.")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, max=50, help="Passages an answer may use.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Least confidence for an answer.")] = None,
    generator: Annotated[str | None, typer.Option(help="reader, or the name of the generator in use.")] = None,
    limit: Number = None,
    curve: Annotated[bool, typer.Option(help="Ask refused questions again, for the whole risk-coverage curve.")] = True,
    make: Annotated[Path | None, typer.Option(help="Make questions from the documents, write them, stop.")] = None,
    count: Count = 100,
    seed: Annotated[int, typer.Option(help="Of what --make draws.")] = 0,
) -> None:
    """Measure answers on a golden set; exit code 1 when they got worse, or are below a floor."""
    from app.cli_show import remark
    from app.errors import BadRequest
    from indexing.errors import IndexingError

    quiet_logs("error")
    changed = {"top_k": top_k, "threshold": threshold, "generator": generator}
    try:
        if make is not None:
            _make(make, count, seed)
            return
        if golden is None:
            raise BadRequest("There is no golden set.", remedy="Name one, or make one with --make FILE.")
        _require_writable(json_file, html_file, against)
        closed = _evaluate(
            Wanted(golden, json_file, html_file, against, tolerance, tuple(floor or ()), limit, curve),
            specialist,
            {name: value for name, value in changed.items() if value is not None},
        )
    except IndexingError as exc:  # not exit code 1: a gate that could not be looked at is not a closed one
        remark("Error: " + " ".join(f"{exc.message} {exc.remedy}".split()))
        raise typer.Exit(_UNUSABLE) from exc
    if closed:
        raise typer.Exit(_CLOSED)


def _evaluate(wanted: Wanted, specialist: str | None, changed: dict[str, Any]) -> bool:
    with open_parts(load_settings()) as parts:
        return evaluated(wanted, parts, replace(local_specialist(parts.catalog, specialist), **changed))


def evaluated(wanted: Wanted, parts: Parts, chosen: Specialist) -> bool:
    """Evaluate, print and write everything; return whether the gate is closed. Raises BadRequest, see the module."""
    from app.cli_show import run_progress
    from app.evaluate import evaluate
    from app.gate import check_floors, compare, parse_floors
    from indexing.documents import Progress

    golden = _limited(wanted.golden, wanted.limit)
    limits = parse_floors(wanted.floors)
    earlier = _earlier(wanted.against)
    with run_progress("evaluate") as show:
        result = evaluate(
            golden,
            local_scope(parts.catalog),
            parts,
            specialist=chosen,
            ask_refused=wanted.curve,
            progress=lambda done, total: show(Progress("ask", done, total)),
        )
    comparison = None if earlier is None else compare(earlier, result, tolerance=wanted.tolerance)
    floors = check_floors(result, limits)
    _write(wanted, result, comparison, floors)
    if wanted.json_file is None or str(wanted.json_file) != "-":
        _show(result, comparison, floors)
    return _closed(comparison, floors)


def _closed(comparison: Comparison | None, floors: list[Floor]) -> bool:
    return bool(comparison and comparison.closes) or any(not each.holds for each in floors)


def _limited(path: Path, limit: int | None) -> GoldenSet:
    from app.golden import read_golden

    golden = read_golden(path)
    if limit is None or len(golden.questions) <= limit:
        return golden
    return replace(golden, questions=golden.questions[:: -(-len(golden.questions) // limit)])


def _earlier(path: Path | None) -> Evaluation | None:
    from app.errors import BadRequest
    from app.evaluate import from_json

    if path is None:
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise BadRequest(f"{path} cannot be read: {exc}.", remedy="Name a result of --json.") from exc
    return from_json(stored, str(path))


def _require_writable(json_file: Path | None, html_file: Path | None, against: Path | None) -> None:
    """Raise BadRequest now, and not after minutes of asking, when a result could not be written."""
    from app.errors import BadRequest

    for path in (json_file, html_file):
        if path is not None and str(path) != "-" and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise BadRequest(f"{path} cannot be written.", remedy="Name a file in a folder that exists.")
    if against is not None and json_file is not None and against.absolute() == json_file.absolute():
        raise BadRequest(f"--json would overwrite the earlier result {against}.", remedy="Name another file.")


def _write(wanted: Wanted, result: Evaluation, comparison: Comparison | None, floors: list[Floor]) -> None:
    from app.cli_show import print_json, remark
    from app.errors import BadRequest
    from app.evaluate import as_json
    from app.evaluation_report import html

    whole = as_json(result) | {
        "comparison": None if comparison is None else asdict(comparison) | {"closes": comparison.closes},
        "floors": [asdict(each) for each in floors],
    }
    try:
        if wanted.html_file is not None:
            wanted.html_file.write_text(html(result, comparison, floors), encoding="utf-8")
            remark(f"The report is in {wanted.html_file}.")
        if wanted.json_file is not None and str(wanted.json_file) != "-":
            wanted.json_file.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            remark(f"The result is in {wanted.json_file}.")
    except OSError as exc:
        raise BadRequest(f"{exc.filename} cannot be written: {exc.strerror}.", remedy="Name another file.") from exc
    if wanted.json_file is not None and str(wanted.json_file) == "-":
        print_json(whole)


def _show(result: Evaluation, comparison: Comparison | None, floors: list[Floor]) -> None:
    """Print the tables, what is to be known about them, and what the gate says."""
    from app.cli_show import remark, say, table
    from app.evaluation_report import number
    from app.measures import MEASURES

    rows: list[list[object]] = []
    for measure in MEASURES:
        figure = result.figures[measure.name]
        interval = "" if figure.low is None else f"{number(figure.low)} to {number(figure.high)}"
        languages = [number(figures[measure.name].value) for figures in result.by_language.values()]
        rows.append([measure.label, number(figure.value), interval, figure.questions, *languages])
    rows.append(["AURC (risk-coverage)", number(result.aurc)])
    rows += [[f"latency {name}", f"{number(value, 0)} ms"] for name, value in result.milliseconds.items()]
    width = 4 + len(result.by_language)
    columns = ["measure", "value", "95 % interval", "questions", *result.by_language]
    table(columns, [row + [""] * (width - len(row)) for row in rows], empty="")
    for warning in result.warnings:
        remark(f"Warning: {warning}")
    if comparison is not None:
        _show_comparison(comparison)
    for floor in floors:
        say(f"{floor.name} {number(floor.value)}: the limit {floor.limit:g} {'holds' if floor.holds else 'is broken'}.")
    if comparison is not None or floors:
        say("The gate is closed." if _closed(comparison, floors) else "The gate is open.")


def _show_comparison(comparison: Comparison) -> None:
    from app.cli_show import say, table
    from app.evaluation_report import number

    say("")
    rows = [
        (
            change.label,
            number(change.before),
            number(change.after),
            "–" if change.difference is None else f"{change.difference:+.3f}",
            "" if change.low is None or change.high is None else f"{change.low:+.3f} to {change.high:+.3f}",
            "closes" if change.closes else ("holds" if change.gated else ""),
        )
        for change in comparison.changes
    ]
    table(["measure", "before", "after", "difference", "95 % interval", "gate"], rows, empty="")
    if comparison.left_out:
        say(f"{comparison.left_out} questions are in one of the two results only and were left out.")
    say(f"{len(comparison.worse)} questions got worse, {len(comparison.better)} better, of {comparison.questions}.")
    for each in comparison.worse[:WORSE_SHOWN]:
        say(f"  - {each.id}: {' '.join(each.question.split())} ({'; '.join(each.reasons)})")
    if len(comparison.worse) > WORSE_SHOWN:
        say(f"  … and {len(comparison.worse) - WORSE_SHOWN} more; --html lists them.")


def _make(path: Path, count: int, seed: int) -> None:
    """Write questions made from the documents. Raises BadRequest when *path* exists, or when none can be made."""
    from app.cli_show import remark
    from app.errors import BadRequest
    from app.golden import golden_lines
    from app.golden_made import make_questions

    if path.exists():
        raise BadRequest(f"{path} exists.", remedy="Name a new file: somebody may have corrected the questions in it.")
    _require_writable(path, None, None)
    with open_parts(load_settings()) as parts:
        questions = make_questions(_texts(parts), count, seed)
    if not questions:
        raise BadRequest(
            "No question can be made: no document has a sentence in English or French with a number, date or name.",
            remedy="`metier sources list` shows what is indexed.",
        )
    path.write_text(golden_lines(questions), encoding="utf-8")
    answerable = sum(each.answerable for each in questions)
    remark(
        f"{len(questions)} questions are in {path}, {answerable} of them with an answer. They were made by rule: read "
        "them, correct them, and use their figures to compare two states only."
    )


def _texts(parts: Parts) -> list[Any]:
    """Return the documents that questions are made from, evenly spaced over all that the local user may read."""
    from app.golden_made import Text
    from indexing import store

    scope = local_scope(parts.catalog)
    texts = []
    with parts.catalog.reading() as session:
        records, after = [], 0
        while page := store.document_list(session, scope, after_id=after, limit=_PAGE):
            records += [(each.id, each.uri, each.language) for each in page]
            after = page[-1].id
        step = max(1, -(-len(records) // DOCUMENTS_READ))
        for document_id, uri, language in records[::step]:
            text = store.document_text(session, scope, document_id)
            if text is not None:
                texts.append(Text(uri, text, language))
    return texts
