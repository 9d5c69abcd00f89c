"""two_states.py DATA_DIR: two dated states of a real handbook, one after the other, and whether answers follow.

Synchronises the Markdown files of handbook_18f's first state (2021-06-01) with the real parsers and the packaged
embedding model, then those of the second (2021-08-01) in the same folder, and prints what each run did. After each,
questions whose answer is a sentence that came or went are asked of the index: what went must be found before and never
after, what came never before and found after. The same is asked of every sentence (``norm/probes.jsonl``) whose words
stand in one state only, with the sentence itself as the question. Ends with 1 when anything stale was found.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.retrieve import retrieve
from indexing import store
from indexing.access import authorise
from indexing.db import migrate, open_catalog
from indexing.embed import load_embedder
from indexing.parse import ParserPool
from indexing.pipeline import Indexing, sync_source
from indexing.search import SearchIndex
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from indexing.documents import SyncReport

HANDBOOK = "handbook_18f"
TOP_K = 5
COLUMNS = ("listed", "added", "changed", "moved", "deleted", "unchanged", "failed")
CHUNK_COLUMNS = ("chunks_written", "chunks_embedded", "chunks_reused")
#: A question, words of its answer in the first state, and words of its answer in the second.
QUESTIONS = (
    ("In how many months did we grow 10x?", "grown 10x in the last 18 months", "grew 10x in the following 18 months"),
    ("Say names correctly and refer to people by which pronouns?", "their chosen pronouns", "their stated pronouns"),
    ("Which Tock line is for work on 18F hiring?", "18F Hiring - 1241", "18F Hiring / Onboarding - 1241"),
    (
        "What happens once I have generated an SF-182?",
        "select approvers based on the email instructions",
        "enter the routing approval queue",
    ),
    (
        "Which Director or Chief of Projects Detail at 18F is open until August?",
        "Chief of Projects Detail - open Tuesday May 18",
        "18F Director - open Monday, July 2, 2021",
    ),
)


def main() -> int:
    """Print the figures; return 0 when nothing stale was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=os.environ.get("METIER_DATA"))
    options = parser.parse_args()
    if options.data is None or not (options.data / HANDBOOK).is_dir():
        print("No data: give the folder of the evaluation sets as an argument or in METIER_DATA.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        return run(options.data / HANDBOOK, Path(folder))


def run(handbook: Path, folder: Path) -> int:
    """Synchronise both states in *folder*, and return 0 when nothing stale was found."""
    from indexing.settings import IndexingSettings

    print(f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}")
    settings = IndexingSettings(data_dir=folder / "data")
    settings.data_dir.mkdir()
    migrate(settings.database)
    catalog = open_catalog(settings.database)
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", str(folder / "pages"))
    embedder = load_embedder(settings)
    index = SearchIndex(catalog, embedder, settings)

    def found(question: str, words: str) -> bool:
        with catalog.reading() as session:
            scope = authorise(session, LOCAL_PRINCIPAL_ID)
        best = retrieve(question, scope=scope, catalog=catalog, index=index, embedder=embedder, top_k=TOP_K).passages
        return any(plain(words) in plain(passage.text) for passage in best)

    probes = probes_of(handbook)
    answers, sentences = [], []
    with ParserPool(settings) as parsers:
        indexing = Indexing(catalog, embedder, parsers, settings)
        for state in ("v1", "v2"):
            put(handbook / "raw" / state, folder / "pages")
            began = time.monotonic()
            # Confirmed: of the second state most pages are gone, or elsewhere and edited.
            report = sync_source(indexing, source, confirm_deletions=True)
            index.publish()
            show(state, report, time.monotonic() - began)
            answers.append([tuple(found(question, words) for words in both) for question, *both in QUESTIONS])
            sentences.append([found(probe["text"], probe["text"]) for probe in probes])
    catalog.close()
    print("\nwords of the first and of the second state's answer in the first 5 passages, before and after:")
    follows = 0
    for (question, *_), before, after in zip(QUESTIONS, *answers, strict=True):
        good = (before, after) == ((True, False), (False, True))
        follows += good
        print(f"    {'follows' if good else 'DOES NOT'}  {before} → {after}  {question}")
    print(f"{follows} of {len(QUESTIONS)} answers follow")
    stale = follow(probes, *sentences)
    return 1 if stale or any(first[1] or second[0] for first, second in zip(*answers, strict=True)) else 0


def probes_of(handbook: Path) -> list[dict[str, str]]:
    """Return the sentences that came or went and of which the other state has not the words, on any page."""
    without = {}
    for kind, state in (("added", "v1"), ("removed", "v2")):
        files = (handbook / "raw" / state).rglob("*.md")
        without[kind] = "\n".join(plain(file.read_text(encoding="utf-8")) for file in files)
    lines = (handbook / "norm" / "probes.jsonl").read_text(encoding="utf-8").splitlines()
    return [probe for probe in map(json.loads, lines) if plain(probe["text"]) not in without[probe["kind"]]]


def follow(probes: list[dict[str, str]], before: list[bool], after: list[bool]) -> int:
    """Print how many sentences were found when they were there, and return how many when they were not."""
    came = [both for probe, *both in zip(probes, before, after, strict=True) if probe["kind"] == "added"]
    went = [both for probe, *both in zip(probes, before, after, strict=True) if probe["kind"] == "removed"]
    stale = sum(first for first, _ in came) + sum(second for _, second in went)
    print(f"{sum(second for _, second in came)} of {len(came)} sentences that came are found after")
    print(f"{sum(first for first, _ in went)} of {len(went)} sentences that went are found before")
    print(f"{stale} of {len(probes)} are found in the state that has them not")
    return stale


def put(state: Path, pages: Path) -> None:
    """Make *pages* hold the Markdown files of *state*, and nothing else."""
    shutil.rmtree(pages, ignore_errors=True)
    for file in state.rglob("*.md"):
        target = pages / file.relative_to(state)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)


def plain(text: str) -> str:
    """Return the words of *text* alone."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def show(state: str, report: SyncReport, seconds: float) -> None:
    """Print the figures of a run."""
    print(f"\n{state}: {report.state} in {seconds:.1f} s, with the index")
    print("    documents: " + ", ".join(f"{getattr(report, name)} {name}" for name in COLUMNS))
    print("    " + ", ".join(f"{getattr(report, name)} {name.replace('_', ' ')}" for name in CHUNK_COLUMNS), flush=True)


if __name__ == "__main__":
    sys.exit(main())
