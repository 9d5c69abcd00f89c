"""What a run would do, found out without doing it: ``metier plan``."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from indexing import runs, runs_history
from indexing.compare import compare, moves, pipeline_of, refuse_shrunk, rename_candidates, root_uri
from indexing.documents import SyncPlan
from indexing.errors import SourceShrunk
from indexing.item_lists import hidden
from indexing.listing import Crawl
from indexing.pace import estimate
from indexing.reading import Reader, hashed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexing.documents import KnownDocument, KnownFailure, Listing, Scope, SourceRecord
    from indexing.pipeline import Indexing

REASONS = ("new", "changed", "stale", "retried")


def visible_plan(indexing: Indexing, source: SourceRecord, scope: Scope) -> SyncPlan:
    """Return ``plan_source`` of the documents that the scope may read, as if there were no others."""
    return _plan(indexing, source, scope)


def plan_source(indexing: Indexing, source: SourceRecord) -> SyncPlan:
    """Return what ``sync_source`` would do now. The catalog is not changed and nothing is parsed.

    Files whose version tag changed are hashed, so that a touched file is not announced as changed. Raises SourceError
    when the source cannot be listed; an implausible loss is told as a problem. Of all documents: for this program
    itself, not for whoever asks (``visible_plan``).
    """
    return _plan(indexing, source, None)


def _plan(indexing: Indexing, source: SourceRecord, scope: Scope | None) -> SyncPlan:
    pipeline = pipeline_of(indexing.embedder, indexing.settings)
    with indexing.catalog.reading() as session:
        pace = runs_history.pace(session, source.id, scope)
    opened = indexing.opened(source)
    (part,) = Crawl(indexing.catalog, source, opened, pipeline).parts(most=sys.maxsize)
    listing, known, failures = part.listing, part.known, part.failures
    if scope is not None:
        listing, known, failures = _shown(indexing, scope, listing, known, failures)
    work = compare(listing, known, failures, pipeline)
    by_reason = {reason: [t for t in work.tasks if t.reason == reason] for reason in REASONS}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workdir:
        reader = Reader(opened, indexing.parsers, indexing.settings, pipeline, known, failures, Path(workdir))
        moved = moves(work, list(hashed(reader, rename_candidates(work))), pipeline)
        touched = {
            task.item.uri
            for task, raw in hashed(reader, by_reason["changed"])
            if task.known and task.known.content_hash == raw.content_hash
        }
    arrived, origins = {raw.uri for _, raw in moved}, {document.id for document, _ in moved}
    gone = [document for document in work.gone if document.id not in origins]
    problems = [f"{failure.uri}: {failure.reason}" for failure in listing.failures]
    if not listing.complete:
        problems.append("The listing is incomplete: nothing would be deleted.")
    try:
        stored = part.stored - (_roots(part.known) - _roots(known))
        listed = part.unchanged + len(listing.items)
        refuse_shrunk(len(gone), stored, indexing.settings.shrink_limit, listed)
    except SourceShrunk as exc:
        problems.append(str(exc))
    to_read = [t for t in work.tasks if t.item.uri not in arrived | touched]
    bytes_to_read = sum(task.item.size_bytes or 0 for task in to_read)
    return SyncPlan(
        source=source.name,
        new=tuple(task.item.uri for task in by_reason["new"] if task.item.uri not in arrived),
        changed=tuple(task.item.uri for task in by_reason["changed"] if task.item.uri not in touched),
        stale=tuple(task.item.uri for task in by_reason["stale"]),
        unchanged=part.unchanged + work.unchanged + len(touched),
        gone=tuple(document.uri for document in gone),
        moved=tuple(f"{document.uri} → {raw.uri}" for document, raw in moved),
        retried=tuple(task.item.uri for task in by_reason["retried"]),
        parked=work.parked,
        bytes_to_read=bytes_to_read,
        estimate=estimate(pace, len(to_read), bytes_to_read),
        problems=tuple(problems),
    )


def _roots(known: Mapping[str, KnownDocument]) -> int:
    return sum(document.parent_id is None for document in known.values())


def _shown(
    indexing: Indexing,
    scope: Scope,
    listing: Listing,
    known: Mapping[str, KnownDocument],
    failures: Mapping[str, KnownFailure],
) -> tuple[Listing, dict[str, KnownDocument], dict[str, KnownFailure]]:
    """Return the three without what the scope may not read; what a source left out is told to nobody then."""
    with indexing.catalog.reading() as session:
        without = hidden(session, scope, listing, known)
        told = {record.failure.uri for record in runs.visible_failures(session, scope)}
    items = tuple(item for item in listing.items if item.uri not in without)
    failed = tuple(failure for failure in listing.failures if failure.uri not in without)
    seen = {uri: one for uri, one in failures.items() if uri in told and root_uri(uri) not in without}
    mine = {uri: one for uri, one in known.items() if uri not in without and root_uri(uri) not in without}
    return replace(listing, items=items, failures=failed, notes=()), mine, seen
