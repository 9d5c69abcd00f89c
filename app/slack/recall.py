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

from app.answer import answer
from app.errors import NoIndexYet, NotFound, SlackError
from app.events import Abstained, settled
from app.messages import abstention
from app.recheck import Answered, Found, Quotation, quotations, says_the_same
from app.slack import deliver, rights, store_channels, store_corrections, store_recall, store_threads
from app.slack.blocks import AnswerView, answer_message, disagrees, sources_of
from app.slack.blocks_recall import CORRECTED, CorrectionView, correction_message, marked
from app.slack.made import Ended, view_of
from app.slack.questions import specialist_of
from app.slack.records import Place, Post, Visibility
from app.slack.who import person
from indexing import changelog, db, store
from indexing.errors import IndexingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.slack.bot import Bot
    from app.slack.made import Made
    from app.slack.records import Person
    from app.slack.store_corrections import Watched
    from app.slack.store_recall import Due
    from indexing.documents import Scope

log = structlog.get_logger(__name__)

#: How long a document has to be left alone: what is saved five times in a minute is one change.
SETTLE = timedelta(seconds=60)
#: Threads that one look takes, so that other things that are due have their turn.
MOST_AT_ONCE = 10
#: Attempts after which a thread waits for the next change.
MOST_ATTEMPTS = 10
#: Before another attempt where something failed, or where nobody may read what was quoted just now: lists that were too
#: old come back. Twice as long each time.
AGAIN = timedelta(seconds=60)
#: By which Slack says that nothing can be posted there any more.
_SHUT = {"not_in_channel", "channel_not_found", "is_archived", "thread_not_found", "restricted_action", "not_private"}


class _NotNow(Exception):
    """The thread cannot be looked at just now."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of looking at one answer again. ``asked`` is what is true now; None: it holds, or nobody may know."""

    post: Watched
    scope: Scope | None
    checked: int
    quoted: tuple[Quotation, ...] = ()
    asked: Made | None = None

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
    again, why = True, ""
    try:
        _look_again(bot, due)
        again = False
    except _NotNow:
        why = "not_now"
    except SlackError as exc:
        again, why = exc.code not in _SHUT, exc.code or "unreachable"
    except IndexingError as exc:
        why = type(exc).__name__
    again = again and due.attempts < MOST_ATTEMPTS
    with bot.parts.catalog.transaction() as session:
        if again:
            store_recall.later(session, due, db.now(session), AGAIN * 2 ** (due.attempts - 1))
            return
        if why:
            store_corrections.not_posted(session, due)
            log.warning("A thread is not looked at again.", action="slack_recall_given_up", why=why, **names)
        store_recall.done(session, due)


def _look_again(bot: Bot, due: Due) -> None:
    """Correct the thread if one of its answers no longer holds. THE flow."""
    if due.state is not None:
        _take_over(bot, due)
    with bot.parts.catalog.reading() as session:
        posts = store_corrections.watched(session, due)
    if not posts:
        return
    rights.forget_channel(bot, due.channel_id)
    looks: list[_Look] = []
    try:
        looks.extend(_looked_at(bot, due, post) for post in posts)  # keeps those before one that fails
        wrong = [each for each in looks if each.asked is not None]
        with bot.parts.catalog.transaction() as session:
            for each in looks:
                if each.holds:
                    store_corrections.holds(session, due, each.post.id, each.checked)
        if wrong:
            _require_same_readers(bot, due, wrong)
    except (IndexingError, _NotNow):
        _forget(bot, looks)
        raise
    if wrong:
        _correct(bot, due, wrong)
    if any(each.asked is None and not each.holds for each in looks):
        raise _NotNow


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
    if not lost and post.now.citations and not post.may_be_better:
        return looked
    asked = _ask_again(bot, due, post, asker, scope)
    if asked is None:
        return replace(looked, scope=None)
    if not _says_the_same(post, asked, quoted):
        return replace(looked, asked=asked)
    _forget(bot, [replace(looked, asked=asked)])
    return looked


def _says_the_same(post: Watched, asked: Made, quoted: Sequence[Quotation]) -> bool:
    old, new = Answered(post.now.text, post.now.citations), Answered(asked.text, asked.citations)
    if not old.citations or not new.citations:
        return not old.citations and not new.citations
    return says_the_same(post.first.question, old, new, quoted, asked.passages, asked.done.language)


def _scope(bot: Bot, due: Due, post: Watched, asker: Person) -> Scope | None:
    """Return what all may read who see the thread now; None when nothing can be said to them."""
    return rights.scope_for(bot, asker, _place(due, post), Visibility(post.visibility), "")


def _place(due: Due, post: Watched) -> Place:
    return Place(channel_id=due.channel_id, user_id=post.user_id, user_team_id=due.team_id, thread_ts=due.thread_ts)


def _posted(due: Due, post: Watched) -> Post:
    where = (due.team_id, due.channel_id, post.ts, due.thread_ts)
    return Post(*where, Visibility(post.visibility), post.user_id, post.first.id)


def _ask_again(bot: Bot, due: Due, post: Watched, asker: Person, scope: Scope) -> Made | None:
    """Return the answer to the question of *post* as it is now; None when its specialist is not for these readers.

    Raises _NotNow when it could not be made, or from documents of before the change.
    """
    with bot.parts.catalog.reading() as session:
        turns = store_threads.turns_before(session, _posted(due, post))
        policy = store_channels.policy(session, due.team_id, due.channel_id)
    asked_one = replace(policy, specialist=post.first.specialist)
    try:
        specialist = specialist_of(bot, asked_one, rights.specialist_asker(bot, asker, scope))
    except NotFound:
        return None
    events = list(answer(post.first.question, scope, bot.parts, specialist=specialist, history=turns))
    ended = Ended()
    for event in events:
        ended = ended.after(event)
    made = ended.made(settled(events)[0])
    if made.failed is not None and made.failed.error == NoIndexYet.__name__:  # the last document is gone
        message = abstention(made.done.language, "nothing_found", scope)
        made = replace(made, failed=None, abstained=Abstained(message, "nothing_found"))
    if made.failed is not None or made.done.indexed_through < due.seq:
        with bot.parts.catalog.transaction() as session:
            store_corrections.forget(session, made.done.answer_id)
        raise _NotNow
    return made


def _require_same_readers(bot: Bot, due: Due, wrong: Sequence[_Look]) -> None:
    """Raise _NotNow when others see the thread, or may read other things, than when the answers were made."""
    rights.forget_channel(bot, due.channel_id)
    if any(_scope(bot, due, each.post, person(bot, each.post.user_id)) != each.scope for each in wrong):
        raise _NotNow


def _forget(bot: Bot, looks: Sequence[_Look]) -> None:
    """Delete the answers that nobody got."""
    with bot.parts.catalog.transaction() as session:
        for each in looks:
            if each.asked is not None:
                store_corrections.forget(session, each.asked.done.answer_id)


# --- the correction -------------------------------------------------------------------------------------------


def _correct(bot: Bot, due: Due, wrong: Sequence[_Look]) -> None:
    """Post one correction for these answers, and mark them. Raises SlackError."""
    first = wrong[0].post
    answers = {str(each.post.id): each.asked.done.answer_id for each in wrong if each.asked is not None}
    with bot.parts.catalog.transaction() as session:
        state = _state(session, wrong)
        if not store_corrections.posting(session, due, state, answers, db.now(session)):
            return
    visibility, public_url = Visibility(first.visibility), bot.parts.settings.public_url
    views = [_view(each, each.asked) for each in wrong if each.asked is not None]
    message = correction_message(views, first.id, state, visibility=visibility, public_url=public_url)
    ts = deliver.deliver(bot, _place(due, first), message, visibility)
    log.info("An answer was corrected.", action="slack_corrected", channel=due.channel_id, answers=len(wrong))
    for each in wrong:
        _mark(bot, due, each.post, each.scope)
    with bot.parts.catalog.transaction() as session:
        store_corrections.posted(session, due, ts, answers, min(each.checked for each in wrong))


def _state(session: Session, wrong: Sequence[_Look]) -> str:
    """Return what tells these changes of these answers' documents from all others, before and after them."""
    documents = {each.citation.document_id for look in wrong for each in look.quoted}
    changes = changelog.last_changes_of(session, documents)
    told = [[look.post.id for look in wrong], max(look.checked for look in wrong), sorted(changes.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _view(looked: _Look, asked: Made) -> CorrectionView:
    knew = bool(looked.post.now.citations)
    changed = (each.title for each in looked.quoted if each.found is Found.CHANGED and knew)
    gone = {each.citation.number for each in looked.quoted if each.found is Found.GONE and knew}
    told = tuple(dict.fromkeys(changed)), tuple(sorted(gone))
    return CorrectionView(looked.post.now.asked_at, knew, view_of(asked), asked.done.language, *told)


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
            store_corrections.not_posted(session, due)
        return
    with catalog.reading() as session:
        posts = [each for each in store_corrections.watched(session, due) if str(each.id) in due.answers]
        given = [store_corrections.given(session, each) for each in due.answers.values()]
    for post in posts:
        _mark(bot, due, post, _scope(bot, due, post, person(bot, post.user_id)))
    checked = min((each.indexed_through for each in given if each is not None), default=due.seq)
    with catalog.transaction() as session:
        store_corrections.posted(session, due, ts, due.answers, checked)


def _posted_already(bot: Bot, due: Due) -> str | None:
    """Return the ts of the correction that an earlier attempt posted, or None. Raises SlackError."""
    told = {"channel": due.channel_id, "ts": due.thread_ts, "include_all_metadata": True, "limit": 200}
    messages = bot.slack.pages("conversations.replies", "messages", **told)
    return deliver.marked_as(bot, messages, CORRECTED, "state", due.state)
