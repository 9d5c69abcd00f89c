"""The path of a document, top to bottom: ``sync_source`` is the whole of it.

    list → compare → move, delete → fetch → parse (worker threads, several at once)
                                  → chunk → embed (batches across documents) → store (one transaction each)

Nothing needs publishing afterwards: the change log says what is new, and the next question sees it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from indexing import changelog, runs, schedules, store
from indexing.compare import attachments_of, compare, moves, pipeline_of, refuse_shrunk, rename_candidates
from indexing.documents import Progress
from indexing.errors import CatalogError, IndexingError, SourceShrunk
from indexing.exclusive import exclusive_run
from indexing.item_lists import take_lists, with_lists
from indexing.listing import listed
from indexing.push import delete_document, push_document
from indexing.reading import Reader, hashed, read_ahead
from indexing.sources import SourceContext, kind_called, open_source
from indexing.tables import utc_now
from indexing.tally import Tally
from indexing.writing import Cancelled, Prepared, Writer, name_of, prepare, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from indexing.compare import Task, Work
    from indexing.db import Catalog
    from indexing.documents import KnownDocument, Listing, RawDocument, SourceRecord, SyncReport
    from indexing.embed import Embedder
    from indexing.reading import Parsers
    from indexing.settings import IndexingSettings
    from indexing.sources import Kind, Source

    OnProgress = Callable[[Progress], None]
    #: Is told an action and an id, in the transaction that does it.
    Recorded = Callable[[Session, str, int], None]

__all__ = ["Indexing", "delete_document", "push_document", "sync_source"]

#: A batch is written when it has so many texts or documents, or when nothing else is ready.
_BATCH_TEXTS = 256
_BATCH_DOCUMENTS = 64
#: How often the run's row in the catalog is brought up to date.
_UPDATE_S = 2.0
_FINISH_ATTEMPTS = 4

_log = structlog.get_logger(__name__)


def _unrecorded(session: Session, action: str, number: int) -> None:
    """Keep no record."""


@dataclass(frozen=True)
class Indexing:
    """The pieces that indexing is made of. ``kinds`` finds a kind of source by its name; tests bring their own.

    ``recorded`` is called with "source.sync", "document.push" or "document.delete" and the id of the run or document,
    in the transaction that begins the run or changes the document.
    """

    catalog: Catalog
    embedder: Embedder
    parsers: Parsers
    settings: IndexingSettings
    kinds: Callable[[str], Kind] = kind_called
    recorded: Recorded = _unrecorded

    def opened(self, source: SourceRecord) -> Source:
        """Return the source of this record. Raises SourceError."""
        return open_source(source, SourceContext(self.catalog, self.settings), self.kinds)


def _silent(progress: Progress) -> None:
    """Show nobody."""


def sync_source(
    indexing: Indexing,
    source: SourceRecord,
    *,
    on_progress: OnProgress = _silent,
    confirm_deletions: bool = False,
    cancel: threading.Event | None = None,
    run_id: int | None = None,
) -> SyncReport:
    """Bring the catalog up to date with *source*, and return what was done.

    What goes wrong with one document is a failure in the report and in the catalog; what goes wrong with the run
    (no folder, an implausibly shrunken listing, a full disk, an unusable model) ends it with state "failed" and the
    reason. Either way all documents that were stored stay stored. Setting *cancel* ends it with state "cancelled".
    *run_id* is a run that its caller has started already (``schedules.claim_due``). Raises RunInProgress when the
    source is being synchronised already; nothing was done then.
    """
    cancel = cancel or threading.Event()
    begun = partial(_begun, indexing)
    with exclusive_run(indexing.catalog, source, indexing.settings.data_dir, begun, run_id) as (held, workdir):
        tally = Tally(held, source.name)
        run = _Run(indexing, source, held, workdir, tally, on_progress, cancel)
        error: str | None = "The program was stopped, or failed in an unexpected way."
        asks: str | None = None
        try:
            _sync(run, confirm_deletions=confirm_deletions)
            error = None
        except IndexingError as exc:
            error = str(exc)
            asks = error if isinstance(exc, SourceShrunk) else None
        finally:
            state = "failed" if error else "cancelled" if cancel.is_set() else "succeeded"
            report = tally.report(state, error)
            _finish(indexing.catalog, source.id, report, asks)
    return report


def _begun(indexing: Indexing, session: Session, run_id: int) -> None:
    indexing.recorded(session, "source.sync", run_id)


@dataclass(frozen=True)
class _Run:
    """One run of one source."""

    indexing: Indexing
    source: SourceRecord
    run_id: int
    workdir: Path
    tally: Tally
    on_progress: OnProgress
    cancel: threading.Event


def _sync(run: _Run, *, confirm_deletions: bool) -> None:
    """The flow."""
    indexing, source, tally = run.indexing, run.source, run.tally
    pipeline = pipeline_of(indexing.embedder, indexing.settings)
    run.on_progress(Progress("list", 0, 0))
    with indexing.catalog.reading() as session:  # before the listing: what is stored after it is not "gone"
        known = store.known_documents(session, source.id)
        failures = runs.known_failures(session, source.id)
    opened = indexing.opened(source)
    began_at = utc_now()
    listing = listed(opened)
    with indexing.catalog.transaction() as session:  # before anything is read: a revocation does not wait for it
        lists = take_lists(session, source, listing, began_at)
    known = with_lists(known, lists, listing)
    work = compare(listing, known, failures, pipeline)
    counts = {"listed": len(listing.items), "unchanged": work.unchanged, "parked": len(work.parked)}
    tally.add(counts | {"relisted": lists.relisted})
    tally.notes.extend((*listing.notes, *lists.notes()))
    tally.gives_lists = bool(lists.own)

    reader = Reader(opened, indexing.parsers, indexing.settings, pipeline, known, failures, run.workdir)
    writer = Writer(
        indexing.catalog,
        indexing.embedder,
        source,
        pipeline,
        run.run_id,
        attachments_of(known),
        failures,
        lists.own,
        run.cancel,
    )
    moved = moves(work, list(hashed(reader, rename_candidates(work))), pipeline)
    origins = {document.id for document, _ in moved}
    gone = [document for document in work.gone if document.id not in origins]
    if not confirm_deletions:
        refuse_shrunk(len(gone), known, indexing.settings.shrink_limit, len(listing.items))
    _move_and_delete(run, listing, work, moved, gone, writer)

    arrived = {raw.uri for _, raw in moved}
    tasks = [task for task in work.tasks if task.item.uri not in arrived]
    with contextlib.suppress(Cancelled):
        _read_and_write(run, reader, writer, tasks)


def _move_and_delete(
    run: _Run,
    listing: Listing,
    work: Work,
    moved: Sequence[tuple[KnownDocument, RawDocument]],
    gone: Sequence[KnownDocument],
    writer: Writer,
) -> None:
    """Do what needs no reading, in one transaction: what is gone is gone from the next answer."""
    source = run.source
    if not listing.complete:
        run.tally.notes.append("The listing is incomplete, so nothing was deleted.")
    if not (moved or gone or work.forgotten or listing.failures):
        return
    with run.indexing.catalog.transaction() as session:
        changelog.lock(session)
        runs.hold(session, run.run_id)
        for document, raw in moved:
            title = name_of(raw.uri) if document.title == name_of(document.uri) else document.title
            store.move_document(session, document.id, raw.uri, title, raw.version_tag, raw.modified_at)
            store.set_own_list(session, source.id, [document.id], writer.own_lists.get(raw.uri))
            runs.clear_failure(session, source.id, raw.uri)
        deleted = store.delete_documents(session, [document.id for document in gone])
        for uri in work.forgotten:
            runs.clear_failure(session, source.id, uri)
        for failure in listing.failures:
            own_id = writer.own_lists.get(failure.uri)
            runs.record_failure(session, source.id, run.run_id, failure, None, writer.pipeline.failures, own_id)
    counts = {"moved": len(moved), "deleted": deleted, "failed": len(listing.failures)}
    run.tally.add(counts, listing.failures)


def _read_and_write(run: _Run, reader: Reader, writer: Writer, tasks: Sequence[Task]) -> None:
    """Read in threads, and write in batches here: a batch is full, or nothing else is ready."""
    sizes = {task.item.uri: task.item.size_bytes or 0 for task in tasks}
    total_bytes = sum(sizes.values())
    done = done_bytes = 0
    updated = time.monotonic()
    batch: list[Prepared] = []
    run.on_progress(Progress("read", 0, len(tasks), bytes_total=total_bytes))
    for reading in read_ahead(reader, tasks, run.indexing.settings.parse_workers, run.cancel):
        if reading is not None:
            started = time.monotonic()
            batch.append(prepare(writer, reading))
            run.tally.spend({**reading.seconds, "chunk": time.monotonic() - started})
            run.tally.add({"bytes_read": reading.raw.size_bytes if reading.raw else 0})
            done, done_bytes = done + 1, done_bytes + sizes[reading.uri]
            shown = "" if run.tally.gives_lists else reading.uri  # whoever may read the source may watch
            run.on_progress(Progress("read", done, len(tasks), shown, done_bytes, total_bytes))
        if batch and (reading is None or _is_full(batch)):
            _write_batch(run, writer, batch)
            batch = []
        if time.monotonic() - updated > _UPDATE_S:
            with run.indexing.catalog.transaction() as session:
                runs.update_run(session, run.run_id, asdict(run.tally.report(runs.RUNNING)))
            updated = time.monotonic()
    if batch and not run.cancel.is_set():
        _write_batch(run, writer, batch)


def _is_full(batch: Sequence[Prepared]) -> bool:
    chunks = sum(len(member.chunks) for one in batch for member in one.family())
    return len(batch) >= _BATCH_DOCUMENTS or chunks >= _BATCH_TEXTS


def _write_batch(run: _Run, writer: Writer, batch: Sequence[Prepared]) -> None:
    written = write(writer, batch)
    run.tally.add(written.counts, written.failures)
    run.tally.spend(written.seconds)


def _finish(catalog: Catalog, source_id: int, report: SyncReport, asks: str | None) -> None:
    """Store the report. When even that fails the row stays "running", and the next run on this machine closes it."""
    for attempt in range(_FINISH_ATTEMPTS):
        try:
            with catalog.transaction() as session:
                changelog.lock(session)
                if runs.finish_run(session, report):
                    schedules.settle(session, source_id, succeeded=report.state == "succeeded", asks=asks)
        except CatalogError as exc:
            _log.warning(
                "The report of a run was not stored.", action="run_not_stored", run=report.run_id, why=str(exc)
            )
            time.sleep(0.1 * 2**attempt)
        else:
            break
    _log.info(
        "A synchronisation has ended.",
        action="sync_finished",
        **{key: value for key, value in asdict(report).items() if key not in {"failures", "notes"}},
    )
