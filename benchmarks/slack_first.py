"""How soon somebody who asks in Slack sees that something happens, and the first text of the answer.

    python -m benchmarks.slack_first [QUESTIONS]

The example handbook with the models that come with the program; a server's bot with Socket Mode on the fake Slack on
loopback, which answers at once: Slack's own time comes on top. QUESTIONS questions (20 by default) are put by mention,
one every three seconds (Slack allows 20 streams a minute; the bot waits when there are more), each in a thread of its
own. The models are loaded, as a server does at its start. The aims: 1 s to the first sign, 1.5 s to the first text.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import wiring
from app.answer import answer
from app.events import Abstained, Quick, Token
from app.ingest import indexing_of
from app.logs import configure
from app.settings import AppSettings
from app.slack.handle import handle, sign
from app.testing.slack import FakeSlack
from indexing import grants, principals, store
from indexing.access import authorise
from indexing.pipeline import sync_source
from indexing.tables import EVERYONE
from tests import slacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.parts import Parts

EXAMPLES = Path(__file__).parent.parent / "examples"
LONGEST_S = 30.0
BETWEEN_S = 3.1


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    count = int(arguments[0]) if arguments else 20
    configure("error")
    golden = (json.loads(line) for line in (EXAMPLES / "golden.jsonl").read_text(encoding="utf-8").splitlines() if line)
    questions = [each["question"] for each in golden][:count]
    with tempfile.TemporaryDirectory() as folder, FakeSlack() as slack:
        parts = wiring.build(AppSettings.load(data_dir=Path(folder) / "data", port=0))
        where = slacks.installed(slack)
        read_handbook(parts)
        slacks.connect(parts, where, **slacks.secrets_of(where))
        wiring.warm(parts)  # as a server does at its start
        running = slacks.running(parts, handle, sign)
        running.start()
        try:
            user = slack.add_user("ann", "ann@example.com")
            channel = slack.add_channel("general", [user])
            slack.wait(lambda: slack.connections)
            took = [waited(slack, user, channel, question) for question in questions]
            bare = [alone(parts, question) for question in questions]
        finally:
            running.stop()
            wiring.close(parts)
    print(f"first text without Slack: p50 {1000 * sorted(bare)[len(bare) // 2]:.0f} ms")
    for name, seconds in zip(("first sign", "first text", "whole answer"), zip(*took, strict=True), strict=True):
        ordered = sorted(1000 * each for each in seconds)
        print(f"{name}: p50 {ordered[len(ordered) // 2]:.0f} ms, most {ordered[-1]:.0f} ms, of {len(ordered)}")


def read_handbook(parts: Parts) -> None:
    """Index the example handbook, for everyone to read."""
    with parts.catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", str(EXAMPLES / "handbook"))
        everyone = principals.principal_named(session, EVERYONE)
        assert everyone is not None
        grants.set_readers(session, source.id, {everyone.id})
    report = sync_source(indexing_of(parts), source)
    print(f"{report.added} documents of the example handbook")


def alone(parts: Parts, question: str) -> float:
    """Return the seconds to the first text of the same answer without Slack, to compare with."""
    with parts.catalog.reading() as session:
        everyone = principals.principal_named(session, EVERYONE)
        assert everyone is not None
        scope = authorise(session, everyone.id, only_public=True)
    asked = time.monotonic()
    for event in answer(question, scope, parts):
        if isinstance(event, Token | Quick | Abstained):
            return time.monotonic() - asked
    return time.monotonic() - asked


def waited(slack: FakeSlack, user: str, channel: str, question: str) -> tuple[float, float, float]:
    """Return the seconds to the first sign, to the first text, and to the end of the answer."""
    time.sleep(BETWEEN_S)
    before = len(slack.statuses)
    asked = time.time()
    ts = slack.say(user, channel, f"<@{slack.bot_user_id}> {question}")
    ends = time.monotonic() + LONGEST_S
    while not (replies := slack.replies(channel, ts)) or replies[0].streaming:
        if time.monotonic() > ends:
            raise TimeoutError(question)
        time.sleep(0.005)
    ended = time.time()
    post = next(each for each in slack.world.posts if each.ts == replies[0].ts)
    first_text = post.versions[0].since - asked
    signs: list[Any] = list(itertools.islice(slack.statuses, before, None))
    return min([each.at - asked for each in signs] or [first_text]), first_text, ended - asked


if __name__ == "__main__":
    main(sys.argv[1:])
