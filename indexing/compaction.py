"""Taking away what is left of deleted documents on this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from indexing import changelog, generation
from indexing.db import now
from indexing.deletions import DELETION
from indexing.store_index import sweep_embeddings

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.db import Catalog


@dataclass(frozen=True, slots=True)
class Compacted:
    """What ``compact`` took away."""

    embeddings: int
    generations: int
    receipts: int  # that say "bytes gone" since
    scrubbed: bool  # False: somebody reads, and the write-ahead log of SQLite stays for now


def compact(catalog: Catalog, cache: Path) -> Compacted:
    """Take away what is left of deleted documents on this host, and complete their receipts.

    Generations of the index that are older than a deletion are deleted; the next run or start builds a new one. With
    no deletion since the last time, only embeddings that nobody uses go.
    """
    with catalog.transaction() as session:
        swept = sweep_embeddings(session)
        last = session.execute(select(func.max(DELETION.c.seq)).where(DELETION.c.gone_at.is_(None))).scalar_one()
        home = cache / changelog.state(session).uuid
    old = 0 if last is None else generation.discard_older(home, last)
    scrubbed = catalog.scrub()
    completed = 0
    if last is not None and scrubbed and not generation.older(home, last):
        with catalog.transaction() as session:
            open_ones = update(DELETION).where(DELETION.c.gone_at.is_(None), DELETION.c.seq <= last)
            done = session.execute(open_ones.values(gone_at=now(session)).returning(DELETION.c.id))
            completed = len(done.all())
    return Compacted(swept, old, completed, scrubbed)
