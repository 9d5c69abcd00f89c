"""Keeps what is searched up to date: pulls changes before a question, publishes generations after a run.

A question takes the current snapshot (one reference, no lock) and keeps it until it is done; a refresh builds a new one
aside and swaps the reference.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import structlog

from indexing import canary, changelog, generation, keywords
from indexing.errors import CatalogError, GenerationError, PermissionLeak, StorageFull
from indexing.rows import Rows, rows_of
from indexing.snapshot import Snapshot
from indexing.store import count_index_rows, index_rows

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from indexing.changelog import CatalogState
    from indexing.db import Catalog
    from indexing.embed import Embedder
    from indexing.generation import Generation
    from indexing.settings import IndexingSettings

log = structlog.get_logger(__name__)

#: Embedded when a generation is built and again by a process that uses it.
PROBES = ("Where do I ask for leave?", "Où demander un congé ?", "4.2")
_PROBE_COSINE = 0.99
_MOST_DEAD = 0.1  # share of a generation's rows that may have changed before a new one is due


class SearchIndex:
    """Keeps the current snapshot: refreshed from the catalog before a question, published to disk after a run."""

    def __init__(self, catalog: Catalog, embedder: Embedder, settings: IndexingSettings) -> None:
        """Open nothing yet: the first refresh does."""
        self._catalog = catalog
        self._embedder = embedder
        self._cache = settings.cache_dir
        self._tail_rows = settings.tail_rows
        self._kept = settings.generations_kept
        self._refreshing = threading.Lock()
        self._building = threading.Lock()
        self._current: Snapshot | None = None
        self._tail_writer: keywords.KeywordWriter | None = None
        self._probed: Generation | None = None  # checked against this process's model
        self._built = 0  # generations, by this object
        self.leak: str | None = None  # what an index gave out that it must not, until one is built that does not

    def snapshot(self) -> Snapshot:
        """Return what is searchable now: of the last refresh; the first call refreshes."""
        current = self._current
        if current is None:
            self.refresh()
            current = self._current
            if current is None:
                raise CatalogError("The index could not be opened.")
        return current

    def refresh(self) -> None:
        """Bring the snapshot up to the catalog: costs one small statement when nothing has changed.

        Opens the newest generation that proves itself, or builds one, when there is none in use.
        """
        with self._catalog.reading() as session:
            if self._is_current(changelog.state(session)):
                return
        with self._refreshing, self._catalog.reading() as session:
            state = changelog.state(session)
            if not self._is_current(state):
                self._advance(session, state)

    def publish(self, *, force: bool = False) -> bool:
        """Return whether a new generation was built: when none exists, or the tail or the dead rows grew too many.

        *force* builds one in any case. Searching goes on meanwhile. New or not, what is searched is asked for the
        canary's secrets (``indexing.canary``); one that gives them out is put aside. Raises StorageFull, and
        PermissionLeak when nothing is left that keeps them.
        """
        with self._building:
            before = self._built
            self.refresh()
            if self._built == before and (force or self._is_due(self.snapshot())):
                probes = self._probe_vectors()
                with self._catalog.reading() as session:
                    self._build(session, probes)
                self.leak = None
                with self._refreshing, self._catalog.reading() as session:
                    self._adopt(session, changelog.state(session))
            else:
                self._ask_for_secrets()
            return self._built > before

    def _ask_for_secrets(self) -> None:
        """Put aside what is searched if it gives out what it must not."""
        with self._refreshing, self._catalog.reading() as session:
            state = changelog.state(session)
            if not self._is_current(state):
                self._advance(session, state)
            current = self._current
            if current is not None and (found := canary.leak(session, current)) is not None:
                self._current = None  # who asks now waits
                self._put_aside(current.generation, found)
                self._adopt(session, state)

    def check_model(self) -> None:
        """Compare the embedding model with the generation's probe vectors, once; put aside one that disagrees.

        The fingerprint covers the model's files, the probes what the libraries make of them.
        """
        current = self.snapshot().generation
        if self._probed is current or not current.probes:
            return
        texts = list(current.probes)
        given = self._embedder.embed_questions(texts)
        kept = np.array([current.probes[text] for text in texts], dtype=np.float32)
        if given.shape != kept.shape or float((given * kept).sum(axis=1).min()) < _PROBE_COSINE:
            log.error(
                "The embedding model gives other vectors than the generation was built with.",
                action="embedding_model_changed",
                generation=str(current.path),
                remedy="run `metier sync` again",
            )
            if current.path is not None:
                generation.put_aside(current.path)
            with self._refreshing, self._catalog.reading() as session:
                self._adopt(session, changelog.state(session))
        self._probed = self.snapshot().generation

    def _is_current(self, state: CatalogState) -> bool:
        current = self._current
        return current is not None and (current.seq, current.log_hash) == (state.seq, state.log_hash)

    def _is_due(self, current: Snapshot) -> bool:
        """Say whether a new generation should be built."""
        path = current.generation.path
        if self.leak is not None:
            return True
        if len(current) > 0 and (path is None or not path.exists()):
            return True
        if len(current.tail) > self._tail_rows or current.dead > _MOST_DEAD * max(1, len(current.live)):
            return True
        with self._catalog.reading() as session:  # embeddings of a new model come without a change of any document
            return count_index_rows(session, self._embedder.fingerprint) != len(current)

    def _probe_vectors(self) -> dict[str, list[float]]:
        vectors = self._embedder.embed_questions(PROBES)
        return {text: [round(float(x), 6) for x in vector] for text, vector in zip(PROBES, vectors, strict=True)}

    def _advance(self, session: Session, state: CatalogState) -> None:
        """Make the current snapshot that of *state*. The caller holds the lock."""
        current = self._current
        if current is None or changelog.hash_at(session, current.seq) != current.log_hash:
            self._adopt(session, state)  # the first call, or the catalog was restored from a backup
            return
        self._current = current = self._extended(session, current, state)
        if len(current.tail) > self._tail_rows:
            newer = self._newest(session, above=current.generation.seq)  # another process may have published
            if newer is not None and not self._begin(session, newer, state):
                self._adopt(session, state)

    def _adopt(self, session: Session, state: CatalogState) -> None:
        """Start again from the newest good generation, or from a new one. The caller holds the lock.

        One that gives out secrets is put aside, and when none is left all is searched from memory, without FAISS.
        Raises PermissionLeak when that leaks too: then nothing is searched.
        """
        put_aside: set[Path | None] = set()
        while (base := self._newest(session) or (None if put_aside else self._rebuilt(session))) is not None:
            if base.path in put_aside:
                break  # it could not be renamed
            if self._begin(session, base, state):
                return
            put_aside.add(base.path)
        if not self._begin(
            session, generation.empty(changelog.first_hash(state.uuid), self._embedder.dimension), state
        ):
            self._current = None
            raise PermissionLeak(self.leak)

    def _put_aside(self, base: Generation, found: str) -> None:
        self.leak = found
        log.error(
            "The index gives out what it must not; it is not used.",
            action="permission_leak",
            generation=None if base.path is None else base.path.name,
            found=found,
            remedy="see SECURITY.md; `metier sync` builds the index anew",
        )
        if base.path is not None:
            generation.put_aside(base.path)

    def _newest(self, session: Session, above: int = -1) -> Generation | None:
        return generation.newest(session, self._cache, self._embedder.fingerprint, self._embedder.dimension, above)

    def _rebuilt(self, session: Session) -> Generation | None:
        """Return a generation made from the catalog; None when there is nothing to index, or nowhere to write it."""
        if count_index_rows(session, self._embedder.fingerprint) == 0:
            return None
        probes = self._probe_vectors()
        try:
            self._build(session, probes)
        except (StorageFull, GenerationError) as exc:
            log.warning(
                "No generation was built; everything is searched from memory.",
                action="generation_not_built",
                reason=exc.message,
            )
            return None
        return self._newest(session)

    def _build(self, session: Session, probes: dict[str, list[float]]) -> None:
        """Build a generation of what *session* sees, and delete those that are one too many."""
        path = generation.build(session, self._cache, self._embedder.fingerprint, self._embedder.dimension, probes)
        generation.prune(path.parent, self._kept)
        self._built += 1
        log.info("A generation was built.", action="generation_built", generation=path.name)

    def _begin(self, session: Session, base: Generation, state: CatalogState) -> bool:
        """Make *base* and all changes after it the current snapshot, unless it gives out what it must not."""
        self._tail_writer = None
        live = np.ones(len(base.rows), dtype=np.bool_)
        nothing = Rows.none(self._embedder.dimension)
        first = Snapshot(base, live, frozenset(), nothing, None, base.seq, base.log_hash)
        extended = self._extended(session, first, state)
        if (found := canary.leak(session, extended)) is not None:
            self._tail_writer = None
            self._put_aside(base, found)
            return False
        self._current = extended
        return True

    def _extended(self, session: Session, current: Snapshot, state: CatalogState) -> Snapshot:
        """Return *current* with all changes after it."""
        changed = changelog.changed_documents(session, current.seq)
        extended = replace(current, seq=state.seq, log_hash=state.log_hash)
        if changed:
            writer, self._tail_writer = self._tail_writer or keywords.KeywordWriter(), None
            old = current.tail.of_documents(changed)
            writer.remove(set(current.tail.documents[old].tolist()))
            pieces = [current.tail.where(~old)]
            for batch in index_rows(session, self._embedder.fingerprint, changed):
                rows, terms = rows_of(batch)
                writer.add(terms)
                pieces.append(rows)
            extended = replace(
                extended,
                live=current.live & ~current.generation.rows.of_documents(changed),
                masked=current.masked | changed,
                tail=Rows.concatenate(pieces, self._embedder.dimension).ordered(),
                tail_keywords=writer.commit(),
                filters={},
            )
            self._tail_writer = writer  # lost on the way here when anything failed: its rows would be half there
        return extended
