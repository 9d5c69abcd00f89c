"""Answers that no longer hold are corrected in their threads, once for each change, where the channel wants that.

``look`` is called by every server once in a while. It reads what changed, and of each thread that quotes it, when that
has settled: does what was quoted still stand → if not, the question asked again, for those who see the thread now →
one correction for all answers of the thread that no longer hold.

A document that those who see the thread may not read is never the reason of a correction, nor named in one: nothing
is said of it, whatever became of it. Nothing of the old answer is repeated either. Ephemeral answers are not corrected:
their readers cannot be found again. A muted thread is: it is about what is true, not about a conversation.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from app import specialists
from app.answer import answer
from app.errors import NoIndexYet, NotFound, SlackError
from app.events import Abstained, Done, Failed, Sources, settled
from app.messages import abstention
from app.recheck import Answered, Found, Quotation, quotations, says_the_same
from app.slack import deliver, rights, store_channels, store_recall
from app.slack.blocks import AnswerView, answer_message, disagrees, sources_of
from app.slack.blocks_recall import CORRECTED, CorrectionView, correction_message, marked
from app.slack.records import Place, Visibility
from app.slack.who import person
from indexing import changelog, db, store
from indexing.errors import IndexingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.slack.bot import Bot
    from app.slack.records import Person
    from app.slack.store_recall import Due, Watched
    from indexing.documents import Passage, Scope

log = structlog.get_logger(__name__)

#: How long a document has to be left alone: what is saved five times in a minute is one change.
SETTLE = timedelta(seconds=60)
#: Threads that one look takes, so that other things that are due have their turn.
MOST_AT_ONCE = 10
#: Attempts after which a thread waits for the next change.
MOST_ATTEMPTS = 10
#: Before another attempt where something failed; twice as long each time.
AGAIN = timedelta(seconds=60)
#: Before another look at what nobody may read just now: lists that were too old come back.
WITHHELD_AGAIN = timedelta(hours=1)
#: By which Slack says that nothing can be posted there any more.
_SHUT = frozenset(
    "not_in_channel channel_not_found is_archived thread_not_found restricted_action account_inactive token_revoked "
    "invalid_auth not_private".split()
)


class _NotNow(Exception):  # noqa: N818 -- says what happened
    """The thread cannot be looked at just now."""

    def __init__(self, after: timedelta) -> None:
        super().__init__()
        self.after = after


@dataclass(frozen=True, slots=True)
class _Asked:
    """An answer that was made again."""

    id: str
    given: Answered
    abstained: Abstained | None
    passages: tuple[Passage, ...]
    confidence: float | None
    language: str


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of looking at one answer again. ``asked`` is what is true now; None: it holds, or nobody may know."""

    post: Watched
    scope: Scope | None
    checked: int
    quoted: tuple[Quotation, ...] = ()
    asked: _Asked | None = None

    @property
    def holds(self) -> bool:
        """Whether the thread says what is true, and all of it may still be read."""
        readable = all(each.found is not Found.WITHHELD for each in self.quoted)
        return self.asked is None and self.scope is not None and readable


def look(bot: Bot, *, settle: timedelta = SETTLE) -> None:
    """Correct what no longer holds and is due. Raises CatalogError; what Slack refuses is tried again later."""
    catalog, team_id = bot.parts.catalog, bot.workspace.team_id
    kept_days = bot.parts.settings.answers_kept_days
    kept = None if kept_days == "forever" else timedelta(days=kept_days)
    with catalog.reading() as session:
        found = store_recall.behind(session, team_id, db.now(session), kept)
    if found is not None and (found.threads or found.before != found.head):
        with catalog.transaction() as session:
            store_recall.note(session, team_id, found, db.now(session), settle)
    for _ in range(MOST_AT_ONCE):
        with catalog.reading() as session:
            if not store_recall.waits(session, team_id, db.now(session)):
                return
        with catalog.transaction() as session:
            due = store_recall.claim(session, team_id, db.now(session))
        if due is not None:
            _settle(bot, due)


def _settle(bot: Bot, due: Due) -> None:
    """Look at the claimed thread again, and give it back: done, to be tried again, or given up."""
    names = {"team": due.team_id, "channel": due.channel_id, "thread": due.thread_ts}
    after, why = None, ""
    try:
        _look_again(bot, due)
    except _NotNow as exc:
        after = exc.after
    except SlackError as exc:
        after, why = AGAIN * 2**due.attempts, exc.code or "unreachable"
        if exc.code in _SHUT:
            after = None
            log.info("A thread cannot be corrected.", action="slack_recall_shut", code=exc.code, **names)
    except IndexingError as exc:
        after, why = AGAIN * 2**due.attempts, type(exc).__name__
    if after is not None and due.attempts >= MOST_ATTEMPTS:
        after = None
        log.warning("A thread is not looked at again.", action="slack_recall_given_up", why=why, **names)
    with bot.parts.catalog.transaction() as session:
        if after is None:
            store_recall.done(session, due)
        else:
            store_recall.later(session, due, db.now(session), after)


def _look_again(bot: Bot, due: Due) -> None:
    """Correct the thread if one of its answers no longer holds. THE flow."""
    if due.state is not None:
        _take_over(bot, due)
    with bot.parts.catalog.reading() as session:
        posts = store_recall.watched(session, due)
    if not posts:
        return
    rights.forget_channel(bot, due.channel_id)
    looks: list[_Look] = []
    try:
        for post in posts:
            looks.append(_looked_at(bot, due, post))
        wrong = [each for each in looks if each.asked is not None]
        with bot.parts.catalog.transaction() as session:
            for each in looks:
                if each.holds:
                    store_recall.holds(session, due, each.post.id, each.checked)
        if wrong:
            _require_same_readers(bot, due, wrong)
    except (IndexingError, _NotNow):
        _forget(bot, looks)
        raise
    if wrong:
        _correct(bot, due, wrong)
    if any(each.asked is None and not each.holds for each in looks):
        raise _NotNow(WITHHELD_AGAIN)


def _looked_at(bot: Bot, due: Due, post: Watched) -> _Look:
    """Return whether the answer of *post* holds for those who see the thread now, and if not, what does."""
    parts = bot.parts
    asker = person(bot, post.user_id)
    scope = _scope(bot, due, post, asker)
    if scope is None:
        return _Look(post, None, post.seen)
    with parts.catalog.reading() as session:
        checked = changelog.state(session).seq
        quoted = quotations(session, scope, post.watched, post.seen)
    looked = _Look(post, scope, checked, quoted)
    lost = any(each.found in (Found.CHANGED, Found.GONE) for each in quoted)
    if not lost and post.now.citations:
        return looked
    asked = _ask_again(bot, due, post, asker, scope)
    if asked is None:
        return replace(looked, scope=None)
    if not _says_the_same(post, asked, quoted):
        return replace(looked, asked=asked)
    _forget(bot, [replace(looked, asked=asked)])
    return looked


def _says_the_same(post: Watched, asked: _Asked, quoted: Sequence[Quotation]) -> bool:
    old, new = Answered(post.now.text, post.now.citations), asked.given
    if not old.citations or not new.citations:
        return not old.citations and not new.citations
    return says_the_same(post.first.question, old, new, quoted, asked.passages, asked.language)


def _scope(bot: Bot, due: Due, post: Watched, asker: Person) -> Scope | None:
    """Return what all may read who see the thread now; None when nothing can be said to them."""
    return rights.scope_for(bot, asker, _place(due, post), Visibility(post.visibility), "")


def _place(due: Due, post: Watched) -> Place:
    return Place(
        channel_id=due.channel_id, user_id=post.user_id, user_team_id=due.team_id, thread_ts=due.thread_ts
    )


def _ask_again(bot: Bot, due: Due, post: Watched, asker: Person, scope: Scope) -> _Asked | None:
    """Return the answer to the question of *post* as it is now; None when its specialist is not for these readers.

    Raises _NotNow when it could not be made, or from documents of before the change.
    """
    with bot.parts.catalog.reading() as session:
        turns = store_recall.turns_before(session, due, post)
        policy = store_channels.policy(session, due.team_id, due.channel_id)
        name = post.first.specialist or specialists.DEFAULT_NAME
        try:
            specialist = specialists.specialist(session, rights.specialist_asker(asker, scope), name)
        except NotFound:
            return None
    if policy.sources:
        specialist = replace(specialist, sources=policy.sources)
    events = list(answer(post.first.question, scope, bot.parts, specialist=specialist, history=turns))
    done = next(each for each in events if isinstance(each, Done))
    failed = next((each for each in events if isinstance(each, Failed)), None)
    abstained = next((each for each in events if isinstance(each, Abstained)), None)
    if failed is not None and failed.error == NoIndexYet.__name__:  # the last document is gone
        message = abstention(done.language, "nothing_found", only_public=scope.only_public)
        failed, abstained = None, Abstained(message, "nothing_found")
    if failed is not None or done.indexed_through < due.seq:
        with bot.parts.catalog.transaction() as session:
            store_recall.forget(session, done.answer_id)
        raise _NotNow(AGAIN)
    text, citations = settled(events) if abstained is None else (abstained.message, ())
    passages = next((each.passages for each in events if isinstance(each, Sources)), ())
    return _Asked(done.answer_id, Answered(text, citations), abstained, passages, done.confidence, done.language)


def _require_same_readers(bot: Bot, due: Due, wrong: Sequence[_Look]) -> None:
    """Raise _NotNow when others see the thread, or may read other things, than when the answers were made."""
    rights.forget_channel(bot, due.channel_id)
    if any(_scope(bot, due, each.post, person(bot, each.post.user_id)) != each.scope for each in wrong):
        raise _NotNow(timedelta())


def _forget(bot: Bot, looks: Sequence[_Look]) -> None:
    """Delete the answers that nobody got."""
    with bot.parts.catalog.transaction() as session:
        for each in looks:
            if each.asked is not None:
                store_recall.forget(session, each.asked.id)


# --- the correction -------------------------------------------------------------------------------------------


def _correct(bot: Bot, due: Due, wrong: Sequence[_Look]) -> None:
    """Post one correction for these answers, and mark them. Raises SlackError."""
    first = wrong[0].post
    answers = {str(each.post.id): each.asked.id for each in wrong if each.asked is not None}
    with bot.parts.catalog.transaction() as session:
        state = _state(session, wrong)
        if not store_recall.posting(session, due, state, answers, db.now(session)):
            return
    visibility, public_url = Visibility(first.visibility), bot.parts.settings.public_url
    views = [_view(each, each.asked) for each in wrong if each.asked is not None]
    message = correction_message(views, first.id, state, visibility=visibility, public_url=public_url)
    ts = deliver.deliver(bot, _place(due, first), message, visibility)
    log.info("An answer was corrected.", action="slack_corrected", channel=due.channel_id, answers=len(wrong))
    for each in wrong:
        _mark(bot, due, each.post, each.scope)
    with bot.parts.catalog.transaction() as session:
        store_recall.posted(session, due, ts, answers, min(each.checked for each in wrong))


def _state(session: Session, wrong: Sequence[_Look]) -> str:
    """Return what tells these changes of these answers' documents from all others, before and after them."""
    documents = {each.citation.document_id for look in wrong for each in look.quoted}
    changes = changelog.last_changes_of(session, documents)
    told = [[look.post.id for look in wrong], max(look.checked for look in wrong), sorted(changes.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _view(looked: _Look, asked: _Asked) -> CorrectionView:
    knew = bool(looked.post.now.citations)
    changed = (each.title for each in looked.quoted if each.found is Found.CHANGED and knew)
    gone = {each.citation.number for each in looked.quoted if each.found is Found.GONE and knew}
    now = AnswerView(
        answer_id=asked.id,
        text=asked.given.text,
        citations=asked.given.citations,
        abstained=asked.abstained,
        sources=sources_of(asked.passages),
        disagree=disagrees(asked.given.text, asked.language),
        confidence=asked.confidence,
    )
    return CorrectionView(
        looked.post.now.asked_at, knew, now, asked.language, tuple(dict.fromkeys(changed)), tuple(sorted(gone))
    )


def _mark(bot: Bot, due: Due, post: Watched, scope: Scope | None) -> None:
    """Say above the answer that it is corrected: the first time, and where all its documents may still be read."""
    if post.corrected or scope is None:
        return
    with bot.parts.catalog.reading() as session:
        found = [store.document(session, scope, each.document_id) for each in post.first.citations]
    documents = [each for each in found if each is not None]
    if len(documents) < len(found):
        return
    first, visibility = post.first, Visibility(post.visibility)
    view = AnswerView(
        answer_id=first.id,
        text=first.text,
        citations=first.citations,
        sources=sources_of(documents),
        disagree=disagrees(first.text, first.language),
        now=first.asked_at,
    )
    message = answer_message(view, first.language, visibility=visibility, public_url=bot.parts.settings.public_url)
    try:
        deliver.replace(bot, _place(due, post), post.ts, marked(message, first.language), visibility)
    except SlackError as exc:  # the correction is there; the mark only leads to it
        log.info("An answer was not marked.", action="slack_not_marked", channel=due.channel_id, code=exc.code)


def _take_over(bot: Bot, due: Due) -> None:
    """Finish what an earlier attempt began: what it was about to post is in the thread, or is forgotten."""
    ts = _posted_already(bot, due)
    catalog = bot.parts.catalog
    if ts is None:
        with catalog.transaction() as session:
            store_recall.not_posted(session, due)
        return
    with catalog.reading() as session:
        posts = [each for each in store_recall.watched(session, due) if str(each.id) in due.answers]
        given = [store_recall.given(session, each) for each in due.answers.values()]
    for post in posts:
        _mark(bot, due, post, _scope(bot, due, post, person(bot, post.user_id)))
    checked = min((each.indexed_through for each in given if each is not None), default=due.seq)
    with catalog.transaction() as session:
        store_recall.posted(session, due, ts, due.answers, checked)


def _posted_already(bot: Bot, due: Due) -> str | None:
    """Return the ts of the correction that an earlier attempt posted, or None. Raises SlackError."""
    told = {"channel": due.channel_id, "ts": due.thread_ts, "include_all_metadata": True, "limit": 200}
    for each in bot.slack.pages("conversations.replies", "messages", **told):
        metadata = each.get("metadata") or {}
        ours = each.get("user") == bot.workspace.bot_user_id and metadata.get("event_type") == CORRECTED
        if ours and (metadata.get("event_payload") or {}).get("state") == due.state:
            return str(each["ts"])
    return None
