"""From blocks to stored documents: chunk, embed what is new, and write each document in one transaction.

What is served is always text of the newest bytes that were read. So a document that fails keeps its old text only
while that is still what the file says, as far as we know: the bytes could not be fetched, or they are the ones that
the old text was made from (a newer parser trips over them). When new bytes fail, the old text is no longer true, and
it goes; the failure row says why.

A writer with a twin writes documents into the candidate (``indexing.store_candidate``), and what would go stays until
that is published; failures are failures of the source at once.
"""

from __future__ import annotations

import mimetypes
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeGuard

from indexing import changelog, runs, store, store_candidate
from indexing.chunk import chunk_blocks, document_language, document_text
from indexing.compare import root_uri
from indexing.documents import NewDocument
from indexing.errors import CatalogUnavailable, ModelUnusable, RunLost, StorageFull
from indexing.live import Cancelled
from indexing.reading import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

    from indexing.compare import Pipeline
    from indexing.db import Catalog
    from indexing.documents import Chunk, Failure, KnownDocument, KnownFailure, SourceRecord
    from indexing.embed import Embedder
    from indexing.reading import Reading

_TITLE_CHARACTERS = 500
#: Texts given to the model at a time: between two slices a run can be cancelled.
_SLICE_TEXTS = 256
_STORE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Prepared:
    """A reading with its chunks; none when there is nothing to write but a version tag or a failure."""

    reading: Reading
    text: str = ""
    language: str = "und"
    chunks: tuple[Chunk, ...] = ()
    attachments: tuple[Prepared, ...] = ()

    def family(self) -> Iterator[Prepared]:
        """Yield this document and everything attached to it."""
        yield self
        for attachment in self.attachments:
            yield from attachment.family()

    def texts(self) -> dict[str, str]:
        """Return what the model sees, by the hash that its embedding is kept under."""
        return {chunk.text_hash: chunk.embed_text for member in self.family() for chunk in member.chunks}


def _unwatched(stage: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Where documents are written to, and what is known of those that are there."""

    catalog: Catalog
    embedder: Embedder
    source: SourceRecord
    pipeline: Pipeline
    run_id: int | None = None
    attachments: Mapping[int, Sequence[KnownDocument]] = field(default_factory=dict)  # by the id of their parent
    failures: Mapping[str, KnownFailure] = field(default_factory=dict)
    own_lists: Mapping[str, int] = field(default_factory=dict)  # by uri of the item, attachments follow
    cancel: threading.Event = field(default_factory=threading.Event)
    twin_id: int | None = None  # of the candidate that is written; None: what is written is served
    enter: Callable[[str], None] = _unwatched  # is told the stage that a batch is at


@dataclass(frozen=True, slots=True)
class Written:
    """What one batch came to: counts by their names in SyncReport, failures, seconds by stage."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def prepare(writer: Writer, reading: Reading) -> Prepared:
    """Return the reading with its chunks. One whose chunking fails becomes a failure."""
    attachments = tuple(prepare(writer, attachment) for attachment in reading.attachments)
    if reading.parsed is None:
        return Prepared(reading, attachments=attachments)
    blocks = reading.parsed.blocks
    try:
        chunks = chunk_blocks(
            blocks,
            title=reading.parsed.title,
            token_spans=writer.embedder.token_spans,
            max_tokens=writer.pipeline.chunk_tokens,
        )
    except Exception as exc:  # noqa: BLE001 -- the boundary of one document: it fails, the run goes on
        return Prepared(_failed(reading, "chunk", exc))
    return Prepared(reading, document_text(blocks), document_language(blocks), tuple(chunks), attachments)


def write(writer: Writer, batch: Sequence[Prepared]) -> Written:
    """Embed the batch together, then store each document in its own transaction.

    Raises StorageFull and CatalogUnavailable (what was stored before stays), ModelUnusable, RunLost and Cancelled. Any
    other trouble is the failure of one document.
    """
    written = Written()
    started = time.monotonic()
    vectors: dict[str, bytes] = {}
    writer.enter("embed")
    try:
        vectors = embed_missing(writer, {key: text for one in batch for key, text in one.texts().items()})
    except (ModelUnusable, Cancelled, CatalogUnavailable):
        raise
    except Exception as exc:  # noqa: BLE001 -- the boundary of one document, once it is known which
        if len(batch) > 1:  # one of them is to blame: find out which
            for one in batch:
                _add(written, write(writer, [one]))
            return written
        batch = [Prepared(_failed(batch[0].reading, "embed", exc))]
    embedded = time.monotonic()
    writer.enter("store")
    _spend(written, "embed", embedded - started)
    for one in batch:
        try:
            counts, failures = _store_alone(writer, one, vectors)
        except (StorageFull, CatalogUnavailable, ModelUnusable, RunLost, Cancelled):
            raise
        except Exception as exc:  # noqa: BLE001 -- the boundary of one document: it fails, the run goes on
            counts, failures = _store_alone(writer, Prepared(_failed(one.reading, "store", exc)), {})
        written.counts.update(counts)
        written.failures.extend(failures)
    written.counts["chunks_embedded"] += len(vectors)
    written.counts["chunks_reused"] += written.counts["chunks_written"] - len(vectors)
    _spend(written, "store", time.monotonic() - embedded)
    return written


def embed_missing(writer: Writer, texts: Mapping[str, str]) -> dict[str, bytes]:
    """Return fp16 vectors for those of *texts* (hash → text) that the catalog has none for. Raises Cancelled."""
    with writer.catalog.reading() as session:
        missing = sorted(store.missing_embeddings(session, texts.keys(), writer.embedder.fingerprint))
    vectors: dict[str, bytes] = {}
    for first in range(0, len(missing), _SLICE_TEXTS):
        if writer.cancel.is_set():
            raise Cancelled
        hashes = missing[first : first + _SLICE_TEXTS]
        rows = writer.embedder.embed_passages([texts[text_hash] for text_hash in hashes]).astype("<f2")
        vectors |= {text_hash: row.tobytes() for text_hash, row in zip(hashes, rows, strict=True)}
    return vectors


def _store_alone(
    writer: Writer, prepared: Prepared, vectors: Mapping[str, bytes]
) -> tuple[Counter[str], list[Failure]]:
    """Return counts and failures after one document, with its attachments, was committed."""
    vectors = dict(vectors)
    for _ in range(_STORE_ATTEMPTS):
        with writer.catalog.transaction() as session:
            changelog.lock(session)
            if writer.run_id is not None:
                runs.hold(session, writer.run_id)
            if not is_current(session, writer, prepared):
                return Counter(unchanged=1), []
            missing = swept(session, writer, prepared, vectors)
            if not missing:
                return store_prepared(session, writer, prepared, vectors)[1:]
        vectors |= embed_missing(writer, missing)
    raise CatalogUnavailable(f"The embeddings of {prepared.reading.uri} were removed each time they were stored.")


def is_current(session: Session, writer: Writer, prepared: Prepared) -> bool:
    """Say whether the document is still what it was when it was read; else somebody wrote or deleted it since."""
    known = prepared.reading.known
    now = store.known_document(session, writer.source.id, prepared.reading.uri)
    return _state(now) == _state(known)


def _state(known: KnownDocument | None) -> tuple[int, str, int | None] | None:
    return None if known is None else (known.id, known.content_hash, known.own_acl_id)


def swept(session: Session, writer: Writer, prepared: Prepared, vectors: Mapping[str, bytes]) -> dict[str, str]:
    """Return the texts, by hash, whose embeddings were there when the batch was embedded and are there no more."""
    texts = {key: text for key, text in prepared.texts().items() if key not in vectors}
    missing = store.missing_embeddings(session, texts.keys(), writer.embedder.fingerprint)
    return {key: texts[key] for key in missing}


def store_prepared(
    session: Session, writer: Writer, prepared: Prepared, vectors: Mapping[str, bytes]
) -> tuple[int | None, Counter[str], list[Failure]]:
    """Write a document and its attachments; return its id (None when it has none), counts and failures."""
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    document_id = _store(session, writer, prepared, vectors, None, (counts, failures))
    return document_id, counts, failures


def _store(
    session: Session,
    writer: Writer,
    prepared: Prepared,
    vectors: Mapping[str, bytes],
    parent_id: int | None,
    outcome: tuple[Counter[str], list[Failure]],
) -> int | None:
    """Write one document, then its attachments below it; return its id."""
    counts, failures = outcome
    reading = prepared.reading
    known, raw = reading.known, reading.raw
    if reading.failure is not None:
        counts.update(_store_failure(session, writer, reading, reading.failure))
        failures.append(reading.failure)
        return known.id if known else None
    if reading.parked or raw is None:
        counts.update(_store_parked(session, writer, reading))
        return known.id if known else None
    runs.clear_failure(session, writer.source.id, reading.uri)
    if reading.parsed is None:
        if known is None:
            return None
        store.touch_document(session, known.id, raw.version_tag, raw.modified_at)
        own_id = writer.own_lists.get(root_uri(reading.uri))
        if known.own_acl_id != own_id:  # it waited for the bytes: indexing/item_lists.py
            counts["relisted"] += store.set_own_list(session, writer.source.id, [known.id], own_id)
        counts["unchanged" if known.version_tag == raw.version_tag else "touched"] += 1
        return known.id
    hashes = {chunk.text_hash for chunk in prepared.chunks}
    own = {text_hash: vector for text_hash, vector in vectors.items() if text_hash in hashes}
    store.put_embeddings(session, writer.embedder.fingerprint, own)
    document_id = store.replace_document(session, _new_document(writer, prepared, parent_id), prepared.chunks)
    counts.update({"changed" if known else "added": 1, "chunks_written": len(prepared.chunks)})
    for attachment in prepared.attachments:
        _store(session, writer, attachment, vectors, document_id, outcome)
    counts["deleted"] += _drop_attachments(session, writer, prepared)
    return document_id


def _store_failure(session: Session, writer: Writer, reading: Reading, failure: Failure) -> Counter[str]:
    """Record the failure; the old text goes when the file is known to say something else now."""
    version_tag = reading.raw.version_tag if reading.raw else None
    own_id = writer.own_lists.get(root_uri(reading.uri))
    runs.record_failure(
        session, writer.source.id, writer.run_id, failure, version_tag, writer.pipeline.failures, own_id
    )
    gone = _remove(session, writer, [reading.known]) if is_outdated(reading.known, failure.content_hash) else 0
    return Counter(failed=1, deleted=gone)


def is_outdated(known: KnownDocument | None, failed_hash: str | None) -> TypeGuard[KnownDocument]:
    """Say whether a document is not what its item says any more, by the hash of the bytes that could not be read."""
    return known is not None and failed_hash is not None and failed_hash != known.content_hash


def remove_outdated(writer: Writer, documents: Sequence[KnownDocument]) -> int:
    """Return how many documents go with these, whose new bytes failed in a run that was held, and are not tried again.

    Else they would be served for good: only the run in which bytes fail knows what that makes of the document.
    """
    if not documents:
        return 0
    with writer.catalog.transaction() as session:
        changelog.lock(session)
        if writer.run_id is not None:
            runs.hold(session, writer.run_id)
        return _remove(session, writer, documents)


def _store_parked(session: Session, writer: Writer, reading: Reading) -> Counter[str]:
    """Note the new version tag of bytes that failed for good, so that the next run need not hash them again."""
    gone = 0
    for record in runs.failures(session, writer.source.id):
        if record.failure.uri == reading.uri and reading.raw is not None:
            runs.record_failure(
                session,
                writer.source.id,
                record.run_id,
                record.failure,
                reading.raw.version_tag,
                writer.pipeline.failures,
                writer.own_lists.get(root_uri(reading.uri)),
            )
            if is_outdated(reading.known, record.failure.content_hash):
                gone += _remove(session, writer, [reading.known])
    return Counter(parked=1, deleted=gone)


def _drop_attachments(session: Session, writer: Writer, prepared: Prepared) -> int:
    """Return how many documents went: attachments that the new version of their parent does not have."""
    known, uri = prepared.reading.known, prepared.reading.uri
    kept = {attachment.reading.uri for attachment in prepared.attachments}
    for failed in writer.failures:
        if failed.startswith(f"{uri}!/") and not any(failed == one or failed.startswith(f"{one}!/") for one in kept):
            runs.clear_failure(session, writer.source.id, failed)
    old = writer.attachments.get(known.id, ()) if known else ()
    return _remove(session, writer, [document for document in old if document.uri not in kept])


def _remove(session: Session, writer: Writer, documents: Sequence[KnownDocument]) -> int:
    """Return how many documents go with these, now or when the candidate is published."""
    if writer.twin_id is not None:
        return store_candidate.bury(session, writer.twin_id, documents)
    return store.delete_documents(session, [document.id for document in documents])


def _new_document(writer: Writer, prepared: Prepared, parent_id: int | None) -> NewDocument:
    reading = prepared.reading
    assert reading.raw is not None  # noqa: S101 -- for the type checker: what was parsed was fetched
    assert reading.parsed is not None  # noqa: S101 -- likewise: the caller looked
    name = reading.raw.name[-_TITLE_CHARACTERS:] or name_of(reading.uri)
    return NewDocument(
        source_id=writer.source.id if writer.twin_id is None else writer.twin_id,
        uri=reading.uri,
        title=(reading.parsed.title or "").strip()[:_TITLE_CHARACTERS] or name,
        size_bytes=reading.raw.size_bytes,
        content_hash=reading.raw.content_hash,
        version_tag=reading.raw.version_tag,
        language=prepared.language,
        pipeline=writer.pipeline.documents,
        text=prepared.text,
        own_acl_id=writer.own_lists.get(root_uri(reading.uri)),
        parent_id=parent_id,
        media_type=reading.raw.media_type or mimetypes.guess_type(name)[0],
        modified_at=reading.raw.modified_at,
        notes=reading.parsed.notes,
    )


def name_of(uri: str) -> str:
    """Return the last part of a uri: the title of a document that has none."""
    return uri.rsplit("/", 1)[-1]


def _failed(reading: Reading, stage: str, exc: Exception) -> Reading:
    content_hash = reading.raw.content_hash if reading.raw else None
    return replace(reading, parsed=None, attachments=(), failure=failure_of(reading.uri, stage, exc, content_hash))


def _add(total: Written, part: Written) -> None:
    total.counts.update(part.counts)
    total.failures.extend(part.failures)
    for stage, seconds in part.seconds.items():
        _spend(total, stage, seconds)


def _spend(written: Written, stage: str, seconds: float) -> None:
    written.seconds[stage] = written.seconds.get(stage, 0.0) + seconds
