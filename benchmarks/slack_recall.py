"""What a look for answers that no longer hold costs: 10,000 posted answers, 1,000 documents that changed.

    python -m benchmarks.slack_recall [POSTS] [DOCUMENTS]

Times what each server does every 30 seconds, on SQLite in a new folder: when nothing changed, and when documents did,
up to the threads that wait. Looking at each of those again is an answer, which is not timed here.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, insert, select

from app.events import Citation
from app.slack import store_recall
from app.tables import AnswerRow
from app.tables_slack import SlackChannelRow, SlackPostRow, SlackRecallRow
from indexing import changelog, db
from indexing.tables import LOCAL_PRINCIPAL_ID, utc_now

TEAM, CHANNELS, CITED = "T1", 20, 3


def main(posts: int, documents: int) -> None:
    """Print the seconds of each kind of look."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'catalog.db'}"
        db.migrate(url)
        catalog = db.open_catalog(url)
        with catalog.transaction() as session:
            fill(session, posts, 10 * documents)
        look(catalog, "first")
        look(catalog, "nothing changed")
        with catalog.transaction() as session:
            changelog.append_all(session, changelog.PUT, [(each * 10, "0" * 64) for each in range(documents)])
        look(catalog, f"{documents} of {10 * documents} documents changed")
        with catalog.reading() as session:
            print(f"{session.scalar(select(func.count()).select_from(SlackRecallRow))} threads wait")
        catalog.close()


def fill(session: object, posts: int, documents: int) -> None:
    """Store answers with three citations each, posted an hour ago in channels that all want corrections."""
    at = utc_now() - timedelta(hours=1)
    answers, rows = [], []
    for n in range(posts):
        cited = [citation((n * CITED + each) % documents) for each in range(CITED)]
        answers.append(
            {"id": str(n), "principal_id": LOCAL_PRINCIPAL_ID, "question": "How many days?", "text": "25 days. [1]",
             "citations": cited, "passages": [], "finish_reason": "stop", "generator": "reader", "language": "en",
             "seconds": 0.1, "indexed_through": 0, "asked_at": at}
        )  # fmt: skip
        rows.append(
            {"team_id": TEAM, "channel_id": f"C{n % CHANNELS}", "ts": f"{n}.2", "thread_ts": f"{n}.1", "at": at,
             "visibility": "channel", "user_id": "U1", "answer_id": str(n)}
        )  # fmt: skip
    policy = {"answers": "mention", "unknown": "say", "sources": [], "recall": True, "editors": "admins"}
    channels = [policy | {"team_id": TEAM, "channel_id": f"C{n}", "changed_at": at} for n in range(CHANNELS)]
    for table, values in ((AnswerRow, answers), (SlackPostRow, rows), (SlackChannelRow, channels)):
        session.execute(insert(table), values)  # type: ignore[attr-defined]


def citation(document_id: int) -> dict[str, object]:
    """Return a citation of a sentence as it is kept."""
    quote = "Every employee has 25 days of paid leave a year, which the manager grants. " * 2
    return asdict(Citation(1, document_id, document_id, "handbook", f"hr/{document_id}.md", "Leave", None, quote, 0, 1))


def look(catalog: db.Catalog, what: str) -> None:
    """Time one look as ``app.slack.recall`` does it."""
    began = time.perf_counter()
    with catalog.reading() as session:
        found = store_recall.behind(session, TEAM, utc_now())
    read = time.perf_counter() - began
    if found is not None:
        with catalog.transaction() as session:
            store_recall.note(session, TEAM, found, utc_now(), timedelta(0))
    print(f"{what}: {read:.3f} s to read, {time.perf_counter() - began:.3f} s in all")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or ("10000", "1000")))
