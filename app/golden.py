"""Golden sets: questions with the documents and answers that are expected, read from JSON lines or CSV.

A set with a line that cannot be used is not used at all: figures over the rest would look like figures over the whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from app.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Columns of a set; others (notes, owners) are allowed and ignored.
COLUMNS = ("question", "documents", "answers", "answerable", "language", "id")
#: Other names that people give them, in small letters and without "expected".
_ALSO_CALLED = {"document": "documents", "answer": "answers"}
#: An expected answer that says that there is none.
_NO_ANSWER = frozenset({"no answer", "sans réponse", "pas de réponse"})
_YES = frozenset({"true", "yes", "1", "oui", "vrai"})
_NO = frozenset({"false", "no", "0", "non", "faux"})
_ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """One question, and what is expected of its answer."""

    id: str
    question: str
    documents: tuple[str, ...] = ()  # uris, as `metier sync` names them, or "source:uri"; all of them are needed
    answers: tuple[str, ...] = ()  # acceptable short answers
    answerable: bool = True  # False: the right reply is that the documents do not say
    language: str = "und"
    made: bool = False  # by rule, from the documents (app.golden_made)


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The questions of one file, and the file's fingerprint."""

    name: str
    sha256: str
    questions: tuple[GoldenQuestion, ...]


def read_golden(path: Path) -> GoldenSet:
    """Return the set in *path*: CSV when the name ends in .csv or .tsv, JSON lines otherwise.

    Raises BadRequest that names the file, the line and what to do; also for a set without a question.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadRequest(f"{path} cannot be read: {exc.strerror}.", remedy="Name a golden set.") from exc
    return parse_golden(path, content)


def parse_golden(path: PurePath, content: bytes) -> GoldenSet:
    """Return the set that a file of this name and content holds. Raises BadRequest as ``read_golden``."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadRequest(f"{path} is not UTF-8 text.", remedy="Save it as UTF-8 (in Excel: CSV UTF-8).") from exc
    lines = _csv_lines if path.suffix.lower() in {".csv", ".tsv"} else _json_lines
    questions: dict[str, GoldenQuestion] = {}
    for number, fields in lines(path, text):
        question = _question(path, number, fields)
        if question.id in questions:
            raise _unusable(path, number, f"the id {question.id} is there twice", "Give each question its own id.")
        questions[question.id] = question
    if not questions:
        raise BadRequest(
            f"{path} holds no question.", remedy="Write one question a line; docs/evaluation.md shows how."
        )
    return GoldenSet(path.name, hashlib.sha256(content).hexdigest(), tuple(questions.values()))


def golden_of(name: str, sha256: str, lines: str) -> GoldenSet:
    """Return the set called *name* whose questions :func:`golden_lines` wrote."""
    return replace(parse_golden(PurePath(name).with_suffix(".jsonl"), lines.encode()), name=name, sha256=sha256)


def golden_lines(questions: Sequence[GoldenQuestion]) -> str:
    """Return the JSON lines that :func:`read_golden` reads back as *questions*; "" for none."""
    return "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in questions)


def _json_lines(path: PurePath, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise _unusable(path, number, f"this is not JSON ({exc})", "Write one JSON object a line.") from exc
        if not isinstance(fields, dict):
            raise _unusable(path, number, "this is not a JSON object", 'Write {"question": …, "answers": […]}.')
        if any("\ud800" <= each <= "\udfff" for each in json.dumps(fields, ensure_ascii=False)):
            raise _unusable(path, number, "it holds half of a surrogate pair", "Write it as UTF-8, without \\ud….")
        names = [_column(name) for name in fields]
        _require_once(path, number, names)
        yield number, dict(zip(names, fields.values(), strict=True))


def _column(name: str) -> str:
    """Return the column's own name for one that people give it: "answers" for "Expected answer"."""
    word = name.strip().lower().replace("_", " ").removeprefix("expected").strip()
    return _ALSO_CALLED.get(word, word if word in COLUMNS else name.strip().lower())


def _require_once(path: PurePath, number: int, names: Sequence[str]) -> None:
    if twice := sorted({name for name in names if name in COLUMNS and names.count(name) > 1}):
        raise _unusable(path, number, f"{', '.join(twice)} is there twice", "Keep one of the two.")


def _csv_lines(path: PurePath, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)  # a spreadsheet in French writes semicolons
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = [_column(str(name)) for name in rows.fieldnames or ()]
        _require_once(path, 1, columns)
        if "question" not in columns:
            raise _unusable(path, 1, "no column is called question", f"Name the columns {', '.join(COLUMNS)}.")
        rows.fieldnames = columns
        for row in rows:
            if None in row or None in row.values():
                raise _unusable(
                    path, rows.line_num, "the number of cells is not that of the header", "Quote the cells."
                )
            if any(str(cell).strip() for cell in row.values()):
                yield rows.line_num, _cells(row)
    except csv.Error as exc:
        raise _unusable(
            path, rows.line_num, f"this is not CSV ({exc})", "Quote cells that hold the separator."
        ) from exc


def _cells(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a CSV row as JSON lines would hold them."""
    fields: dict[str, Any] = {name: cell.strip() for name, cell in row.items() if cell.strip()}
    for name, separator in (("documents", ";"), ("answers", "|")):
        if name in fields:
            fields[name] = [part.strip() for part in fields[name].split(separator) if part.strip()]
    return fields


def _question(path: PurePath, number: int, fields: Mapping[str, Any]) -> GoldenQuestion:
    text = fields.get("question")
    if not isinstance(text, str) or not text.strip():
        raise _unusable(path, number, "there is no question", "Write it in the field question.")
    documents, answers = (_texts(path, number, fields, name) for name in ("documents", "answers"))
    says_none = len(answers) == 1 and answers[0].casefold() in _NO_ANSWER and fields.get("answerable") is None
    if says_none:
        answers = ()
    answerable = _flag(path, number, fields, "answerable", default=not says_none)
    if answerable and not (documents or answers):
        raise _unusable(path, number, "nothing is expected", "Name documents or answers, or set answerable to false.")
    if not answerable and (documents or answers):
        raise _unusable(
            path, number, "it has no answer, and yet documents or answers", "Remove them, or set answerable to true."
        )
    made_id = "q-" + hashlib.sha256(text.strip().encode()).hexdigest()[:_ID_DIGITS]
    return GoldenQuestion(
        id=str(fields.get("id") or made_id),
        question=text.strip(),
        documents=documents,
        answers=answers,
        answerable=answerable,
        language=str(fields.get("language") or "und"),
        made=_flag(path, number, fields, "made", default=False),
    )


def _texts(path: PurePath, number: int, fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name) or []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
        raise _unusable(path, number, f"{name} is not a list of texts", f'Write "{name}": ["…", "…"].')
    return tuple(dict.fromkeys(each.strip() for each in value))


def _flag(path: PurePath, number: int, fields: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    word = str(value).strip().lower()
    if word not in _YES | _NO:
        raise _unusable(path, number, f"{name} is {value!r}", "Write true or false.")
    return word in _YES


def _unusable(path: PurePath, number: int, reason: str, remedy: str) -> BadRequest:
    return BadRequest(f"{path}, line {number}: {reason}.", remedy=f"{remedy} Nothing was run.")
