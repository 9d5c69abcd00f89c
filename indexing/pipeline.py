"""The path of a document, top to bottom: ``sync_source`` is the whole of it.

    list → compare → move, delete → fetch → parse (worker threads, several at once)
                                  → chunk → embed (batches across documents) → store (one transaction each)

Nothing needs publishing afterwards: the change log says what is new, and the next question sees it. Only where a gate
guards the source, new and changed documents are a candidate until the gate has compared it with what is served
(``indexing.store_candidate``); what is gone, moved, or no longer for everybody, never waits.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from indexing import changelog, runs, runs_history, runs_live, schedules, store, store_candidate
from indexing.compare import attachments_of, compare, moves, pipeline_of, refuse_shrunk, rename_candidates
from indexing.documents import Progress
from indexing.errors import CatalogError, IndexingError, SourceShrunk
from indexing.exclusive import exclusive_run
from indexing.item_lists import take_lists, with_lists
from indexing.listing import PART_ITEMS, Crawl
from indexing.live import Cancelled, Live
from indexing.publishing import begin_candidate, pass_gate
from indexing.push import delete_document, push_document
from indexing.reading import Reader, hashed, read_ahead
from indexing.sources import SourceContext, kind_called, open_source
from indexing.tables import utc_now
from indexing.tally import Tally
from indexing.writing import Prepared, Writer, is_outdated, name_of, prepare, remove_outdated, write

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy.orm import Session

    from indexing.compare import Pipeline, Task, Work
    from indexing.db import Catalog
    from indexing.documents import KnownDocument, RawDocument, SourceRecord, SyncReport
    from indexing.embed import Embedder
    from indexing.listing import Part
    from indexing.reading import Parsers
    from indexing.settings import IndexingSettings
    from indexing.sources import Kind, Source
    from indexing.trial import Gate

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
_CLOSED = "The gate is closed: what is new waits, and what was served stays. `metier gate {0}` shows why."

_log = structlog.get_logger(__name__)


def _unrecorded(session: Session, action: str, number: int) -> None:
    """Keep no record."""


@dataclass(frozen=True)
class Indexing:
    """The pieces that indexing is made of. ``kinds`` finds a kind of source by its name; tests bring their own.

    ``recorded`` is called with "source.sync", "source.force", "document.push" or "document.delete" and the id of the
    run or document, in the transaction that begins the run or changes the document. ``gate`` decides on what runs have
    read; None: all of it is served at once.
    """

    catalog: Catalog
    embedder: Embedder
    parsers: Parsers
    settings: IndexingSettings
    kinds: Callable[[str], Kind] = kind_called
    recorded: Recorded = _unrecorded
    gate: Gate | None = None
    part_items: int = PART_ITEMS  # of a listing, taken in at a time

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
    force: bool = False,
) -> SyncReport:
    """Bring the catalog up to date with *source*, and return what was done.

    What goes wrong with one document is a failure in the report and in the catalog; what goes wrong with the run
    (no folder, an implausibly shrunken listing, a full disk, an unusable model) ends it with state "failed" and the
    reason. Either way all documents that were stored stay stored. Setting *cancel* ends it with state "cancelled". A
    gate that is closed ends it with state "held": new and changed documents wait; *force* passes the gate by.
    *run_id* is a run that its caller has started already (``schedules.claim_due``). Raises RunInProgress when the
    source is being synchronised already; nothing was done then.
    """
    live = Live(on_progress, cancel)
    begun = partial(_begun, indexing, "source.force" if force else "source.sync")
    with exclusive_run(indexing.catalog, source, indexing.settings.data_dir, begun, live, run_id) as (held, workdir):
        tally = Tally(held, source.name, live.meter)
        gate = None if force or source.kind == "push" else indexing.gate
        run = _Run(indexing, source, held, workdir, tally, live, gate)
        error: str | None = "The program was stopped, or failed in an unexpected way."
        asks: str | None = None
        try:
            with contextlib.suppress(Cancelled), live.heard():
                _sync(run, confirm_deletions=confirm_deletions)
            error = None
        except IndexingError as exc:
            error = str(exc)
            asks = error if isinstance(exc, SourceShrunk) else None
        finally:
            state = "failed" if error else "cancelled" if live.cancel.is_set() else "succeeded"
            if tally.held and not error:
                state, error = runs.HELD, _CLOSED.format(held)
            report = tally.report(state, error)
            _finish(indexing.catalog, source.id, report, asks)
    return report


def _begun(indexing: Indexing, action: str, session: Session, run_id: int) -> None:
    indexing.recorded(session, action, run_id)


@dataclass(frozen=True)
class _Run:
    """One run of one source."""

    indexing: Indexing
    source: SourceRecord
    run_id: int
    workdir: Path
    tally: Tally
    live: Live
    gate: Gate | None


@dataclass
class _Flow:
    """What the parts of one run's listing have in common."""

    source: Source
    pipeline: Pipeline
    began_at: datetime
    confirm_deletions: bool
    guarded: bool  # what is read has to pass the gate
    candidate: int | None = None  # the hidden twin that this run writes to
    begun: bool = False  # a part was dealt with


def _sync(run: _Run, *, confirm_deletions: bool) -> None:
    """The flow."""
    indexing, source = run.indexing, run.source
    pipeline = pipeline_of(indexing.embedder, indexing.settings)
    started = time.monotonic()
    _listed_so_far(run, 0)
    guarded = run.gate is not None and run.gate.guards(source)
    flow = _Flow(indexing.opened(source), pipeline, utc_now(), confirm_deletions, guarded)
    crawl = Crawl(indexing.catalog, source, flow.source, pipeline)
    with indexing.catalog.reading() as session:
        run.live.pace = runs_history.pace(session, source.id)
        left = store.left_checkpoint(session, source.id)
    if left is not None:
        run.tally.notes.append("The listing went on where the run before had stopped; the next one looks at all.")
    for part in crawl.parts(indexing.part_items, left, partial(_listed_so_far, run)):
        run.tally.spend({"list": time.monotonic() - started})
        _sync_part(run, flow, part)
        run.live.raise_if_cancelled()
        came = None if part.is_last or flow.guarded else part.checkpoint  # a candidate begins anew with each run
        if came != left:
            with indexing.catalog.transaction() as session:
                runs.hold(session, run.run_id)
                store.leave_checkpoint(session, source.id, came)
            left = came
        started = time.monotonic()
    if run.gate is not None and flow.guarded:
        _pass_gate(run, run.gate, first=not crawl.stored)


def _sync_part(run: _Run, flow: _Flow, part: Part) -> None:
    """Do what a part of the listing asks for; only listings of tens of thousands of changes have more than one."""
    indexing, source, tally = run.indexing, run.source, run.tally
    listing, failures = part.listing, part.failures
    run.live.enter("compare")
    compared = time.monotonic()
    with indexing.catalog.transaction() as session:  # before anything is read: a revocation does not wait for it
        lists = take_lists(session, source, listing, flow.began_at)
        if not flow.begun:
            store_candidate.discard(session, source.id)  # of an earlier run: what it held is read anew
    flow.begun = True
    known = with_lists(part.known, lists, listing)
    work = compare(listing, known, failures, flow.pipeline)
    counts = {"listed": len(listing.items) + part.unchanged, "unchanged": work.unchanged + part.unchanged}
    counts |= {"parked": len(work.parked)}
    tally.add(counts | {"relisted": lists.relisted})
    tally.notes.extend((*listing.notes, *lists.notes()))
    tally.gives_lists = tally.gives_lists or bool(lists.own)

    reader = Reader(flow.source, indexing.parsers, indexing.settings, flow.pipeline, known, failures, run.workdir)
    if flow.guarded and part.stored and flow.candidate is None:  # where nothing is served, nothing can get worse
        flow.candidate = begin_candidate(indexing.catalog, source.id, run.run_id)
    writer = Writer(
        indexing.catalog,
        indexing.embedder,
        source,
        flow.pipeline,
        run.run_id,
        attachments_of(known),
        failures,
        lists.own,
        run.live.cancel,
        flow.candidate,
        run.live.enter,
    )
    moved = moves(work, list(run.live.until_cancelled(hashed(reader, rename_candidates(work)))), flow.pipeline)
    origins = {document.id for document, _ in moved}
    gone = [document for document in work.gone if document.id not in origins]
    if not flow.confirm_deletions:
        refuse_shrunk(len(gone), part.stored, indexing.settings.shrink_limit, part.listed)
    _move_and_delete(run, part, work, moved, gone, writer)

    failed = {uri: failures[uri].content_hash for uri in work.parked}
    outdated = [known[uri] for uri, failed_hash in failed.items() if is_outdated(known.get(uri), failed_hash)]
    tally.add({"deleted": remove_outdated(writer, outdated)})

    arrived = {raw.uri for _, raw in moved}
    tasks = [task for task in work.tasks if task.item.uri not in arrived]
    tally.spend({"compare": time.monotonic() - compared})
    _read_and_write(run, reader, writer, tasks)


def _listed_so_far(run: _Run, items: int) -> None:
    run.live.raise_if_cancelled()
    run.live.show(Progress("list", items, 0))


def _pass_gate(run: _Run, gate: Gate, *, first: bool) -> None:
    """Publish what was read if it is good enough. What the *first* run of a source has read is only measured."""
    started = time.monotonic()

    def show(done: int, total: int) -> None:
        run.live.raise_if_cancelled()
        run.live.show(Progress("gate", done, total))

    measured = first and run.tally.report(runs.RUNNING).added > 0
    run.tally.held = pass_gate(run.indexing.catalog, gate, run.source.id, run.run_id, show, measured=measured)
    run.tally.spend({"gate": time.monotonic() - started})


def _move_and_delete(
    run: _Run,
    part: Part,
    work: Work,
    moved: Sequence[tuple[KnownDocument, RawDocument]],
    gone: Sequence[KnownDocument],
    writer: Writer,
) -> None:
    """Do what needs no reading, in one transaction: what is gone is gone from the next answer."""
    source, listing = run.source, part.listing
    if part.is_last and not listing.complete:
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
    run.live.show(Progress("read", 0, len(tasks), bytes_total=total_bytes))
    for reading in read_ahead(reader, tasks, run.indexing.settings.parse_workers, run.live.cancel):
        if reading is not None:
            started = time.monotonic()
            batch.append(prepare(writer, reading))
            run.tally.spend({**reading.seconds, "chunk": time.monotonic() - started})
            run.tally.took(reading.uri, reading.seconds)
            run.tally.add({"bytes_read": reading.raw.size_bytes if reading.raw else 0})
            done, done_bytes = done + 1, done_bytes + sizes[reading.uri]
            shown = "" if run.tally.gives_lists else reading.uri  # whoever may read the source may watch
            run.live.show(Progress("read", done, len(tasks), shown, done_bytes, total_bytes))
        if batch and (reading is None or _is_full(batch)):
            _write_batch(run, writer, batch)
            batch = []
        if time.monotonic() - updated > _UPDATE_S:
            with run.indexing.catalog.transaction() as session:
                runs.update_run(session, run.run_id, asdict(run.tally.report(runs.RUNNING)))
            updated = time.monotonic()
    if batch and not run.live.cancel.is_set():
        _write_batch(run, writer, batch)


def _is_full(batch: Sequence[Prepared]) -> bool:
    chunks = sum(len(member.chunks) for one in batch for member in one.family())
    return len(batch) >= _BATCH_DOCUMENTS or chunks >= _BATCH_TEXTS


def _write_batch(run: _Run, writer: Writer, batch: Sequence[Prepared]) -> None:
    written = write(writer, batch)
    run.tally.add(written.counts, written.failures)
    run.tally.spend(written.seconds)
    run.live.enter("read")


def _finish(catalog: Catalog, source_id: int, report: SyncReport, asks: str | None) -> None:
    """Store the report. When even that fails the row stays "running", and the next run on this machine closes it."""
    for attempt in range(_FINISH_ATTEMPTS):
        try:
            with catalog.transaction() as session:
                changelog.lock(session)
                # Whoever cancelled it wants no other try so soon; and what is held would be held again.
                if runs.finish_run(session, report) and not runs_live.cancel_asked(session, report.run_id):
                    well = report.state in {"succeeded", runs.HELD}
                    schedules.settle(session, source_id, succeeded=well, asks=asks)
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
        **{key: value for key, value in asdict(report).items() if key not in {"failures", "notes", "slowest"}},
    )
