"""Documents that are pushed one by one: the same path as in ``pipeline.py``, for a single document, all or nothing."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from indexing import changelog, runs, store
from indexing.compare import attachments_of, pipeline_of
from indexing.documents import OriginalContent, RawDocument
from indexing.errors import PARSE_ERRORS, ItemUnreadable, ParseError, ParseLimit, SourceError
from indexing.item_lists import own_list
from indexing.principals import LOCAL
from indexing.reading import Reader, read_bytes
from indexing.tables import utc_now
from indexing.writing import Writer, embed_missing, is_current, prepare, store_prepared, swept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.documents import SourceRecord
    from indexing.pipeline import Indexing

_URI_CHARACTERS = 2000
_ATTEMPTS = 3


def push_document(
    indexing: Indexing,
    source: SourceRecord,
    uri: str,
    path: Path,
    media_type: str | None = None,
    readers: Sequence[str] | None = None,
) -> int:
    """Store the file at *path* as document *uri* of a push source, and return the document's id.

    *readers* are names of who may read it, of those who may read the source; None means all of them, no names mean
    nobody, and a name that is not known counts for nobody. Original, document, list, chunks and embeddings are
    committed in one transaction before this returns, so the next question finds them. Pushing again what is there
    changes nothing. Raises ParseError, EmbedError, CatalogError or SourceError; then nothing was stored, and an older
    version stays as it was.
    """
    refuse_other_kinds(source)
    refuse_uri(uri)
    content = _content(path, uri, indexing.settings.max_file_mb)
    digest = hashlib.sha256(content).hexdigest()
    raw = RawDocument(uri, path, digest, len(content), media_type, version_tag=digest, modified_at=utc_now())
    for _ in range(_ATTEMPTS):
        document_id = _pushed(indexing, source, raw, OriginalContent(content, media_type, digest), readers)
        if document_id is not None:
            return document_id
    raise SourceError(f"{uri} is being changed by somebody else.", remedy="Push it again.")


def _pushed(
    indexing: Indexing,
    source: SourceRecord,
    raw: RawDocument,
    original: OriginalContent,
    readers: Sequence[str] | None,
) -> int | None:
    """Return the document's id after the commit; None, with nothing stored, when somebody else was faster."""
    pipeline = pipeline_of(indexing.embedder, indexing.settings)
    with indexing.catalog.reading() as session:
        document = store.known_document(session, source.id, raw.uri)
        attached = store.known_attachments(session, document.id) if document else []
        failures = runs.known_failures(session, source.id)
    known = {one.uri: one for one in (document, *attached) if one}
    writer = Writer(indexing.catalog, indexing.embedder, source, pipeline, None, attachments_of(known), failures)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workdir:
        opened = indexing.opened(source)
        reader = Reader(opened, indexing.parsers, indexing.settings, pipeline, known, {}, Path(workdir))
        prepared = prepare(writer, read_bytes(reader, raw))
    if (failure := prepared.reading.failure) is not None:
        raise PARSE_ERRORS.get(failure.error, ParseError)(failure.reason, remedy=failure.remedy)
    vectors = embed_missing(writer, prepared.texts())
    with indexing.catalog.transaction() as session:
        changelog.lock(session)
        if not is_current(session, writer, prepared) or swept(session, writer, prepared, vectors):
            return None
        if prepared.reading.parsed is not None:
            store.put_original(session, source.id, raw.uri, original)
        store.set_original_readers(session, source.id, raw.uri, readers)
        own_id = None if readers is None else own_list(session, readers, LOCAL, set())
        writer = replace(writer, own_lists={} if own_id is None else {raw.uri: own_id})
        document_id = store_prepared(session, writer, prepared, vectors)[0]
        if document_id is not None:  # where only the list is new, nothing else was written
            store.set_own_list(session, source.id, [document_id], own_id)
            indexing.recorded(session, "document.push", document_id)
        return document_id


def delete_document(indexing: Indexing, source: SourceRecord, uri: str) -> bool:
    """Return whether there was such a document; its original, chunks and attachments are gone for the next question.

    Raises SourceError for other sources than push sources: there the document goes when its file goes.
    """
    refuse_other_kinds(source)
    with indexing.catalog.transaction() as session:
        changelog.lock(session)
        document = store.known_document(session, source.id, uri)
        deleted = store.delete_documents(session, [document.id]) if document else 0
        for failed in runs.known_failures(session, source.id):
            if failed == uri or failed.startswith(f"{uri}!/"):
                runs.clear_failure(session, source.id, failed)
        deleted += store.delete_original(session, source.id, uri)
        if document:
            indexing.recorded(session, "document.delete", document.id)
        return deleted > 0


def refuse_other_kinds(source: SourceRecord) -> None:
    """Raise SourceError unless documents can be pushed to *source*."""
    if source.kind != "push":
        raise SourceError(
            f"Source {source.name} is of the kind {source.kind}: its documents come from {source.location or 'there'}.",
            remedy="Change them there, or add a source of the kind push.",
        )


def refuse_uri(uri: str) -> None:
    """Raise SourceError for a uri that cannot be shown, or that could be an attachment's."""
    if not uri.strip() or len(uri) > _URI_CHARACTERS or "!/" in uri or not uri.isprintable():
        raise SourceError(
            f"The document name {uri[:80]!r} cannot be used.",
            remedy=f"Use 1 to {_URI_CHARACTERS} printable characters without the pair !/.",
        )


def _content(path: Path, uri: str, max_file_mb: int) -> bytes:
    try:
        if path.stat().st_size > max_file_mb << 20:
            raise ParseLimit(
                f"{uri} has {path.stat().st_size >> 20} MB, more than METIER_MAX_FILE_MB allows ({max_file_mb}).",
                remedy="Split the file, or raise METIER_MAX_FILE_MB.",
            )
        return path.read_bytes()
    except OSError as exc:
        raise ItemUnreadable(f"{uri} cannot be read: {exc.strerror}.") from exc
