"""The fakes of the indexing package, shipped so that every test uses the same ones.

``tests/contracts`` runs each of them through the contract test of its protocol, so that they cannot drift.
"""

from __future__ import annotations

import hashlib
import re
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from indexing.documents import Block, Item, Listing, Page, Parsed, RawDocument
from indexing.errors import EmptyDocument, ItemUnreadable, SourceError, UnsupportedFormat
from indexing.sentences import words
from indexing.sources import Kind, kind_called
from indexing.trial import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from indexing.documents import SourceRecord
    from indexing.sources import Source
    from indexing.trial import Trial

_TOKEN = re.compile(r"\w+|[^\w\s]")


class HashEmbedder:
    """An Embedder that counts words, each in the place ``crc32(word) % (dimension - 1)``.

    Computable by eye: two texts that share no word have cosine 0, two of one word each have 1 or 0, and
    in general it is (sum over shared words of count × count) / (norm × norm), barring collisions. A text
    without words is the unit vector of the last place, which no word has. ``seen`` holds each passage
    that it was asked to embed; it raises ``error`` for passages that contain ``fails_on``.
    """

    def __init__(self, dimension: int = 384, *, max_tokens: int = 256, fingerprint: str | None = None) -> None:
        """Make one with *dimension* places."""
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.fingerprint = fingerprint or f"hash-{dimension}"
        self.seen: list[str] = []
        self.fails_on: str | None = None
        self.error: Exception = RuntimeError("the embedder was told to fail")

    def embed_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one L2-normalised row for each text, float32 (n, dimension)."""
        self.seen.extend(texts)
        if self.fails_on is not None and any(self.fails_on in text for text in texts):
            raise self.error
        return self._vectors(texts)

    def embed_questions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the same as ``embed_passages``: this model needs no prefix."""
        return self._vectors(texts)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character spans of the tokens: runs of word characters, and each other sign."""
        return [match.span() for match in _TOKEN.finditer(text)]

    def _vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in words(text):
                row[zlib.crc32(word.encode()) % (self.dimension - 1)] += 1
            if not row.any():
                row[-1] = 1
        normalised: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return normalised


class FakeSource:
    """A Source in memory: uri → bytes. It can be told to fail, and remembers what was fetched."""

    def __init__(self, files: Mapping[str, str | bytes] | None = None) -> None:
        """Hold *files*, each in its first version."""
        self._files: dict[str, tuple[int, bytes]] = {}
        self._version = 0
        self._lock = threading.Lock()
        self.fetched: list[str] = []
        self.unreadable: set[str] = set()
        self.complete = True
        self.error: Exception | None = None  # raised by pages()
        self.page_items: int | None = None  # a page holds so many; its checkpoint is its last uri
        self.fails_at: str | None = None  # pages() raises SourceError when it comes to this uri
        self.began_at: list[str | None] = []  # the checkpoints that pages() was given
        self.notes: tuple[str, ...] = ()
        self.issuer = "local"  # of the names of readers
        self.readers: dict[str, tuple[str, ...]] = {}  # by uri; one that is not here has no list of its own
        for uri, content in (files or {}).items():
            self.write(uri, content)

    def write(self, uri: str, content: str | bytes) -> None:
        """Put *content* at *uri*, as a new version."""
        self._version += 1
        self._files[uri] = (self._version, content.encode() if isinstance(content, str) else content)

    def uris(self) -> list[str]:
        """Return what is there."""
        return list(self._files)

    def touch(self, uri: str) -> None:
        """Give *uri* a new version tag and the same bytes."""
        self.write(uri, self._files[uri][1])

    def remove(self, uri: str) -> None:
        """Make *uri* gone."""
        del self._files[uri]

    def rename(self, uri: str, new_uri: str) -> None:
        """Make *uri* gone and its bytes appear at *new_uri*, with the same version tag."""
        self._files[new_uri] = self._files.pop(uri)

    def pages(self, checkpoint: str | None) -> Iterator[Page]:
        """Yield all items, by uri; those after *checkpoint*, which is an uri."""
        self.began_at.append(checkpoint)
        if self.error is not None:
            raise self.error
        items = tuple(
            Item(uri, f"v{version}", size_bytes=len(content), readers=self.readers.get(uri))
            for uri, (version, content) in sorted(self._files.items())
            if checkpoint is None or uri > checkpoint
        )
        size = self.page_items or max(len(items), 1)
        for begin in range(0, max(len(items), 1), size):
            some = items[begin : begin + size]
            if any(item.uri == self.fails_at for item in some):
                raise SourceError(f"The source stopped answering at {self.fails_at}.")
            came = some[-1].uri if self.page_items and some else None
            yield Page(some, complete=self.complete, notes=self.notes, checkpoint=came, issuer=self.issuer)

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Write the item's bytes of this moment into the directory *into*."""
        with self._lock:
            self.fetched.append(item.uri)
        if item.uri in self.unreadable or item.uri not in self._files:
            raise ItemUnreadable(f"{item.uri} cannot be read.")
        version, content = self._files[item.uri]
        path = into / "content"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return RawDocument(item.uri, path, digest, len(content), version_tag=f"v{version}")


def listed(source: Source) -> Listing:
    """Return everything that *source* lists, each uri once, sorted. Raises SourceError."""
    pages = list(source.pages(None))
    items = {item.uri: item for page in pages for item in page.items}
    return Listing(
        tuple(items[uri] for uri in sorted(items)),
        complete=all(page.complete for page in pages),
        failures=tuple(failure for page in pages for failure in page.failures),
        notes=tuple(note for page in pages for note in page.notes),
        issuer=pages[-1].issuer if pages else "local",
    )


@dataclass
class ScriptedGate:
    """A Gate that says what it was told to. ``asked`` holds what it was asked to judge."""

    closes: bool = True
    error: BaseException | None = None  # raised in place of a verdict
    asked: list[tuple[Trial, Trial | None]] = field(default_factory=list)

    def guards(self, source: SourceRecord) -> bool:  # noqa: ARG002 -- all of them
        """Say yes."""
        return True

    def judge(self, served: Trial, candidate: Trial | None, progress: Callable[[int, int], None]) -> Verdict:
        """Return the verdict that was scripted."""
        progress(0, 1)
        self.asked.append((served, candidate))
        if self.error is not None:
            raise self.error
        return Verdict(self.closes, {"said": "so"})


def kinds_of(**sources: Source) -> Callable[[str], Kind]:
    """Return what finds a kind of source by its name: *sources*, each by the name of its kind, and all others."""

    def found(name: str) -> Kind:
        return Kind(lambda _record, _context: sources[name]) if name in sources else kind_called(name)

    return found


@dataclass
class FakeParsers:
    """Reads UTF-8 text in place of a ParserPool: paragraphs are blocks, lines that begin with # are headings.

    ``answers`` maps a file name to what is returned or raised for it instead, or to a function of
    (path, workdir) for attachments. ``parsed`` holds each name that was read. Thread-safe.
    """

    answers: dict[str, Parsed | Exception | Callable[[Path, Path], Parsed]] = field(default_factory=dict)
    parsed: list[str] = field(default_factory=list)

    def parse(self, path: Path, name: str, media_type: str | None, workdir: Path) -> Parsed:  # noqa: ARG002
        """Return the blocks of the file at *path*. Raises EmptyDocument or UnsupportedFormat like the real one."""
        self.parsed.append(name)
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Parsed):
            return answer
        if answer is not None:
            return answer(path, workdir)
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError as exc:
            raise UnsupportedFormat(f"{name} is not UTF-8 text.") from exc
        blocks = tuple(text_blocks(text.split("\n\n")))
        if not blocks:
            raise EmptyDocument(f"{name} has no text.")
        return Parsed(blocks, title=next((block.text for block in blocks if block.kind == "title"), None))

    def __enter__(self) -> Self:
        """Return itself, as the real pool does."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: there are no processes."""

    def close(self) -> None:
        """Do nothing: there are no processes."""


def text_blocks(paragraphs: Iterable[str]) -> Iterable[Block]:
    """Yield a block for each paragraph that is not blank; ``# Heading`` (to ######) opens a section."""
    path: list[str] = []
    for paragraph in paragraphs:
        text = paragraph.strip()
        level = len(text) - len(text.lstrip("#"))
        if not text:
            continue
        if 1 <= level <= 6 and text[level:].strip():
            heading = text[level:].strip()
            del path[level - 1 :]
            yield Block(heading, "title", heading_path=tuple(path))
            path.append(heading)
        else:
            yield Block(text, heading_path=tuple(path))
