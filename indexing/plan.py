"""What a run would do, found out without doing it: ``metier plan``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from indexing import runs, store
from indexing.compare import compare, moves, pipeline_of, refuse_shrunk, rename_candidates
from indexing.documents import SyncPlan
from indexing.errors import SourceShrunk
from indexing.reading import Reader, hashed
from indexing.sources import open_source

if TYPE_CHECKING:
    from indexing.documents import SourceRecord
    from indexing.pipeline import Indexing


def plan_source(indexing: Indexing, source: SourceRecord) -> SyncPlan:
    """Return what ``sync_source`` would do now. The catalog is not changed and nothing is parsed.

    Files whose version tag changed are hashed, so that a touched file is not announced as changed. Raises SourceError
    when the source cannot be listed; an implausible loss is told as a problem.
    """
    pipeline = pipeline_of(indexing.embedder, indexing.settings)
    with indexing.catalog.reading() as session:
        known = store.known_documents(session, source.id)
        failures = runs.known_failures(session, source.id)
    opened = open_source(source, indexing.catalog, indexing.kinds)
    listing = opened.listing()
    work = compare(listing, known, failures, pipeline)
    by_reason = {reason: [t for t in work.tasks if t.reason == reason] for reason in ("new", "changed", "retried")}
    stale = [task for task in work.tasks if task.reason == "stale"]
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
        refuse_shrunk(len(gone), known, indexing.settings.shrink_limit)
    except SourceShrunk as exc:
        problems.append(str(exc))
    to_read = [t for t in work.tasks if t.item.uri not in arrived | touched]
    return SyncPlan(
        source=source.name,
        new=tuple(task.item.uri for task in by_reason["new"] if task.item.uri not in arrived),
        changed=tuple(task.item.uri for task in (*by_reason["changed"], *stale) if task.item.uri not in touched),
        unchanged=work.unchanged + len(touched),
        gone=tuple(document.uri for document in gone),
        moved=tuple(f"{document.uri} → {raw.uri}" for document, raw in moved),
        retried=tuple(task.item.uri for task in by_reason["retried"]),
        parked=work.parked,
        bytes_to_read=sum(task.item.size_bytes or 0 for task in to_read),
        problems=tuple(problems),
    )
