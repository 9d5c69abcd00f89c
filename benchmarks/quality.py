"""Retrieval quality over evaluation sets: dense, BM25 and hybrid side by side, through the product's own code.

    python benchmarks/quality.py DATA [--set squad --set piaf] [--sample | --limit 600] [--documents 5000]
                                      [--rerank] [--no-answers] [--workdir DIR] [--json FILE]

Documents are chunked, embedded and stored by the pipeline, found by the search index and by ``app.retrieve``; a
document's rank is that of its best chunk. Measures are those of ir-measures. ``BM25 plain`` is the same BM25 without
language analysis (lower-cased words only), to show what the analysis brings. With --rerank the first 12 passages of the
hybrid are ordered anew, by how far the trained reader puts an answer in them above "no answer" (``reader``), and by
reciprocal rank fusion of that order and the hybrid's (``fused``; k = 60 as in Cormack, Clarke, Buettcher, SIGIR 2009).
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import ir_measures
import structlog
import tantivy
from ir_measures import RR, R, nDCG

from app.reading import Text, TrainedReader
from app.retrieve import retrieve
from app.settings import AppSettings
from benchmarks.answers import ANSWER_SETS, asked
from benchmarks.answers import table as answer_table
from benchmarks.corpora import LARGE_SETS, RETRIEVAL_SETS, EvaluationSet, Query, data_folder, indexed, load
from indexing import access, store
from indexing.embed import load_embedder
from indexing.language import detect_language
from indexing.search import SearchIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from indexing.db import Catalog
    from indexing.documents import Passage, Scope
    from indexing.embed import Embedder

MEASURES = (nDCG @ 10, R @ 5, R @ 10, RR @ 10)
DEPTH = 50  # chunks taken from each side, enough for ten documents
READ, RRF_K = 12, 60
SYSTEMS = ("dense", "BM25 plain", "BM25", "hybrid")
RERANKED = ("reader", "fused")
Ranking = dict[str, float]


def best_chunk(hits: Iterable[tuple[str, float]]) -> Ranking:
    """Return document → score of its best chunk."""
    ranking: Ranking = {}
    for document, score in hits:
        ranking[document] = max(score, ranking.get(document, float("-inf")))
    return ranking


def plain_bm25(chunks: dict[int, tuple[str, str]]) -> Callable[[Query], Ranking]:
    """Return a search by BM25 over lower-cased words, with no stemming, folding or stop words."""
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase()).build()
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body", tokenizer_name="plain")
    builder.add_unsigned_field("row", stored=True)
    schema = builder.build()
    index = tantivy.Index(schema)
    index.register_tokenizer("plain", analyzer)
    writer = index.writer(num_threads=1)
    documents = list(chunks.values())
    for row, (_, text) in enumerate(documents):
        writer.add_document(tantivy.Document(body=text, row=row))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def search(query: Query) -> Ranking:
        terms = [tantivy.Query.term_query(schema, "body", word) for word in analyzer.analyze(query.text)]
        if not terms:
            return {}
        found = searcher.search(tantivy.Query.boolean_query([(tantivy.Occur.Should, t) for t in terms]), DEPTH)
        return best_chunk(
            (documents[searcher.doc(address).to_dict()["row"][0]][0], float(score)) for score, address in found.hits
        )

    return search


def reranked(question: str, passages: Sequence[Passage], reads: TrainedReader) -> dict[str, Ranking]:
    """Return the rankings "reader" and "fused" of the first READ *passages*, the others below them as they were."""
    first = passages[:READ]
    readings = reads.read(question, [Text(p.text, before=p.title) for p in first])
    spans = [r.best(0, len(p.text)) for r, p in zip(readings, first, strict=True)]
    margins = [-99.0 if span is None else span.margin for span in spans]
    order = sorted(range(len(first)), key=lambda i: -margins[i])
    by_reader = {i: rank for rank, i in enumerate(order)}
    rest = [(p.uri, -100.0 - rank) for rank, p in enumerate(passages[READ:])]
    fused = [(first[i].uri, 1 / (RRF_K + i) + 1 / (RRF_K + by_reader[i])) for i in range(len(first))]
    read = [(first[i].uri, margins[i]) for i in range(len(first))]
    return {"reader": best_chunk([*read, *rest]), "fused": best_chunk([*fused, *rest])}


def rankings(
    data: EvaluationSet, catalog: Catalog, embedder: Embedder, settings: AppSettings, reads: TrainedReader | None
) -> tuple[dict[str, dict[str, Ranking]], dict[str, float]]:
    """Return system → query id → ranking, and the median milliseconds of a hybrid retrieval."""
    index = SearchIndex(catalog, embedder, settings)
    index.refresh()
    with catalog.reading() as session:
        scope = access.authorise(session, 1)
        chunks = _chunks(session, scope, embedder)
    snapshot = index.snapshot()
    plain = plain_bm25(chunks)
    queries = [q for q in data.queries if q.id in data.qrels]
    runs: dict[str, dict[str, Ranking]] = {name: {} for name in (*SYSTEMS, *(RERANKED if reads else ()))}
    seconds = []
    for query in queries:
        vector = embedder.embed_questions([query.text])[0]
        dense = snapshot.search_dense(vector, scope, None, DEPTH)
        language = detect_language(query.text, snapshot.main_language(scope, None))
        sparse = snapshot.search_keywords(query.text, language, scope, None, DEPTH)
        runs["dense"][query.id] = best_chunk((chunks[h.chunk_id][0], h.score) for h in dense)
        runs["BM25"][query.id] = best_chunk((chunks[h.chunk_id][0], h.score) for h in sparse)
        runs["BM25 plain"][query.id] = plain(query)
        started = time.perf_counter()
        found = retrieve(query.text, scope=scope, catalog=catalog, index=index, embedder=embedder, top_k=DEPTH)
        seconds.append(time.perf_counter() - started)
        runs["hybrid"][query.id] = best_chunk((p.uri, p.score) for p in found.passages)
        for name, ranking in (reranked(query.text, found.passages, reads) if reads else {}).items():
            runs[name][query.id] = ranking
    return runs, {"hybrid_ms": statistics.median(seconds) * 1000 if seconds else 0.0}


def _chunks(session: Any, scope: Scope, embedder: Embedder) -> dict[int, tuple[str, str]]:
    """Return chunk id → (document's uri, text)."""
    ids = [int(i) for batch in store.index_rows(session, embedder.fingerprint, None) for i in batch.chunk_ids]
    return {i: (p.uri, p.text) for i, p in store.passages(session, scope, ids, None).items()}


def measure(data: EvaluationSet, runs: dict[str, dict[str, Ranking]]) -> dict[str, dict[str, float]]:
    """Return system → measure → mean over the queries that have a relevant document."""
    qrels = {q.id: data.qrels[q.id] for q in data.queries if q.id in data.qrels}
    return {
        system: {str(m): float(v) for m, v in ir_measures.calc_aggregate(MEASURES, qrels, run).items()}
        for system, run in runs.items()
    }


def main() -> None:
    """Print one row for each set and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the sets; METIER_DATA when absent")
    parser.add_argument("--set", action="append", dest="sets", help=f"default: {', '.join(RETRIEVAL_SETS)}")
    parser.add_argument("--limit", type=int, help="about so many queries of each set")
    parser.add_argument("--sample", action="store_true", help="the queries that each set names for costly runs")
    parser.add_argument("--documents", type=int, help="about so many documents of each set: scores get too good")
    parser.add_argument("--rerank", action="store_true", help="also order the first passages anew by the reader")
    parser.add_argument("--no-answers", action="store_true", help="leave out the table of benchmarks/answers.py")
    parser.add_argument("--workdir", type=Path, help="keeps the catalogs, so that a second run embeds nothing")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    folder = data_folder(arguments.data)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    workdir = arguments.workdir or Path(tempfile.mkdtemp(prefix="metier-quality-"))
    packages = ("sentence-transformers", "torch", "faiss-cpu", "tantivy", "ir-measures")
    print(f"{platform.machine()}, {platform.processor() or platform.system()}, Python {platform.python_version()}, "
          + ", ".join(f"{p} {version(p)}" for p in packages))  # fmt: skip
    reads = TrainedReader() if arguments.rerank else None
    systems = (*SYSTEMS, *(RERANKED if reads else ()))
    print(f"{'set':<12}{'measure':<10}" + "".join(f"{s:>12}" for s in systems) + f"{'queries':>10}{'ms':>8}")
    results: dict[str, Any] = {}
    embedder = load_embedder(AppSettings.load())
    for name in arguments.sets or RETRIEVAL_SETS:
        documents = arguments.documents or (5000 if name in LARGE_SETS else None)
        data = load(folder, name, limit=arguments.limit, sample=arguments.sample, documents=documents)
        settings = AppSettings.load(data_dir=workdir / name)
        catalog = indexed(data, settings, embedder)
        runs, timing = rankings(data, catalog, embedder, settings, reads)
        figures = measure(data, runs)
        catalog.close()
        results[name] = {"measures": figures, **timing, "queries": len(runs["hybrid"])}
        for m in MEASURES:
            row = "".join(f"{figures[s][str(m)]:>12.3f}" for s in systems)
            print(f"{name:<12}{m!s:<10}{row}{len(runs['hybrid']):>10}{timing['hybrid_ms']:>8.1f}", flush=True)
    if not arguments.no_answers:
        chosen = [name for name in ANSWER_SETS if name in (arguments.sets or RETRIEVAL_SETS)]
        results["answers"] = answer_table(folder, chosen, workdir, embedder, arguments.limit or 400, asked)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
