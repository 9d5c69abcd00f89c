"""What a run has to do: the listing against the catalog. Pure functions; nothing is read, nothing is changed.

A failure is tried again when the file or the pipeline has changed, and otherwise depends on what it was:

* the source could not hand out the bytes (stage fetch): always, because the bytes were never looked at;
* a verdict on the bytes (no text, a password, an unknown format, a missing program): not at all, because the same
  parser says the same of the same bytes (installing the program changes the pipeline of failures);
* anything else (a limit, a crash, the embedding model): three attempts in all, then it is *parked*.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexing.chunk import CHUNKER_VERSION
from indexing.errors import EmptyDocument, EncryptedDocument, ParserMissing, SourceShrunk, UnsupportedFormat
from indexing.parse import OCR_TIMEOUT_S, PARSER_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from indexing.documents import Item, KnownDocument, KnownFailure, Listing, RawDocument
    from indexing.embed import Embedder
    from indexing.settings import IndexingSettings

MAX_ATTEMPTS = 3
#: A listing of a source with fewer documents may lose any share of them, as long as something is listed.
SHRINK_AT_LEAST = 10
_VERDICTS = frozenset(cls.__name__ for cls in (EmptyDocument, EncryptedDocument, UnsupportedFormat, ParserMissing))
_PROGRAMS = ("tesseract", "soffice", "libreoffice")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What turns bytes into chunks, as fingerprints: other fingerprint, other chunks."""

    documents: str  # of stored documents: a document with another one is read again
    failures: str  # with all that could turn a failure into a success: programs, limits
    chunk_tokens: int


@dataclass(frozen=True, slots=True)
class Task:
    """An item to look at, and what is known of it."""

    item: Item
    reason: str  # new | changed | stale (read by an older pipeline) | retried
    known: KnownDocument | None = None
    failure: KnownFailure | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """All that a run has to do."""

    tasks: tuple[Task, ...] = ()
    unchanged: int = 0
    parked: tuple[str, ...] = ()
    gone: tuple[KnownDocument, ...] = ()  # without attachments: those go with their parents
    forgotten: tuple[str, ...] = ()  # failures of items that are gone


def pipeline_of(embedder: Embedder, settings: IndexingSettings) -> Pipeline:
    """Return the fingerprints of what would read a document now."""
    chunk_tokens = min(settings.chunk_tokens, embedder.max_tokens)
    documents = _fingerprint(PARSER_VERSION, CHUNKER_VERSION, chunk_tokens, embedder.fingerprint)
    failures = _fingerprint(
        documents,
        [name for name in _PROGRAMS if shutil.which(name)],
        settings.parse_timeout_s,
        settings.parse_memory_mb,
        settings.parse_output_mb,
        settings.max_file_mb,
        settings.ocr_languages,
        OCR_TIMEOUT_S,
    )
    return Pipeline(documents, failures, chunk_tokens)


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def compare(
    listing: Listing,
    known: Mapping[str, KnownDocument],
    failures: Mapping[str, KnownFailure],
    pipeline: Pipeline,
) -> Work:
    """Return what to do. An incomplete listing makes nothing gone: absence proves nothing then."""
    tasks: list[Task] = []
    parked: list[str] = []
    unchanged = 0
    for item in listing.items:
        document, failure = known.get(item.uri), failures.get(item.uri)
        if failure is not None:
            if failure.version_tag == item.version_tag and is_settled(failure, pipeline):
                parked.append(item.uri)
            else:
                tasks.append(Task(item, "retried", document, failure))
        elif document is None:
            tasks.append(Task(item, "new"))
        elif document.pipeline != pipeline.documents:
            tasks.append(Task(item, "stale", document))
        elif document.version_tag != item.version_tag:
            tasks.append(Task(item, "changed", document))
        else:
            unchanged += 1
    if not listing.complete:
        return Work(tuple(tasks), unchanged, tuple(parked))
    listed = {item.uri for item in listing.items}
    reported = {failure.uri for failure in listing.failures}
    return Work(
        tasks=tuple(tasks),
        unchanged=unchanged,
        parked=tuple(parked),
        gone=tuple(doc for doc in known.values() if doc.parent_id is None and doc.uri not in listed),
        forgotten=tuple(uri for uri in failures if not {uri, root_uri(uri)} & listed and uri not in reported),
    )


def is_settled(failure: KnownFailure, pipeline: Pipeline) -> bool:
    """Say whether trying the same bytes again is pointless."""
    return failure.pipeline == pipeline.failures and is_parked(failure.stage, failure.error, failure.attempts)


def is_parked(stage: str, error: str, attempts: int) -> bool:
    """Say whether a failure is not tried again while the file and the pipeline stay as they are."""
    if stage in {"fetch", "list"} or attempts == 0:  # 0: somebody asked for another try
        return False
    return error in _VERDICTS or attempts >= MAX_ATTEMPTS


def root_uri(uri: str) -> str:
    """Return the uri of the listed item that *uri* came with: ``mail.eml`` for ``mail.eml!/a.zip!/b.txt``."""
    return uri.split("!/", 1)[0]


def rename_candidates(work: Work) -> tuple[Task, ...]:
    """Return the new items that could be gone documents under a new name: those of equal size."""
    sizes = {document.size_bytes for document in work.gone}
    return tuple(task for task in work.tasks if task.known is None and task.item.size_bytes in sizes)


def refuse_shrunk(gone: int, total: int, shrink_limit: float, listed: int) -> None:
    """Raise SourceShrunk when *gone* of *total* documents, renamed ones not counted, are implausibly many.

    When nothing is *listed* any more, one document is too many.
    """
    if gone and not listed:
        raise SourceShrunk(f"All {total} documents are missing from the source. Nothing was changed.")
    if total >= SHRINK_AT_LEAST and gone > shrink_limit * total:
        raise SourceShrunk(
            f"{gone} of {total} documents are missing from the source, more than the share of {shrink_limit:g} "
            "that METIER_SHRINK_LIMIT allows. Nothing was changed."
        )


def attachments_of(known: Mapping[str, KnownDocument]) -> dict[int, list[KnownDocument]]:
    """Return the attachments by the id of what they are attached to."""
    found: dict[int, list[KnownDocument]] = {}
    for document in known.values():
        if document.parent_id is not None:
            found.setdefault(document.parent_id, []).append(document)
    return found


def moves(
    work: Work, candidates: Sequence[tuple[Task, RawDocument]], pipeline: Pipeline
) -> list[tuple[KnownDocument, RawDocument]]:
    """Return (gone document, its bytes under the new uri) for equal content; each is used once.

    A document that an older pipeline read is not moved but read again: its embeddings are found by their text.
    """
    by_hash: dict[str, list[KnownDocument]] = {}
    for document in work.gone:
        if document.pipeline == pipeline.documents:
            by_hash.setdefault(document.content_hash, []).append(document)
    return [(by_hash[raw.content_hash].pop(), raw) for _, raw in candidates if by_hash.get(raw.content_hash)]
