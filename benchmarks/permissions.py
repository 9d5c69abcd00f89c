"""What permissions cost: retrieval at 100,000 chunks by askers of 100 %, 10 % and 1 %, against the same without lists.

    python benchmarks/permissions.py [--chunks 100000] [--questions 200] [--seed 0] [--workdir DIR] [--json FILE]

1,000 users, 200 groups up to four deep, 1,000 access lists; texts and vectors are drawn from the seed, words as often
as in language (Zipf). The base is a second catalog of the same documents that all carry one list. Each question
is asked by everybody in turn, so that noise hits all alike; asking is what a route does, from the principal's id to the
passages, without the embedding model. CPU is this process's: where others compute at the same time, read its ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from sqlalchemy import insert

from app.retrieve import retrieve
from indexing import changelog, grants, principals, store
from indexing.access import authorise
from indexing.db import Catalog, migrate, open_catalog
from indexing.search import SearchIndex
from indexing.settings import IndexingSettings
from indexing.tables import LOCAL_ACL_ID, LOCAL_PRINCIPAL_ID, Table, utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from sqlalchemy.orm import Session

TARGET = 1.15  # p95 with permissions over p95 without
USERS, GROUPS, LISTS, VOCABULARY = 1_000, 200, 1_000, 30_000
CHUNKS_PER_DOCUMENT, WORDS_PER_CHUNK, TOP_K = 10, 60, 8
SHARES = {"100 %": 1.0, "10 %": 0.1, "1 %": 0.01}
BATCH = 500  # documents


@dataclass
class SeededEmbedder:
    """Gives each question a direction of its own; passages are never embedded here."""

    dimension: int = 384
    max_tokens: int = 256
    fingerprint: str = "seeded-384"

    def embed_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the same."""
        return self.embed_questions(texts)

    def embed_questions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each text, which hangs on that text alone."""
        rows = [unit(np.random.default_rng(zlib.crc32(text.encode())), 1) for text in texts]
        return np.concatenate(rows)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the places of the words."""
        spans, at = [], 0
        for word in text.split(" "):
            spans.append((at, at + len(word)))
            at += len(word) + 1
        return spans


@dataclass
class Asker:
    """One who asks, where, and what it took: seconds of wall and of CPU for each question."""

    name: str
    principal_id: int
    catalog: Catalog
    index: SearchIndex
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def ask(self, question: str, embedder: SeededEmbedder) -> None:
        """Resolve the scope and retrieve, as a route does."""
        wall, cpu = time.perf_counter(), time.process_time()
        with self.catalog.reading() as session:
            scope = authorise(session, self.principal_id)
        retrieve(question, scope=scope, catalog=self.catalog, index=self.index, embedder=embedder, top_k=TOP_K)
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)


def unit(chance: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """Return random directions."""
    vectors = chance.standard_normal((count, 384), dtype=np.float32)
    normalised: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def people_and_lists(session: Session, chance: random.Random) -> tuple[dict[str, int], list[int]]:
    """Add users, nested groups and lists; return the askers' ids by share, and the lists' ids."""
    users = [principals.add_principal(session, "user", f"user{n}") for n in range(USERS)]
    groups = [principals.add_principal(session, "group", f"group{n}") for n in range(GROUPS)]
    for number, group in enumerate(groups[1:], 1):  # a tree: each group in one that has a third of its number
        principals.join_group(session, groups[number // 3], group)
    for user in users:
        for group in chance.sample(groups[GROUPS // 3 :], 3):
            principals.join_group(session, group, user)
    askers, readers = {}, {}
    for share in SHARES:
        asker = principals.add_principal(session, "user", f"asker of {share}")
        inner, outer = (principals.add_principal(session, "group", f"{kind} {share}") for kind in ("inner", "outer"))
        principals.join_group(session, outer, inner)
        principals.join_group(session, inner, asker)
        askers[share], readers[share] = asker.id, outer.id
    lists = []
    for number in range(LISTS):
        on_list = {each.id for each in chance.sample(users + groups, chance.randrange(1, 6))}
        on_list |= {readers[share] for share, part in SHARES.items() if number < part * LISTS}
        lists.append(grants.interned(session, on_list))
    return askers, lists


def add_documents(catalog: Catalog, lists: list[int], chunks: int, seed: int) -> None:
    """Store the documents in batches, the lists one after another, each with as many."""
    words, vectors = random.Random(seed), np.random.default_rng(seed)
    vocabulary = [f"word{n}" for n in range(VOCABULARY)]
    frequencies = np.cumsum(1 / np.arange(1, VOCABULARY + 1)).tolist()
    with catalog.transaction() as session:
        source = store.add_source(session, "everything", "push", "")
    tables = Table.metadata.tables
    for first in range(0, chunks // CHUNKS_PER_DOCUMENT, BATCH):
        rows, texts, embeddings = [], [], []
        for number in range(first, min(first + BATCH, chunks // CHUNKS_PER_DOCUMENT)):
            parts = [
                " ".join(words.choices(vocabulary, cum_weights=frequencies, k=WORDS_PER_CHUNK))
                for _ in range(CHUNKS_PER_DOCUMENT)
            ]
            rows.append(_document(number, source.id, lists[number % len(lists)], "\n\n".join(parts)))
            for ordinal, part in enumerate(parts):
                texts.append(_chunk(number, ordinal, part))
        for text, vector in zip(texts, unit(vectors, len(texts)).astype("<f2"), strict=True):
            key = {"text_hash": text["text_hash"], "model": SeededEmbedder.fingerprint}
            embeddings.append(key | {"vector": vector.tobytes()})
        with catalog.transaction() as session:
            changelog.lock(session)
            session.execute(insert(tables["document"]), rows)
            session.execute(insert(tables["chunk"]), texts)
            session.execute(insert(tables["embedding"]), embeddings)
            changelog.append_all(
                session, changelog.PUT, [(int(str(row["id"])), str(row["content_hash"])) for row in rows]
            )


def _document(number: int, source_id: int, acl_id: int, text: str) -> dict[str, object]:
    return {
        "id": number + 1,
        "source_id": source_id,
        "uri": f"{number}.md",
        "title": f"Document {number}",
        "size_bytes": len(text),
        "content_hash": str(number),
        "version_tag": "1",
        "language": "en",
        "pipeline": "benchmark",
        "notes": [],
        "acl_id": acl_id,
        "indexed_at": utc_now(),
        "text": text,
    }


def _chunk(number: int, ordinal: int, text: str) -> dict[str, object]:
    start = ordinal * (len(text) + 2)
    return {
        "document_id": number + 1,
        "ordinal": ordinal,
        "text": text,
        "start_char": start,
        "end_char": start + len(text),
        "heading_path": [],
        "language": "en",
        "token_count": WORDS_PER_CHUNK,
        "text_hash": f"{number}-{ordinal}",
    }


def opened(folder: Path) -> tuple[Catalog, IndexingSettings]:
    """Return a new catalog in *folder*."""
    folder.mkdir(parents=True)
    settings = IndexingSettings(data_dir=folder)
    migrate(settings.database)
    return open_catalog(settings.database), settings


def memory_mb() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def worlds(folder: Path, options: argparse.Namespace, embedder: SeededEmbedder) -> list[Asker]:
    """Return the base and the askers, each with an index that is built and opened."""
    base, base_settings = opened(folder / "base")
    add_documents(base, [LOCAL_ACL_ID], options.chunks, options.seed)
    found = [Asker("without lists", LOCAL_PRINCIPAL_ID, base, SearchIndex(base, embedder, base_settings))]
    found[0].index.publish()
    print(f"base built; {memory_mb()} MB", flush=True)
    catalog, settings = opened(folder / "lists")
    with catalog.transaction() as session:
        askers, lists = people_and_lists(session, random.Random(options.seed))
    add_documents(catalog, lists, options.chunks, options.seed)
    index = SearchIndex(catalog, embedder, settings)
    index.publish()
    print(f"world with lists built; {memory_mb()} MB", flush=True)
    return found + [Asker(share, principal_id, catalog, index) for share, principal_id in askers.items()]


def run(options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Build both worlds, ask, and return a row for each asker."""
    embedder = SeededEmbedder()
    started = time.monotonic()
    askers = worlds(folder, options, embedder)
    print(f"{options.chunks} chunks twice in {time.monotonic() - started:.0f} s", flush=True)
    chance = random.Random(options.seed + 1)
    ranks = [int(VOCABULARY ** chance.random()) - 1 for _ in range(5000)]  # as likely common as rare
    for number in range(options.questions + 5):
        question = " ".join(f"word{rank}" for rank in chance.sample(ranks, chance.randrange(2, 8)))
        order = chance.sample(askers, len(askers))
        for asker in order:
            asker.ask(question, embedder)
            if number < 5:  # the first ones open files and make filters
                asker.wall.clear()
                asker.cpu.clear()
    rows = [_row(asker, askers[0]) for asker in askers]
    for asker in {id(a.catalog): a for a in askers}.values():
        asker.catalog.close()
    return rows


def _row(asker: Asker, base: Asker) -> dict[str, object]:
    row: dict[str, object] = {"asker": asker.name}
    for kind in ("wall", "cpu"):
        for percent in (50, 95):
            own, other = (statistics.quantiles(getattr(a, kind), n=100)[percent - 1] for a in (asker, base))
            row[f"{kind} p{percent} ms"] = round(own * 1000, 2)
            row[f"{kind} p{percent} ratio"] = round(own / other, 3)
    return row


def main() -> int:
    """Print a row for each asker; return 0 when every p95 of CPU time is within the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=Path, help="work here and leave everything, instead of in a temporary folder")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("faiss-cpu", "tantivy", "numpy", "sqlalchemy")}
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    machine += f", load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; " + ", ".join(f"{name} {number}" for name, number in versions.items()), flush=True)
    if options.workdir:
        rows = run(options, options.workdir)
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = run(options, Path(folder))
    print("\t".join(rows[0]))
    for row in rows:
        print("\t".join(str(value) for value in row.values()))
    print(f"most memory: {memory_mb()} MB; load in the end {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))
    return 0 if all(float(str(row["cpu p95 ratio"])) <= TARGET for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
