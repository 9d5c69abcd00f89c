"""What answers look like in Slack: pure functions from what is known to messages within Slack's limits.

An answer ends with its sources (title, place, age, and a link to the cited passage in our own copy), a warning when the
documents disagree, the notice that a machine answered, and the buttons. A title or a quote is a document's own words:
all of it goes through ``app.slack.escape``. The only links are those that ``blocks_parts.link`` makes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.messages import messages
from app.slack import escape
from app.slack.blocks_notices import (
    StatusView,
    failed_message,
    help_message,
    link_message,
    notice,
    queued_text,
    status_message,
    working_text,
)
from app.slack.blocks_parts import (
    ANSWER_SECTIONS,
    QUOTE_CHARS,
    TEXT_CHARS,
    TITLE_CHARS,
    actions,
    age,
    button,
    context,
    feedback,
    header,
    link,
    packed,
    percent,
    section,
    sections,
)
from app.slack.records import Message, Visibility
from app.slack.wording import words
from indexing.documents import Passage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.events import Abstained, Citation
    from app.slack.blocks_parts import Block
    from app.slack.wording import Wording
    from indexing.documents import DocumentRecord

__all__ = [
    "ANSWERED",
    "AnswerView",
    "SourceView",
    "StatusView",
    "WhyView",
    "abstained_message",
    "answer_end",
    "answer_message",
    "disagrees",
    "failed_message",
    "help_message",
    "link_message",
    "notice",
    "queued_text",
    "sources_of",
    "status_message",
    "why_message",
    "with_text",
    "working_text",
]

#: The ``event_type`` of a finished answer's metadata; ``app.slack.deliver`` looks for it.
ANSWERED = "metier_answer"
MOST_SOURCES = 8
MOST_PASSAGES = 5


@dataclass(frozen=True, slots=True)
class SourceView:
    """A document behind an answer, as its readers may see it."""

    title: str
    source: str  # the source's name
    uri: str
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class AnswerView:
    """An answer, and what is shown with it. *text* is what stands at the end, markers included, not escaped."""

    answer_id: str
    text: str
    citations: tuple[Citation, ...] = ()
    abstained: Abstained | None = None
    sources: Mapping[int, SourceView] = field(default_factory=dict)  # by document id
    disagree: bool = False
    confidence: float | None = None
    shared: bool = False  # somebody shared it, and it was made anew for that
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class WhyView:
    """How an answer came about. *answer* is None when there is none."""

    answer: AnswerView | None = None
    question: str = ""
    threshold: float | None = None
    generator: str = "reader"
    #: "all" that the asker may read, what is "public", or what all in the "channel" may read.
    searched: str = "all"


def sources_of(found: Iterable[Passage | DocumentRecord]) -> dict[int, SourceView]:
    """Return what is shown of the documents that *found* are, or are passages of, by document id."""
    return {
        each.document_id if isinstance(each, Passage) else each.id: SourceView(
            each.title, each.source, each.uri, each.modified_at
        )
        for each in found
    }


def disagrees(text: str, language: str) -> bool:
    """Return whether the reader's answer says that two documents give different numbers."""
    return text.lstrip().startswith(messages(language).disagree.strip())


def answer_message(a: AnswerView, language: str, *, visibility: Visibility, public_url: str | None) -> Message:
    """Return the whole answer as one message: for what cannot be streamed, and for updates."""
    return with_text(a.text, answer_end(a, language, visibility=visibility, public_url=public_url), language)


def answer_end(a: AnswerView, language: str, *, visibility: Visibility, public_url: str | None) -> Message:
    """Return what comes under an answer's text; the message's own text is the answer, for notifications."""
    w = words(language)
    blocks = _sources(a, w, public_url)
    if a.disagree:
        blocks.insert(0, context(f"*{escape.mrkdwn(w.disagree)}*"))
    blocks.append(_small_print(a, language, visibility))
    blocks += _buttons(a, w, visibility)
    return Message(_fallback(a.text), blocks, _metadata(a))


def abstained_message(a: AnswerView, language: str, *, visibility: Visibility, public_url: str | None) -> Message:
    """Return "I don't know" with the closest passages; *a* has to have ``abstained``."""
    w = words(language)
    told = a.abstained.message if a.abstained else a.text
    closest = a.abstained.closest if a.abstained else ()
    blocks = [section(escape.mrkdwn(told))]
    if closest:
        lines = (_passage_line(each, a, w, public_url) for each in closest[:MOST_PASSAGES])
        blocks += packed([f"*{escape.mrkdwn(w.closest)}*", *lines])
    blocks.append(_small_print(a, language, visibility))
    blocks += _buttons(a, w, visibility)
    return Message(_fallback(told), blocks, _metadata(a))


def with_text(text: str, end: Message, language: str) -> Message:
    """Return *end* under *text*, which is not escaped yet; text that does not fit is cut, and the message says so."""
    whole = sections(escape.mrkdwn(text), ANSWER_SECTIONS, escape.mrkdwn(words(language).cut))
    return Message(end.text, [*whole, *end.blocks], end.metadata)


def why_message(why: WhyView, language: str, *, public_url: str | None) -> Message:
    """Return how an answer came about: what was searched for and where, how sure it is, and the passages."""
    w = words(language)
    a = why.answer
    if a is None:
        return notice(w.why_none)
    searched = {"all": w.why_all, "public": w.why_public, "channel": w.why_channel}[why.searched]
    lines = [escape.mrkdwn(w.why_question).format(question=escape.line(why.question))] if why.question else []
    lines.append(
        escape.mrkdwn(f"{w.why_searched}: {searched}" if language != "fr" else f"{w.why_searched} : {searched}")
    )
    if a.confidence is not None and why.threshold is not None:
        sure = {"percent": percent(a.confidence, language), "threshold": percent(why.threshold, language)}
        lines.append(escape.mrkdwn(w.why_confidence.format(**sure)))
    by_reader = why.generator == "reader"
    lines.append(escape.mrkdwn(w.why_reader if by_reader else w.why_model.format(generator=why.generator)))
    blocks = [header(w.why_title), *packed(lines)]
    if cited := [_citation_line(each, a, w, public_url, quoted=True) for each in _by_number(a.citations)]:
        blocks += packed([f"*{escape.mrkdwn(w.why_passages)}*", *cited[:MOST_SOURCES]])
    return Message(_fallback(w.why_title), blocks)


# --- parts of an answer ---------------------------------------------------------------------------------------


def _sources(a: AnswerView, w: Wording, public_url: str | None) -> list[Block]:
    """Return the sources, one line for each number in the text; a quote where the text does not hold it already."""
    cited = _by_number(a.citations)
    if not cited:
        return []
    text = escape.line(a.text, len(a.text) * 5 + 1)
    lines = [f"*{escape.mrkdwn(w.sources)}*"]
    lines += (
        _citation_line(each, a, w, public_url, quoted=escape.line(each.quote, QUOTE_CHARS) not in text)
        for each in cited[:MOST_SOURCES]
    )
    if len(cited) > MOST_SOURCES:
        lines.append(escape.mrkdwn(w.more_sources.format(count=len(cited) - MOST_SOURCES)))
    return packed(lines)


def _by_number(citations: Sequence[Citation]) -> list[Citation]:
    """Return the first citation of each number, by number."""
    first: dict[int, Citation] = {}
    for each in citations:
        first.setdefault(each.number, each)
    return [first[number] for number in sorted(first)]


def _citation_line(c: Citation, a: AnswerView, w: Wording, public_url: str | None, *, quoted: bool) -> str:
    shown = a.sources.get(c.document_id) or SourceView(c.title, c.source, c.uri, None)
    title = link(_title(shown.title, shown.uri), public_url, c.document_id, c.start, c.end)
    place = _place(shown, c.page, a.now, w)
    quote = f"\n“{escape.line(c.quote, QUOTE_CHARS)}”" if quoted else ""
    return f"[{c.number}] {title} · {place}{quote}"


def _passage_line(p: Passage, a: AnswerView, w: Wording, public_url: str | None) -> str:
    title = link(_title(p.title, p.uri), public_url, p.document_id, p.start, p.end)
    place = _place(SourceView(p.title, p.source, p.uri, p.modified_at), p.page, a.now, w)
    return f"• {title} · {place}\n“{escape.line(p.text, QUOTE_CHARS)}”"


def _title(title: str, uri: str) -> str:
    return escape.line(title, TITLE_CHARS) or escape.line(uri, TITLE_CHARS) or "?"


def _place(shown: SourceView, page: int | None, now: datetime, w: Wording) -> str:
    told = [
        w.source_in.format(source=escape.line(shown.source, TITLE_CHARS)),
        "" if page is None else w.page.format(page=page),
        age(shown.modified_at, now, w),
    ]
    return " · ".join(each for each in told if each)


def _small_print(a: AnswerView, language: str, visibility: Visibility) -> Block:
    w = words(language)
    told = [
        w.shared_answer if a.shared else "",
        w.private if visibility is Visibility.EPHEMERAL else "",
        "" if a.confidence is None else w.confidence.format(percent=percent(a.confidence, language)),
        messages(language).notice,
    ]
    return context(*(escape.mrkdwn(each) for each in told if each))


def _buttons(a: AnswerView, w: Wording, visibility: Visibility) -> list[Block]:
    row = [button("human", w.human, a.answer_id)]
    if visibility is Visibility.EPHEMERAL and a.abstained is None:
        row.append(button("share", w.share, a.answer_id))
    return [feedback(a.answer_id, w), actions(row)]


def _fallback(text: str) -> str:
    return escape.cut(escape.mrkdwn(text), TEXT_CHARS)


def _metadata(a: AnswerView) -> dict[str, object]:
    return {"event_type": ANSWERED, "event_payload": {"answer_id": a.answer_id}}
