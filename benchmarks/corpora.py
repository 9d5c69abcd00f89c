"""Evaluation sets in their common form, and how they get into a real catalog through the product's own code.

A set is a folder ``NAME/norm`` with ``corpus.jsonl`` {"id", "title", "text"}, ``queries.jsonl`` {"id", "text",
"answers", "answerable"} and ``qrels.tsv`` (query id, document id, score).
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.training.data import READ_SETS, part_of
from indexing import runs, store
from indexing.db import Catalog, migrate, open_catalog
from indexing.documents import Block, Parsed
from indexing.errors import EmptyDocument
from indexing.pipeline import Indexing, sync_source
from indexing.testing import FakeSource, kinds_of

if TYPE_CHECKING:
    from app.settings import AppSettings
    from indexing.embed import Embedder

RETRIEVAL_SETS = ("squad", "clapnq", "covidqa", "tatqa", "docugami", "piaf", "spf")
LARGE_SETS = ("legalize_fr",)


@dataclass(frozen=True)
class Query:
    """One question of a set."""

    id: str
    text: str
    answers: tuple[str, ...]
    answerable: bool
    article: str = ""  # what it was asked about: parts are made of articles


@dataclass(frozen=True)
class EvaluationSet:
    """Documents (id → title, text), questions, and which documents are relevant to which question."""

    name: str
    documents: dict[str, tuple[str, str]]
    queries: tuple[Query, ...]
    qrels: dict[str, dict[str, int]]


def data_folder(argument: Path | None) -> Path:
    """Return the folder of the sets: the argument, else METIER_DATA. Ends the program when there is none."""
    folder = argument or (Path(os.environ["METIER_DATA"]) if os.environ.get("METIER_DATA") else None)
    if folder is None or not folder.is_dir():
        sys.exit(
            f"There is no evaluation data at {folder}. Give its folder as an argument or in METIER_DATA; "
            "benchmarks/README.md says what it holds."
        )
    return folder


def load(
    folder: Path,
    name: str,
    *,
    part: str | None = "report",
    limit: int | None = None,
    sample: bool = False,
    documents: int | None = None,
) -> EvaluationSet:
    """Return the set *name*: all its documents, the questions of *part* (benchmarks/training/data.py; None: all).

    Sets of which nothing was trained on have one part only, which is always kept.
    *limit* keeps about so many queries, evenly spaced, and *sample* those that the set itself names for costly runs.
    *documents* keeps about so many documents, those that answer a kept query among them: scores are then too good.
    """
    norm = folder / name / "norm"
    corpus = {d["id"]: (d.get("title") or "", d["text"]) for d in _lines(norm / "corpus.jsonl")}
    qrels: dict[str, dict[str, int]] = {}
    for line in (norm / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if len(fields) >= 3 and fields[-1].strip().isdigit() and int(fields[-1]) > 0:  # a header is not a number
            qrels.setdefault(fields[0], {})[fields[-2]] = int(fields[-1])
    queries = [
        Query(
            str(q["id"]), q["text"], tuple(q.get("answers") or ()), bool(q.get("answerable", True)), q.get("group", "")
        )
        for q in _lines(norm / "queries.jsonl")
    ]
    if part is not None and name in READ_SETS:
        queries = [query for query in queries if part_of(name, query.article) == part]
    if sample:
        chosen = set((norm / "sample_ids.txt").read_text(encoding="utf-8").split())
        queries = [query for query in queries if query.id in chosen]
    if limit is not None and len(queries) > limit:
        queries = queries[:: -(-len(queries) // limit)]
    if documents is not None and len(corpus) > documents:
        needed = {document for query in queries for document in qrels.get(query.id, ())}
        spaced = set(list(corpus)[:: -(-len(corpus) // documents)])
        corpus = {name: content for name, content in corpus.items() if name in needed | spaced}
    return EvaluationSet(name, corpus, tuple(queries), qrels)


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


class CorpusParsers:
    """Reads a document of a set: its first line is the title, each other line a paragraph."""

    def parse(self, path: Path, name: str, media_type: str | None, workdir: Path) -> Parsed:  # noqa: ARG002
        """Return a title block, when there is a title, and a block for each line."""
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        paragraphs = [line.strip() for line in text.split("\n") if line.strip()]
        if not paragraphs and not title.strip():
            raise EmptyDocument(f"{name} has no text.")
        heading = [Block(title.strip(), "title")] if title.strip() else []
        path_below = (title.strip(),) if title.strip() else ()
        return Parsed((*heading, *(Block(p, heading_path=path_below) for p in paragraphs)), title=title.strip() or None)


def indexed(data: EvaluationSet, settings: AppSettings, embedder: Embedder) -> Catalog:
    """Return a catalog that holds the set, in ``settings.data_dir``; a second call finds its embeddings there."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate(settings.database)
    catalog = open_catalog(settings.database)
    corpus = FakeSource({i: f"{title}\n{text}" for i, (title, text) in data.documents.items()})
    indexing = Indexing(catalog, embedder, CorpusParsers(), settings, kinds=kinds_of(corpus=corpus))
    with catalog.transaction() as session:
        for going in runs.going_on(session):
            runs.fail_run(session, going.id)
        source = store.source_named(session, data.name) or store.add_source(session, data.name, "corpus", data.name)
    report = sync_source(indexing, source)
    if report.state != "succeeded" or report.failed:
        sys.exit(f"{data.name} could not be indexed: {report.error or report.failures[:3]}")
    return catalog
