"""The vocabulary of the indexing package: frozen records that cross module borders, and nothing else.

Everything in this package is a function between these records. Word by word they are the glossary of
the README: an *item* is listed, a *raw document* is fetched, *blocks* are parsed, *chunks* are embedded,
a *hit* is found and a *passage* is permitted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from indexing.run_records import Estimate, SlowDocument
    from indexing.trial import Trial

#: The kinds of block that a parser may return.
BLOCK_KINDS = ("title", "text", "list", "table", "code")
#: The media type of a web page whose own part is to be read, without the menus that stand on every page of its site.
WEB_PAGE = "text/html; part=main"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing a source lists. ``(source, uri)`` is the identity; the version tag only says "look again"."""

    uri: str
    version_tag: str
    modified_at: datetime | None = None  # time zone aware, UTC
    size_bytes: int | None = None
    #: Names of who may read it, of those who may read the source. None: all of them; empty: nobody.
    readers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing. All parts of a listing together hold each item once, in any order.

    ``checkpoint``, where a source can give one: what to pass to ``Source.pages`` to go on after this part.
    """

    items: tuple[Item, ...] = ()
    failures: tuple[Failure, ...] = ()  # entries that were seen and cannot be items: stage "list"
    notes: tuple[str, ...] = ()  # what was left out on purpose, in plain words: "12 hidden files"
    complete: bool = True  # False: something of this part could not be looked into, so that absence proves nothing
    checkpoint: str | None = None
    issuer: str = "local"  # whose the names of readers are; the same in all parts


@dataclass(frozen=True, slots=True)
class Listing:
    """All that a source holds at one moment. Absence means "gone" only when the listing is complete."""

    items: tuple[Item, ...]
    complete: bool = True
    failures: tuple[Failure, ...] = ()  # entries that were seen and cannot be items: stage "list"
    notes: tuple[str, ...] = ()  # what was left out on purpose, in plain words: "12 hidden files"
    issuer: str = "local"  # whose the names of readers are


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The catalog's record of one source. ``kind`` is one of ``indexing.sources.kind_names``."""

    id: int
    name: str
    kind: str
    location: str
    acl_id: int
    acl_synced_at: datetime | None = None  # when the last complete listing began
    acl_max_age_minutes: int | None = None  # lists that are older hide its documents; None and 0: never
    options: Mapping[str, str] = field(default_factory=dict)  # what the kind of source may be told, no secrets
    secret: str | None = None  # the name of what is in a file of secrets (``indexing.secrets``), never the secret
    asks: str | None = None  # why its last listing deleted nothing, and somebody is to confirm the deletions


@dataclass(frozen=True, slots=True)
class RawDocument:
    """The bytes of one item, copied to a private file, so that what was hashed is what is parsed."""

    uri: str
    path: Path
    content_hash: str  # sha256, hexadecimal
    size_bytes: int
    media_type: str | None = None  # only when the source knows it; the parser looks at name and content
    version_tag: str = ""  # of exactly these bytes; the listing's may be older
    modified_at: datetime | None = None
    name: str = ""  # what its source calls it, folders before it, where the uri does not say: "hr/pay.docx"


@dataclass(frozen=True, slots=True)
class Block:
    """A parsed element, in reading order. ``text`` is never blank and holds no NUL or lone surrogate."""

    text: str
    kind: str = "text"  # one of BLOCK_KINDS
    page: int | None = None  # 1-based page, slide or sheet
    heading_path: tuple[str, ...] = ()  # outermost first; a title block's own text is not in its own path


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file found inside another (mail); it becomes a document of its own, ``parent-uri!/name``."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the parser made of one file: at least one block, or attachments; never neither."""

    blocks: tuple[Block, ...]
    title: str | None = None  # from the content (metadata, first heading, subject), never from the file name
    attachments: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()  # what was left out, in plain words: "3 of 9 pages could not be read"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The unit that is embedded and retrieved.

    ``text == document_text[start:end]`` always holds, where ``document_text`` is the blocks' texts
    joined by a blank line (``chunk.document_text``).
    """

    ordinal: int  # 0-based position in the document
    text: str
    start: int
    end: int
    page: int | None
    heading_path: tuple[str, ...]
    language: str  # ISO 639-1, or "und"
    token_count: int  # of embed_text, by the embedding model's own tokenizer
    embed_text: str  # what the model sees: title and heading path, then the text
    text_hash: str  # sha256 of embed_text: the key of its embedding


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, and the access lists that this principal may read. Empty lists mean: nothing.

    ``only_public``: of those, only the lists that everyone is on, for an answer that others get to see too.
    ``together``: of those, only the lists that each of these principals may read too: they all get to see the answer.
    ``trial``: a gate asks, whose answers nobody sees; the lists are also those of what it tries.

    Only ``indexing.access.authorise`` builds one (a test looks). Every read that can return text, titles
    or counts takes one; there is no "None means all".
    """

    principal_id: int
    acl_ids: frozenset[int]
    only_public: bool = False
    trial: Trial | None = None
    together: frozenset[int] = frozenset()

    @property
    def is_shared(self) -> bool:
        """Whether others get to see the answer, so that not all that the asker may read was searched for it."""
        return self.only_public or bool(self.together)


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk id with a score, not yet authorised: it carries no text on purpose."""

    chunk_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit joined to its live, permitted row: the only record that carries text towards an answer."""

    chunk_id: int
    document_id: int
    source_id: int
    source: str  # the source's name
    uri: str
    title: str
    text: str
    start: int  # characters in the document's text
    end: int
    page: int | None
    heading_path: tuple[str, ...]
    language: str
    modified_at: datetime | None
    score: float = 0.0  # fused
    score_dense: float | None = None  # cosine, when the dense side found it
    score_bm25: float | None = None  # when the keyword side found it


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that could not be read: a row that the user sees, with what to do about it."""

    uri: str
    stage: str  # list | fetch | parse | chunk | embed | store
    reason: str
    remedy: str
    error: str = ""  # class name of the error
    content_hash: str | None = None
    readers: tuple[str, ...] | None = None  # of what the source could not list: as of an Item


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a run would do: uris by what would happen to them. Nothing was changed to find out."""

    source: str
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()  # as they were, and read by an older parser, chunker or model: read again
    unchanged: int = 0
    gone: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()  # "old uri → new uri"
    retried: tuple[str, ...] = ()  # failed before, and tried again
    parked: tuple[str, ...] = ()  # failed before, nothing has changed since: not tried again
    bytes_to_read: int = 0
    estimate: Estimate | None = None
    problems: tuple[str, ...] = ()  # why deletions would be refused, unreadable folders …


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. ``total`` is 0 while it is unknown."""

    stage: str  # list | compare | read | embed | store | gate
    done: int
    total: int
    uri: str = ""  # the item that was just finished
    bytes_done: int = 0
    bytes_total: int = 0
    seconds_left: float | None = None  # an estimate: indexing.pace


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a run did. Counts are of documents, attachments included, unless the name says otherwise.

    ``seconds`` is wall clock; ``seconds_by_stage`` adds up what each thread spent.
    """

    run_id: int
    source: str
    state: str  # succeeded | held | failed | cancelled
    listed: int = 0  # items: attachments are not listed
    added: int = 0
    changed: int = 0
    moved: int = 0
    relisted: int = 0  # other readers; content as it was
    touched: int = 0  # new version tag, equal bytes: a hash, nothing else
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0  # in this run
    parked: int = 0  # failed before, nothing has changed since: not tried again
    chunks_written: int = 0
    chunks_embedded: int = 0  # texts that the model had to see
    chunks_reused: int = 0  # texts whose embedding was already in the catalog
    documents_read: int = 0  # items that were fetched, whatever became of them
    bytes_read: int = 0
    seconds: float = 0.0
    seconds_by_stage: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    failures: tuple[Failure, ...] = ()  # of this run, the first 100; all are in the catalog
    notes: tuple[str, ...] = ()  # what the source left out on purpose
    slow: int = 0  # items that took longer than tally.SLOW_S to fetch and parse
    slowest: tuple[SlowDocument, ...] = ()  # of these, a few
    cpu_seconds: float = 0.0  # of this process and its children, whatever else they did meanwhile
    energy_wh: tuple[float, float] = (0.0, 0.0)  # from, to
    energy_method: str = ""  # cpu time | rapl: indexing.energy
    gives_lists: bool = False  # the source said who may read its items: their names are not for all its readers


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What ``store.replace_document`` writes of a document; its chunks come beside it."""

    source_id: int
    uri: str
    title: str
    size_bytes: int
    content_hash: str
    version_tag: str
    language: str
    pipeline: str  # fingerprint of parser and chunker
    text: str  # the whole document: ``chunk.document_text`` of its blocks
    acl_id: int | None = None  # None: as source and own list want it when the document is written
    own_acl_id: int | None = None  # the list that the source gave it; None: the source's alone counts
    parent_id: int | None = None  # the mail that this attachment came with
    media_type: str | None = None
    modified_at: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """What planning needs of a stored document."""

    id: int
    uri: str
    version_tag: str
    content_hash: str
    pipeline: str
    parent_id: int | None
    size_bytes: int
    title: str = ""
    own_acl_id: int | None = None  # the list that the source gave it


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """What planning needs of an item that could not be read: when all of this is unchanged, so is the outcome."""

    uri: str
    content_hash: str | None
    version_tag: str | None
    pipeline: str
    attempts: int
    stage: str = ""
    error: str = ""  # class name: some are verdicts on the bytes, others may pass


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A stored document as its readers may see it, without the text."""

    id: int
    source_id: int
    source: str  # the source's name
    uri: str
    parent_id: int | None
    title: str
    media_type: str | None
    size_bytes: int
    content_hash: str
    modified_at: datetime | None
    language: str
    notes: tuple[str, ...]
    indexed_at: datetime
    chunks: int


@dataclass(frozen=True, slots=True)
class OriginalContent:
    """The bytes of a pushed document."""

    content: bytes
    media_type: str | None
    content_hash: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a scope can read."""

    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class IndexBatch:
    """Rows for the indexes, in chunk-id order; every field has one entry for each row."""

    chunk_ids: NDArray[np.int64]
    document_ids: NDArray[np.int64]
    source_ids: NDArray[np.int32]
    acl_ids: NDArray[np.int32]
    languages: list[str]
    texts: list[str]
    titles: list[str]
    headings: list[str]  # heading path joined by " > "
    uris: list[str]
    vectors: NDArray[np.float16]  # (rows, dimension), L2-normalised before rounding


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A failure with where and when it happened."""

    source_id: int
    source: str  # the source's name
    failure: Failure
    attempts: int
    run_id: int | None
    at: datetime
