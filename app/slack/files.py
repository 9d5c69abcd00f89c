"""Files dropped in a direct message: read for who dropped them, answered from for nobody else, deleted a day later.

They become documents of a source that only this person may read, by the same path as documents that are pushed: the
parsers' jail, its limits and its quarantine hold. How they are fetched from Slack is in ``app/slack/fetching.py``.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from app.ingest import indexing_of
from app.slack import deliver, store_files, store_told
from app.slack.blocks_channel import Taken, files_message, told
from app.slack.fetching import Elsewhere, fetched, size_of
from app.slack.records import Visibility
from app.slack.who import sender
from app.slack.wording_channel import files_words
from indexing.errors import (
    EmbedError,
    EmptyDocument,
    EncryptedDocument,
    IndexingError,
    OutboundError,
    OutboundTooLong,
    ParseError,
    ParseLimit,
    ParserMissing,
    SourceError,
    StorageFull,
    UnsupportedFormat,
)
from indexing.push import push_document
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.parts import Parts
    from app.slack.bot import Bot
    from app.slack.records import Job, Person
    from app.slack.store_files import Held

log = structlog.get_logger(__name__)

KEPT_FOR = timedelta(hours=24)
TOLD = "files:"
MOST_FILES = 10  # of one message
#: Of one person at a time: that many files, and together as much as so many of the largest.
MOST_KEPT, MOST_LARGEST = 100, 5
_NAME_CHARS = 120
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,100}")
#: What is said of each error; the first that fits.
_WHY: tuple[tuple[type[IndexingError], str], ...] = (
    (OutboundTooLong, "too_large"),
    (Elsewhere, "elsewhere"),
    (OutboundError, "not_fetched"),
    (EncryptedDocument, "locked"),
    (EmptyDocument, "no_text"),
    (UnsupportedFormat, "unknown_format"),
    (ParserMissing, "no_program"),
    (ParseLimit, "too_complex"),
    (ParseError, "damaged"),
    (SourceError, "not_now"),
    (EmbedError, "not_now"),
    (StorageFull, "not_now"),
)


def take(bot: Bot, job: Job) -> None:
    """Read the files of a direct message, and tell their sender what became of each; nothing for one without files.

    Done again, it reads nothing twice and tells it once. Raises SlackError and CatalogError: then it was not told.
    """
    incoming = job.incoming
    files = [each for each in incoming.payload.get("files") or () if isinstance(each, dict)]
    if incoming.kind != "direct" or not files:
        return
    catalog = bot.parts.catalog
    with catalog.reading() as session:
        if store_told.was_told(session, told_of(job.id)):
            return
    who = sender(bot, incoming)
    if who.principal_id is None or who.outsider:
        message = told(files_words(who.language).link_first)
    else:
        with catalog.transaction() as session:
            held = store_files.hold(session, bot.workspace.team_id, who.user_id, who.principal_id, KEPT_FOR)
        largest = bot.parts.settings.max_file_mb
        message = files_message(
            _read(bot, who.principal_id, held, files[:MOST_FILES]),
            held.expires_at,
            who.language,
            most_mb=largest,
            total_mb=largest * MOST_LARGEST,
            left_out=len(files[MOST_FILES:]),
        )
    place = incoming.place
    deliver.deliver(bot, place, message, Visibility.DIRECT)
    with catalog.transaction() as session:
        store_told.take(session, told_of(job.id))


def told_of(job_id: int) -> str:
    """Return the key of that somebody was told what became of the files of this job."""
    return f"{TOLD}{job_id}"


def forget(bot: Bot, who: Person) -> int:
    """Delete what this person dropped, and return how many documents that were; the next question finds none."""
    with bot.parts.catalog.transaction() as session:
        return store_files.forget(session, bot.workspace.team_id, who.user_id, who.principal_id)


def expire(parts: Parts) -> None:
    """Delete the files whose time is up, of whichever workspace; any number of processes may do so at once."""
    catalog = parts.catalog
    with catalog.reading() as session:
        due = store_files.due(session)
    for source_id in due:
        with catalog.transaction() as session:
            removed = store_files.remove_due(session, source_id)
            store_told.forget(session, TOLD, utc_now() - KEPT_FOR)
        if removed:
            log.info("Files of a direct message have expired.", action="slack_files_expired", source_id=source_id)


# --- reading --------------------------------------------------------------------------------------------------


def _read(bot: Bot, principal_id: int, held: Held, files: Sequence[Mapping[str, Any]]) -> list[Taken]:
    """Return what became of each file, in order."""
    largest = bot.parts.settings.max_file_mb << 20
    count, left = held.files, largest * MOST_LARGEST - held.size_bytes
    taken: list[Taken] = []
    uris: set[str] = set()
    for number, file in enumerate(files, 1):
        name = name_of(file, number)
        uri = _unlike(name, uris)
        uris.add(uri)
        if count >= MOST_KEPT:
            taken.append(Taken(name, "too_many_kept"))
        elif size_of(file) > largest:
            taken.append(Taken(name, "too_large"))
        elif size_of(file) > left:
            taken.append(Taken(name, "too_much"))
        else:
            why, size = _one(bot, principal_id, held, file, uri, min(largest, left))
            taken.append(Taken(name, why))
            count, left = count + (not why), left - size
    return taken


def _one(
    bot: Bot, principal_id: int, held: Held, file: Mapping[str, Any], uri: str, most_bytes: int
) -> tuple[str, int]:
    """Fetch and store one file; return why not, "" when it is stored, and its size."""
    with tempfile.TemporaryDirectory(dir=bot.parts.settings.incoming_dir, ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "file"
        try:
            size = fetched(bot, file, path, most_bytes)
            media_type = str(file.get("mimetype") or "").lower()
            known = media_type if _MEDIA_TYPE.fullmatch(media_type) else None
            push_document(indexing_of(bot.parts, principal_id), held.source, uri, path, known)
        except tuple(error for error, _ in _WHY) as exc:
            why = next(why for error, why in _WHY if isinstance(exc, error))
            log.info("A file was not read.", action="slack_file_unread", error=type(exc).__name__, why=why)
            return why, 0
    return "", size


def name_of(file: Mapping[str, Any], number: int) -> str:
    """Return the file's name as it can name a document and be shown: one line, no path, nothing invisible."""
    given = unicodedata.normalize("NFC", str(file.get("name") or file.get("title") or ""))
    shown = "".join("_" if each in "/\\" else each if each.isprintable() else " " for each in given)
    name = " ".join(shown.split()).strip(". ")
    if len(name) > _NAME_CHARS:
        stem, dot, suffix = name.rpartition(".")
        ending = f"{dot}{suffix}" if stem and len(suffix) <= 10 else ""
        name = name[: _NAME_CHARS - len(ending)].rstrip() + ending
    return name or f"file {number}"


def _unlike(name: str, taken: set[str]) -> str:
    """Return *name*, or with a number in it when another file of the same message has it."""
    stem, dot, suffix = name.rpartition(".") if "." in name else (name, "", "")
    uri, number = name, 1
    while uri in taken:
        number += 1
        uri = f"{stem} ({number}){dot}{suffix}"
    return uri
