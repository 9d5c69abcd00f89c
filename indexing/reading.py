"""From an item to its blocks: fetch, compare the hash, parse, and the same for attachments. Runs in worker threads.

A document that cannot be read ends here as a failure, whatever happened to it; only what would happen to every
document (a full disk, a source that vanished) passes through and ends the run.
"""

from __future__ import annotations

import contextvars
import hashlib
import re
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from indexing.compare import is_settled
from indexing.documents import Failure, RawDocument
from indexing.errors import CatalogError, IndexingError, ItemUnreadable, ParseLimit, SourceError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from indexing.compare import Pipeline, Task
    from indexing.documents import Attachment, KnownDocument, KnownFailure, Parsed
    from indexing.settings import IndexingSettings
    from indexing.sources import Source

MAX_ATTACHMENT_DEPTH = 2
#: Documents that were read and not yet stored wait in memory: at most so many, from files of so many bytes.
_AHEAD_PER_WORKER = 4
_AHEAD_BYTES = 64 << 20
_LABEL_CHARACTERS = 200
_UNSAFE_LABEL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_log = structlog.get_logger(__name__)


class Parsers(Protocol):
    """What reads files: ``indexing.parse.ParserPool``, or the fake in ``indexing.testing``."""

    def parse(self, path: Path, name: str, media_type: str | None, workdir: Path) -> Parsed:
        """Return what is in the file at *path*; attachments are put into *workdir*. Raises ParseError."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of an item or attachment: parsed, or failed, or parked; none of these when its text still holds."""

    uri: str
    known: KnownDocument | None
    raw: RawDocument | None = None
    parsed: Parsed | None = None
    failure: Failure | None = None
    parked: bool = False  # the bytes are those that failed for good
    attachments: tuple[Reading, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading needs: where the bytes come from, what parses them, and what is known already."""

    source: Source
    parsers: Parsers
    settings: IndexingSettings
    pipeline: Pipeline
    known: Mapping[str, KnownDocument]
    failures: Mapping[str, KnownFailure]
    workdir: Path


def read(reader: Reader, task: Task) -> Reading:
    """Return what became of the item. Raises only errors that would meet every item: the run ends with them."""
    started = fetched = time.monotonic()
    uri = task.item.uri
    with tempfile.TemporaryDirectory(dir=reader.workdir, ignore_cleanup_errors=True) as folder:
        try:
            _refuse_large(task.item.size_bytes, uri, reader.settings)
            raw = reader.source.fetch(task.item, Path(folder))
            fetched = time.monotonic()
            reading = read_bytes(reader, raw)
        except (ItemUnreadable, ParseLimit) as exc:
            reading = Reading(uri, task.known, failure=failure_of(uri, "fetch", exc))
        except (CatalogError, SourceError):
            raise
        except Exception as exc:  # noqa: BLE001 -- the boundary of one document: it fails, the run goes on
            reading = Reading(uri, task.known, failure=failure_of(uri, "fetch", exc))
    now = time.monotonic()
    return replace(reading, seconds={"fetch": fetched - started, "parse": now - fetched})


def hashed(reader: Reader, tasks: Sequence[Task]) -> Iterator[tuple[Task, RawDocument]]:
    """Yield each item that can be fetched with its hash; the private copy is gone by then."""
    for task in tasks:
        with tempfile.TemporaryDirectory(dir=reader.workdir, ignore_cleanup_errors=True) as folder:
            try:
                _refuse_large(task.item.size_bytes, task.item.uri, reader.settings)
                raw = reader.source.fetch(task.item, Path(folder))
            except (ItemUnreadable, ParseLimit):
                continue  # nothing is lost: it is read, and fails, with the others
        yield task, raw


def _refuse_large(size_bytes: int | None, uri: str, settings: IndexingSettings) -> None:
    if size_bytes is not None and size_bytes > settings.max_file_mb << 20:
        raise ParseLimit(
            f"{uri} has {size_bytes >> 20} MB, more than METIER_MAX_FILE_MB allows ({settings.max_file_mb}).",
            remedy="Split the file, or raise METIER_MAX_FILE_MB.",
        )


def read_bytes(reader: Reader, raw: RawDocument, depth: int = 0) -> Reading:
    """Return what became of these bytes. Parses them unless it is known what comes out."""
    known, failed = reader.known.get(raw.uri), reader.failures.get(raw.uri)
    if known and (known.content_hash, known.pipeline) == (raw.content_hash, reader.pipeline.documents):
        return Reading(raw.uri, known, raw)
    if failed and failed.content_hash == raw.content_hash and is_settled(failed, reader.pipeline):
        return Reading(raw.uri, known, raw, parked=True)
    with tempfile.TemporaryDirectory(dir=reader.workdir, ignore_cleanup_errors=True) as folder:
        try:
            name = (raw.name or raw.uri).rsplit("/", 1)[-1]
            parsed = reader.parsers.parse(raw.path, name, raw.media_type, Path(folder))
        except Exception as exc:  # noqa: BLE001 -- the boundary of one document: it fails, the run goes on
            return Reading(raw.uri, known, raw, failure=failure_of(raw.uri, "parse", exc, raw.content_hash))
        if parsed.attachments and depth == MAX_ATTACHMENT_DEPTH:
            note = f"{len(parsed.attachments)} attachments were left out: they are nested too deeply"
            parsed = replace(parsed, attachments=(), notes=(*parsed.notes, note))
        attachments = tuple(
            _read_attachment(reader, raw, uri, attachment, depth + 1)
            for uri, attachment in zip(_attachment_uris(raw.uri, parsed.attachments), parsed.attachments, strict=True)
        )
    return Reading(raw.uri, known, raw, parsed, attachments=attachments)


def _attachment_uris(uri: str, attachments: Sequence[Attachment]) -> list[str]:
    """Return a uri for each attachment. Its name is the sender's choice: a label, never a path."""
    uris: list[str] = []
    for attachment in attachments:
        label = _UNSAFE_LABEL.sub("\N{REPLACEMENT CHARACTER}", attachment.name).replace("\\", "/").rsplit("/", 1)[-1]
        label = label[-_LABEL_CHARACTERS:].strip() or "attachment"
        stem, dot, suffix = label.rpartition(".")
        number = 2
        while f"{uri}!/{label}" in uris:
            label = f"{stem} ({number}){dot}{suffix}" if stem else f"{suffix} ({number})"
            number += 1
        uris.append(f"{uri}!/{label}")
    return uris


def _read_attachment(reader: Reader, parent: RawDocument, uri: str, attachment: Attachment, depth: int) -> Reading:
    """Return what became of an attachment. It is as old as the mail that it came with."""
    try:
        content = attachment.path.read_bytes()
    except OSError as exc:
        return Reading(uri, reader.known.get(uri), failure=failure_of(uri, "parse", exc))
    digest = hashlib.sha256(content).hexdigest()
    raw = RawDocument(uri, attachment.path, digest, len(content), version_tag=digest, modified_at=parent.modified_at)
    return read_bytes(reader, raw, depth)


def failure_of(uri: str, stage: str, exc: Exception, content_hash: str | None = None) -> Failure:
    """Return the failure row for an error. One that nobody expected is logged with its traceback."""
    if isinstance(exc, IndexingError):
        return Failure(uri, stage, exc.message, exc.remedy, type(exc).__name__, content_hash)
    _log.error("A document failed in an unexpected way.", action="document_failed", uri=uri, stage=stage, exc_info=exc)
    reason = f"An unexpected error stopped it: {type(exc).__name__}: {str(exc)[:300]}"
    remedy = "It is tried again at the next runs. If it stays, please report it with the log of the run."
    return Failure(uri, stage, reason, remedy, type(exc).__name__, content_hash)


def read_ahead(
    reader: Reader, tasks: Sequence[Task], workers: int, cancel: threading.Event
) -> Iterator[Reading | None]:
    """Yield a reading for each task, as they get ready, and None whenever nothing is ready at the moment.

    At most *workers* are read at the same time, and a bounded number is read ahead, so that memory stays bounded
    however slow the consumer is. One slow document holds nobody up. Stops early, without its error, when *cancel* is
    set: what is being read then is waited for (a parser has a time limit) and dropped.
    """
    queue = iter(tasks)
    pending: dict[Future[Reading], int] = {}
    upcoming = next(queue, None)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="metier-read") as pool:
        try:
            while (pending or upcoming is not None) and not cancel.is_set():
                while upcoming is not None and _has_room(pending, upcoming, workers):
                    run = contextvars.copy_context().run  # who waits in a thread waits for this run
                    pending[pool.submit(run, read, reader, upcoming)] = upcoming.item.size_bytes or 0
                    upcoming = next(queue, None)
                ready, _ = wait(pending, timeout=0)
                if not ready:
                    yield None
                    ready, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in ready:
                    del pending[future]
                    yield future.result()
        finally:
            for future in pending:
                future.cancel()


def _has_room(pending: Mapping[Future[Reading], int], task: Task, workers: int) -> bool:
    if not pending:
        return True
    size = sum(pending.values()) + (task.item.size_bytes or 0)
    return len(pending) < workers * _AHEAD_PER_WORKER and size <= _AHEAD_BYTES
