"""What each kind of message looks like in Slack: the screens of docs/slack.md, rendered by the code that posts them.

``python -m tests.slack_screens`` writes them into the page again.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.events import Abstained, Citation
from app.messages import messages
from app.slack.blocks import (
    AnswerView,
    SourceView,
    StatusView,
    WhyView,
    abstained_message,
    answer_message,
    disagrees,
    failed_message,
    help_message,
    link_message,
    queued_text,
    status_message,
    why_message,
    working_text,
)
from app.slack.blocks_channel import Choices, Taken, ask_about_view, changed_message, files_message, settings_view
from app.slack.blocks_parts import link
from app.slack.blocks_people import (
    approved_message,
    asked_message,
    bot_said,
    expired_message,
    feedback_form,
    offer_message,
    proposed_message,
    published_message,
    reply_form,
    weekly_message,
)
from app.slack.blocks_recall import CorrectionView, correction_message
from app.slack.digests import digest_message
from app.slack.records import Message, Policy, Visibility
from app.slack.wording_people import people_words
from indexing import targets
from indexing.documents import Passage

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).parent.parent / "docs" / "slack.md"
BEGIN, END = "<!-- screens: python -m tests.slack_screens -->", "<!-- end of screens -->"
PUBLIC = "https://metier.example"
NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
ID = "7d0f4c1e-5b1a-4a52-9d5e-0c6a1d2f3b4c"

LEAVE = Citation(1, 41, 12, "hr", "hr/leave.md", "Leave policy", 3, "Everyone has 25 days of leave a year.", 310, 347)
HANDBOOK = Citation(
    2, 77, 19, "handbook", "handbook.pdf", "Handbook 2023", 8, "Everyone has 23 days of leave a year.", 90, 127
)
SOURCES = {
    12: SourceView("Leave policy", "hr", "hr/leave.md", NOW - timedelta(days=3)),
    19: SourceView("Handbook 2023", "handbook", "handbook.pdf", NOW - timedelta(days=800)),
}
ANSWER = AnswerView(
    ID,
    "25 days. [1] The documents say: “Everyone has 25 days of leave a year.” [1]",
    (LEAVE,),
    sources=SOURCES,
    confidence=0.83,
    now=NOW,
)
REPONSE = AnswerView(
    ID,
    f"25 jours. [1] {messages('fr').lead}« Chacun a 25 jours de congés par an. » [1]",
    (Citation(1, 52, 14, "rh", "rh/conges.md", "Congés", 2, "Chacun a 25 jours de congés par an.", 40, 75),),
    sources={14: SourceView("Congés", "rh", "rh/conges.md", NOW - timedelta(days=40))},
    confidence=0.79,
    now=NOW,
)
TWO = messages("en").disagree + f"“{LEAVE.quote}” [1] “{HANDBOOK.quote}” [2]"
DISAGREEMENT = AnswerView(
    ID, TWO, (LEAVE, HANDBOOK), sources=SOURCES, disagree=disagrees(TWO, "en"), confidence=0.71, now=NOW
)
CLOSEST = Passage(
    41, 12, 1, "hr", "hr/leave.md", "Leave policy", LEAVE.quote, 310, 347, 3, (), "en", NOW - timedelta(days=3)
)
REFUSAL = AnswerView(
    ID,
    "",
    abstained=Abstained(messages("en").below_threshold, "below_threshold", (CLOSEST,)),
    confidence=0.12,
    now=NOW,
)
REPLY = "Two days for each full month, so 24 after a year."
TARGET = targets.Target(1, targets.NewTarget("slack", "C0123456789"), 0, None, None, 1)
HELD = targets.Notice("run_held", "new", "run_held:3", 3, "handbook", 41, 1, {}, NOW, NOW)


class Screen(NamedTuple):
    """One kind of message."""

    title: str
    says: str
    shown: Message | Mapping[str, Any]  # a message, a view, or what a method gets


def screens() -> list[Screen]:
    """Return every kind, in the order of the page."""
    channel: Any = {"visibility": Visibility.CHANNEL, "public_url": PUBLIC}
    direct: Any = {"visibility": Visibility.DIRECT, "public_url": PUBLIC}
    alone: Any = {"visibility": Visibility.EPHEMERAL, "public_url": PUBLIC}
    return [
        Screen("Answer in a channel", "Everyone in the channel sees it, in the thread of the question.",
               answer_message(ANSWER, "en", **channel)),
        Screen("Answer in a direct message, in French", "Made from what the asker may read.",
               answer_message(REPONSE, "fr", **direct)),
        Screen("Answer for the asker alone", "After `/ask`: ephemeral, and it may be shared.",
               answer_message(ANSWER, "en", **alone)),
        Screen("“I don't know”", "With the passages that came closest.", abstained_message(REFUSAL, "en", **channel)),
        Screen("Documents disagree", "A warning comes before the sources.",
               answer_message(DISAGREEMENT, "en", **channel)),
        Screen("No answer", "Something failed; what exactly is in the log, under the reference.",
               failed_message("GeneratorTimeout", "en", answer_id=ID)),
        Screen("While it works", "The status in the thread.", {"status": working_text("en")}),
        Screen("While others come first", "The status under load.", {"status": queued_text(3, "en")}),
        Screen("Help", "`/ask help`.", help_message("en")),
        Screen("Status", "`/ask status`.",
               status_message(StatusView("Ann Lee", outsider=False, documents=1204, waiting=2, heard_s=4), "en")),
        Screen("Why", "`/ask why`: how the last answer came about.",
               why_message(WhyView(ANSWER, "days of leave", 0.42, "reader", "channel"), "en", public_url=PUBLIC)),
        Screen("Who are you?", "The one other link: to our own sign-in, for one person alone.",
               link_message(f"{PUBLIC}/slack/link?key=…", 10, "en", public_url=PUBLIC)),
        *_of_channels(),
        *_of_corrections(channel),
        *_of_people(),
    ]  # fmt: skip


def _of_channels() -> list[Screen]:
    policy = Policy(answers="questions", unknown="silent", specialist="hr", sources=("hr",), recall=True)
    choices = Choices(("hr",), ("handbook", "hr"), hidden_specialist=False, more_sources=False)
    taken = (Taken("offer.pdf"), Taken("film.mp4", "too_large"))
    kept = files_message(taken, NOW + timedelta(days=1), "en", most_mb=50, total_mb=200)
    return [
        Screen("Settings of a channel", "`/ask settings`: a form.",
               settings_view("C0123456789", policy, choices, "en")),
        Screen("Settings were changed", "In the channel, by whoever changed them.",
               changed_message("U0123456789", policy, "en")),
        Screen("Ask about a message", "The shortcut of a message: a form; only the asker sees the answer.",
               ask_about_view("Leave is 25 days now, isn't it?", "", "{}", "en")),
        Screen("Files dropped in a direct message", "What became of them, and until when they are kept.", kept),
    ]  # fmt: skip


def _of_corrections(channel: Any) -> list[Screen]:
    told = CorrectionView(NOW - timedelta(days=9), True, ANSWER, "en", ("Leave policy",), (2,))
    return [
        Screen("Correction", "A document behind an answer changed; in channels that want it, in the answer's thread.",
               correction_message([told], 7, "c0ffee", **channel)),
    ]  # fmt: skip


def _of_people() -> list[Screen]:
    w = people_words("en")
    question = "How many days of leave do I have in my first year?"
    ends = w.reviewed.format(name="Bob Roy", on="2026-03-10", until="2026-06-08")
    document = w.answer_source.format(link=link(question, PUBLIC, 91, 0, 140))
    said = bot_said(w, ANSWER.text)
    return [
        Screen("What is wrong with an answer", "After a thumb down: a form.", feedback_form(w, ID)),
        Screen("Somebody asks a human", "To an owner of the specialist, in a direct message.",
               asked_message(w, "hr", question, said, 7)),
        Screen("An owner replies", "A form; the reply is published once it is approved.", reply_form(w, question, "7")),
        Screen("An owner replied in the thread", "To that owner alone.", offer_message(w, "7:1773133200.000100")),
        Screen("A reply waits for approval", "To the other owners; here of a question that only the asker saw.",
               proposed_message(w, w.proposed.format(name="Ann Lee"), question, REPLY, 7, private=True)),
        Screen("A reply was published", "In place of the buttons, for who approved it.",
               approved_message(w, w.approved_done.format(date="2026-06-08"), 7)),
        Screen("The reviewed answer", "Where the question was asked, for those who saw the question.",
               published_message(w.published.format(name="Ann Lee"), REPLY, ends, document)),
        Screen("A reviewed answer has expired", "To the owners.", expired_message(w, question, 7)),
        Screen("Questions without an answer", "Once a week, to the owners of a specialist.",
               weekly_message(w, "hr", [(question, 3)], 2)),
        Screen("Trouble", "What `metier notify add slack` tells, in the channel that it names.",
               digest_message(targets.Message("1", TARGET, (HELD,)), PUBLIC)),
    ]  # fmt: skip


def section() -> str:
    """Return the section of the page, between its marks."""
    told = [f"### {each.title}\n\n{each.says}\n\n```json\n{_json(each.shown)}\n```\n" for each in screens()]
    return "\n".join([BEGIN, "", *told, END])


def with_screens(page: str) -> str:
    """Return *page* with the section as it is rendered now. Raises ValueError when its marks are not there."""
    before, rest = page[: page.index(BEGIN)], page[page.index(END) + len(END) :]
    return before + section() + rest


def _json(shown: Message | Mapping[str, Any]) -> str:
    if isinstance(shown, Message):
        shown = {"text": shown.text, "blocks": list(shown.blocks)} | (
            {"metadata": shown.metadata} if shown.metadata else {}
        )
    return json.dumps(shown, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    PAGE.write_text(with_screens(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
