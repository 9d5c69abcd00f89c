"""What a parser answered, checked: it read a hostile file, so its answer may be anything at all."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from indexing.documents import BLOCK_KINDS, Attachment, Block, Parsed
from indexing.errors import PARSE_ERRORS, EmptyDocument, ParseError
from indexing.parse_place import collect

if TYPE_CHECKING:
    from pathlib import Path

_MOST_PAGE = 2**31 - 1
_MOST_ATTACHMENTS = 500
_LABEL_CHARACTERS = 200
_ERROR_CHARACTERS = 500
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
#: What JSON of any kind can raise on its way to a record.
_NONSENSE = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, RecursionError)


def decoded(line: bytes, name: str) -> dict[str, Any]:
    """Return the object on *line*. Raises ParseError for anything else."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise nonsense(name) from exc
    if not isinstance(answer, dict):
        raise nonsense(name)
    return answer


def nonsense(name: str) -> ParseError:
    """Return the error for a parser that does not keep to the protocol."""
    return ParseError(f"{name}: the parser answered nonsense.")


def outcome_of(answer: dict[str, Any], name: str, out: Path, workdir: Path, most_bytes: int) -> Parsed | ParseError:
    """Return the record for *answer*, or the error that it names; EmptyDocument when there is nothing in it.

    Attachments are copied from *out* to *workdir*, under names of ours. Raises ParseError for nonsense.
    """
    try:
        if "error" in answer:
            return _error(answer["error"], name)
        parsed = answer["parsed"]
        blocks = tuple(
            Block(_text(text), kind, _page(page), tuple(_text(heading) for heading in path))
            for text, kind, page, path in parsed["blocks"]
            if kind in BLOCK_KINDS and _text(text).strip()
        )
        named = [(_text(label)[-_LABEL_CHARACTERS:], _text(file)) for label, file in parsed["attachments"]][
            :_MOST_ATTACHMENTS
        ]
        title = parsed["title"]
        title = None if title is None else _text(title)
        notes = tuple(_text(note) for note in parsed["notes"])
        attachments = tuple(
            Attachment(label, collect(file, out, workdir / f"attachment-{number:04d}", most_bytes))
            for number, (label, file) in enumerate(named)
        )
    except OSError as exc:
        raise ParseError(f"{name}: an attachment could not be taken over: {exc.strerror}.") from exc
    except _NONSENSE as exc:
        raise nonsense(name) from exc
    if not blocks and not attachments:
        return EmptyDocument(f"{name}: no text was found in it.")
    return Parsed(blocks, title, attachments, notes)


def _error(error: dict[str, Any], name: str) -> ParseError:
    kind = PARSE_ERRORS.get(str(error["class"]), ParseError)
    message, remedy = _text(error["message"]), _text(error["remedy"] or "")
    return kind(f"{name}: {message[:_ERROR_CHARACTERS]}", remedy=remedy[:_ERROR_CHARACTERS] or None)


def _text(value: Any) -> str:
    """Return *value* as text that every database takes: no NUL, no lone surrogate."""
    if not isinstance(value, str):
        raise TypeError(value)
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)


def _page(page: Any) -> int | None:
    if page is not None and not 0 <= int(page) <= _MOST_PAGE:
        raise ValueError(page)
    return None if page is None else int(page)
