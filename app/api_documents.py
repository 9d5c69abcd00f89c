"""Routes about single documents: pushed to ``/v1/sources/{id}/documents/{uri}``, read from ``/v1/documents``."""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse

from app import audit
from app.api_body import limited
from app.api_errors import may_fail
from app.api_sources import Id, Limit, SourceFilter, source_with_id
from app.auth import MayRead, MayWrite, PartsHere, reading_as
from app.errors import BadRequest, Conflict, NotFound, TooLarge
from app.ingest import indexing_of
from app.wire import URI_CHARS
from app.wire_sources import DocumentOut, DocumentsOut, PushedOut
from indexing import store
from indexing.errors import StorageFull
from indexing.push import delete_document, push_document

if TYPE_CHECKING:
    from io import FileIO

    from app.auth import Principal
    from app.parts import Parts
    from indexing.documents import DocumentRecord, KnownDocument, SourceRecord

router = APIRouter(prefix="/v1")

#: The name of a document in its source: only a label, never a path on this machine.
Uri = Annotated[str, Path(max_length=URI_CHARS, description="The document's name in its source; may hold slashes.")]
Readers = Annotated[
    list[Annotated[str, Field(max_length=511)]] | None,
    Query(
        max_length=50,  # more would not fit into an address; name a group
        description="Names of who may read it, of those who may read the source: `name`, or `issuer|name`. None: all "
        "of them; one empty name: nobody. A name that is not known counts for nobody.",
    ),
]
#: What is gathered in memory before it is written to the disk, off the event loop.
SPOOL_BYTES = 1 << 20


@router.put(
    "/sources/{source_id}/documents/{uri:path}",
    operation_id="push_document",
    tags=["documents"],
    summary="Push a document",
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The file's bytes; its format is found from name, Content-Type and content.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    responses={201: {"description": "Stored for the first time.", "model": PushedOut}, **may_fail(409, 415)},
)
async def push(
    source_id: Id,
    uri: Uri,
    request: Request,
    response: Response,
    parts: PartsHere,
    who: MayWrite,
    readers: Readers = None,
) -> PushedOut:
    """Store a document, or replace the one of this name; when this returns, the next question finds it.

    Whoever writes to the source need not be one of the document's readers.
    """
    source = await run_in_threadpool(_push_source, parts, who, source_id)
    label = checked_uri(uri)
    incoming = await run_in_threadpool(lambda: parts.settings.incoming_dir)
    with tempfile.TemporaryDirectory(dir=incoming) as folder:
        path = FilePath(folder) / "document"
        await _save(request, path, parts.settings.max_file_mb << 20)
        media_type = request.headers.get("content-type")
        pushed = await run_in_threadpool(_push, parts, who, source, (label, path, media_type), named(readers))
    response.status_code = 201 if pushed.created else 200
    return pushed


def _push_source(parts: Parts, who: Principal, source_id: int) -> SourceRecord:
    """Return the source if it takes documents. Raises NotFound, or Conflict for a source that reads its own."""
    source = source_with_id(parts, who, source_id)
    if source.kind != "push":
        remedy = "Change the file in its folder and run sync, or push to a source of the kind push."
        raise Conflict(f"The source {source.name} is a {source.kind}: its documents are not pushed.", remedy=remedy)
    return source


def checked_uri(uri: str) -> str:
    """Return *uri* when it can name a document. Raises BadRequest that says what is wrong with it."""
    problem = None
    if not uri.strip():
        problem = "it is empty"
    elif not uri.isprintable():
        problem = "it holds control characters or invalid UTF-8"
    elif "!/" in uri:
        problem = "“!/” names the attachments of a mail"
    elif any(part in {"", ".", ".."} for part in uri.split("/")):
        problem = "it has an empty, “.” or “..” part"
    if problem is not None:
        raise BadRequest(f"This cannot name a document: {problem}.", remedy="Use a name such as hr/leave.md.")
    return uri


async def _save(request: Request, path: FilePath, most: int) -> None:
    """Write the body to *path*, a megabyte at a time.

    Raises TooLarge as soon as it is, whatever Content-Length claimed, and 408 for one that arrives too slowly. No
    thread waits for the client: it is only asked to write what has arrived.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    empty = True
    spool = bytearray()
    body = Request(request.scope, limited(request.receive, most, _too_large(most))).stream()
    file = await run_in_threadpool(path.open, "wb", buffering=0)
    try:
        async for piece in body:
            empty = empty and not piece
            spool += piece
            if len(spool) >= SPOOL_BYTES:
                await run_in_threadpool(_write, file, bytes(spool))
                spool.clear()
        await run_in_threadpool(_write, file, bytes(spool))
    finally:
        await run_in_threadpool(file.close)
    if empty:
        raise BadRequest("The document is empty.", remedy="Send its bytes as the body; DELETE removes a document.")


def _write(file: FileIO, data: bytes) -> None:
    try:
        file.write(data)
    except OSError as exc:
        raise StorageFull(f"The document could not be written: {exc.strerror}.") from exc


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The document is larger than the {most >> 20} MB that this server accepts.")


def named(readers: list[str] | None) -> tuple[str, ...] | None:
    """Return the names that were given; the empty name stands for nobody, so that "nobody" can be said at all."""
    return None if readers is None else tuple(name for name in readers if name)


def _push(
    parts: Parts,
    who: Principal,
    source: SourceRecord,
    file: tuple[str, FilePath, str | None],
    readers: tuple[str, ...] | None,
) -> PushedOut:
    uri, path, media_type = file
    existed = _stored(parts, source, uri) is not None
    document_id = push_document(indexing_of(parts, who.id), source, uri, path, media_type, readers)
    stored = _stored(parts, source, uri)
    if stored is None:
        raise NotFound("The document was deleted while it was stored.")
    return PushedOut(document_id=document_id, uri=uri, content_hash=stored.content_hash, created=not existed)


def _stored(parts: Parts, source: SourceRecord, uri: str) -> KnownDocument | None:
    """Return the document of this name, whoever may read it: for who writes to its source."""
    with parts.catalog.reading() as session:
        return store.known_document(session, source.id, uri)


@router.get(
    "/sources/{source_id}/documents/{uri:path}",
    operation_id="get_document_by_uri",
    tags=["documents"],
    summary="Read a document's record by name",
)
def get_by_uri(source_id: Id, uri: Uri, parts: PartsHere, who: MayRead) -> DocumentOut:
    """Return the document of this name in this source, if the asker may read it."""
    found = _find(parts, who, source_id, uri)
    if found is None:
        raise NotFound("There is no document of this name in this source.")
    return DocumentOut.model_validate(found)


@router.delete(
    "/sources/{source_id}/documents/{uri:path}",
    operation_id="delete_document",
    tags=["documents"],
    status_code=204,
    summary="Delete a pushed document",
    responses=may_fail(409),
)
def delete(source_id: Id, uri: Uri, parts: PartsHere, who: MayWrite) -> None:
    """Delete a pushed document; when this returns, no answer uses it any more."""
    source = _push_source(parts, who, source_id)
    if _stored(parts, source, uri) is None:
        raise NotFound("There is no document of this name in this source.")
    delete_document(indexing_of(parts, who.id), source, uri)


@router.get("/documents", operation_id="list_documents", tags=["documents"], summary="List documents")
def list_documents(
    parts: PartsHere,
    who: MayRead,
    source_id: SourceFilter = None,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Only documents with a higher id.")] = 0,
    limit: Limit = 100,
) -> DocumentsOut:
    """Return documents that the asker may read, in the order of their ids, a page at a time."""
    with reading_as(parts, who) as (session, scope):
        found = store.document_list(session, scope, source_id=source_id, after_id=after, limit=limit)
    next_after = found[-1].id if len(found) == limit else None
    return DocumentsOut(documents=tuple(DocumentOut.model_validate(d) for d in found), next_after=next_after)


@router.get("/documents/{document_id}", operation_id="get_document", tags=["documents"], summary="Read a record")
def get_document(document_id: Id, parts: PartsHere, who: MayRead) -> DocumentOut:
    """Return one document's record, if the asker may read it."""
    return DocumentOut.model_validate(_with_id(parts, who, document_id))


@router.get(
    "/documents/{document_id}/content",
    operation_id="get_document_content",
    tags=["documents"],
    summary="Read a document's text",
    response_class=PlainTextResponse,
)
def get_content(
    document_id: Id,
    parts: PartsHere,
    who: MayRead,
    start: Annotated[int | None, Query(ge=0, lt=2**63, description="First character, as a citation has it.")] = None,
    end: Annotated[int | None, Query(ge=0, lt=2**63, description="Character after the last one.")] = None,
) -> PlainTextResponse:
    """Return the text that citations point into, or of it what one cites.

    It is a download: the text is a document's, so no browser may render it.
    """
    with reading_as(parts, who) as (session, scope):
        record = store.document(session, scope, document_id)
        text = store.document_text(session, scope, document_id)
    if record is None or text is None:
        raise NotFound(f"There is no document {document_id}.")
    audit.note(parts.catalog, who.id, "document.read", document_id)
    name = record.uri.rpartition("/")[2]
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}.txt"
    return PlainTextResponse(text[start:end], headers={"Content-Disposition": disposition})


def _find(parts: Parts, who: Principal, source_id: int, uri: str) -> DocumentRecord | None:
    with reading_as(parts, who) as (session, scope):
        known = store.known_document(session, source_id, uri)
        return None if known is None else store.document(session, scope, known.id)


def _with_id(parts: Parts, who: Principal, document_id: int) -> DocumentRecord:
    with reading_as(parts, who) as (session, scope):
        found = store.document(session, scope, document_id)
    if found is None:
        raise NotFound(f"There is no document {document_id}.", remedy="GET /v1/documents lists them.")
    return found
