"""A listing taken in as it comes, against what is stored, at little memory for what has not changed.

Of each stored document 25 bytes are held: numbers made from its uri and version, and whether it was listed. An item
that is stored as it is listed is only counted; the others are kept, with the rows of their documents, and are handed
out in parts. So a listing of a million items takes memory for what there is to do at a time, and no more.

The numbers are 64 bits of BLAKE2b. Two uris of a source with a million documents share one with a probability of
0.00000003; a document that is gone would then stay.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from indexing import runs, store
from indexing.compare import root_uri
from indexing.documents import Listing
from indexing.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy.typing as npt

    from indexing.compare import Pipeline
    from indexing.db import Catalog
    from indexing.documents import Failure, Item, KnownDocument, KnownFailure, Page, SourceRecord
    from indexing.sources import Source

#: Items to do that are handed out at a time.
PART_ITEMS = 50_000


def _unwatched(items: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a listing, and what is known of it.

    ``listing`` holds the items that are to be looked at, ``known`` their documents with their attachments, and in the
    last part of a complete listing those that were not listed. Only that part is complete.
    """

    listing: Listing
    known: Mapping[str, KnownDocument]
    failures: Mapping[str, KnownFailure]
    unchanged: int  # listed as they are stored, and not in ``listing``
    stored: int  # documents of the source before the listing, attachments not counted
    listed: int  # items so far, those of earlier parts too
    is_last: bool
    checkpoint: str | None = None  # where to go on after this part


class Crawl:
    """A listing of *source* under way. What is stored is looked up now: what is stored later is not taken for gone."""

    def __init__(self, catalog: Catalog, record: SourceRecord, source: Source, pipeline: Pipeline) -> None:
        """Look up what is stored; nothing is listed yet."""
        self._catalog = catalog
        self._source = source
        self._listed = 0
        with catalog.reading() as session:
            self._stored = _Stored(store.stored_versions(session, record.id), pipeline)
            self._failures = runs.known_failures(session, record.id)
        self._failed = {root_uri(uri) for uri in self._failures} | set(self._failures)

    @property
    def stored(self) -> int:
        """The documents of the source before the listing, attachments not counted."""
        return len(self._stored.ids)

    def parts(
        self,
        most: int = PART_ITEMS,
        checkpoint: str | None = None,
        on_page: Callable[[int], None] = _unwatched,
    ) -> Iterator[Part]:
        """Yield the listing in parts of about *most* items to look at; at least one, and the last may be empty.

        One that begins at a *checkpoint* is never complete; where the source does not take it any more, the listing
        begins anew. *on_page* is told after each page how many items there are so far; what it raises ends the listing.
        Raises SourceError, after a part with what was listed before that.
        """
        gathered = _Gathered(complete=checkpoint is None)
        pages = self._listed = 0
        try:
            for page in self._source.pages(checkpoint):
                pages += 1
                if len(gathered.items) >= most:
                    yield self._part(gathered, last=False)
                    gathered = _Gathered(complete=gathered.complete)
                gathered.add(page, self._stored, self._failed)
                self._listed += len(page.items)
                on_page(self._listed)
        except SourceError:
            if checkpoint is not None and not pages:
                yield from self.parts(most, None, on_page)
                return
            if gathered.items or gathered.checkpoint:
                yield self._part(gathered, last=False)
            raise
        yield self._part(gathered, last=True)

    def _part(self, gathered: _Gathered, *, last: bool) -> Part:
        uris = sorted(gathered.items)
        complete = last and gathered.complete
        ids = self._stored.ids_of(uris)
        if complete:
            ids = np.concatenate([ids, self._stored.ids[~self._stored.seen]])
        with self._catalog.reading() as session:
            known = store.known_documents_with(session, [int(number) for number in ids])
        return Part(
            Listing(
                tuple(gathered.items[uri] for uri in uris),
                complete=complete,
                failures=tuple(gathered.failures),
                notes=tuple(gathered.notes),
                issuer=gathered.issuer,
            ),
            known,
            self._failures,
            gathered.unchanged,
            self.stored,
            self._listed,
            last,
            gathered.checkpoint,
        )


class _Gathered:
    """What was listed for a part so far."""

    def __init__(self, *, complete: bool) -> None:
        self.items: dict[str, Item] = {}
        self.failures: list[Failure] = []
        self.notes: dict[str, None] = {}
        self.complete = complete
        self.issuer = "local"
        self.unchanged = 0
        self.checkpoint: str | None = None

    def add(self, page: Page, stored: _Stored, failed: set[str]) -> None:
        """Take in one page."""
        found = stored.listed(page.items)
        for item, (is_as_stored, is_first) in zip(page.items, found, strict=True):
            if not is_as_stored or item.readers is not None or item.uri in failed:
                self.items[item.uri] = item
            elif is_first:
                self.unchanged += 1
        self.failures.extend(page.failures)
        self.notes.update(dict.fromkeys(page.notes))
        self.complete = self.complete and page.complete
        self.issuer, self.checkpoint = page.issuer, page.checkpoint


class _Stored:
    """The documents that are stored, without attachments, by a number made from their uri."""

    def __init__(self, rows: Iterable[store.StoredVersion], pipeline: Pipeline) -> None:
        """Hold *rows*. A document that an older pipeline read, or that has a list of its own, equals no item."""
        numbers = np.fromiter(
            chain.from_iterable(
                (
                    _number(row.uri),
                    _number(row.version_tag) if row.own_acl_id is None and row.pipeline == pipeline.documents else 0,
                    row.id,
                )
                for row in rows
            ),
            dtype=np.uint64,
        ).reshape(-1, 3)
        numbers = numbers[np.argsort(numbers[:, 0], kind="stable")]
        self._uris = np.ascontiguousarray(numbers[:, 0])
        self._versions = np.ascontiguousarray(numbers[:, 1])
        self.ids = np.ascontiguousarray(numbers[:, 2]).astype(np.int64)
        self.seen = np.zeros(len(numbers), dtype=bool)

    def _places(self, uris: Iterable[str]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Return the place of each uri, and whether it is there at all."""
        wanted = np.fromiter((_number(uri) for uri in uris), dtype=np.uint64)
        if not len(self._uris):
            return np.zeros(len(wanted), dtype=np.intp), np.zeros(len(wanted), dtype=bool)
        places = np.minimum(np.searchsorted(self._uris, wanted), len(self._uris) - 1)
        return places, self._uris[places] == wanted

    def listed(self, items: tuple[Item, ...]) -> list[tuple[bool, bool]]:
        """Return for each item whether it is stored as it is listed, and whether it was not listed before."""
        places, there = self._places(item.uri for item in items)
        versions = np.fromiter((_number(item.version_tag) for item in items), dtype=np.uint64)
        if not len(self._uris):
            return [(False, True)] * len(items)
        equal = there & (self._versions[places] == versions)
        first = ~self.seen[places]
        self.seen[places[there]] = True
        return list(zip(equal.tolist(), first.tolist(), strict=True))

    def ids_of(self, uris: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the ids of those documents that are stored."""
        places, there = self._places(uris)
        return self.ids[places[there]] if len(self.ids) else self.ids


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) or 1
