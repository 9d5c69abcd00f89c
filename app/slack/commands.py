"""What follows ``/ask`` besides a question, and the button that shares a private answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app import abstain, audit, history, specialists
from app.conversation import standalone
from app.errors import NotFound
from app.slack import (
    blocks,
    deliver,
    escape,
    files,
    linking,
    store_help,
    store_inbox,
    store_links,
    store_posts,
    store_threads,
    store_workspaces,
)
from app.slack.blocks_parts import age, packed
from app.slack.questions import SHARED
from app.slack.records import Incoming, Message, Visibility
from app.slack.rights import scope_for
from app.slack.screen import hold
from app.slack.who import sender
from app.slack.wording import words
from indexing import runs, store
from indexing.principals import principal_named, principal_with_id
from indexing.tables import EVERYONE, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from app.history import AnswerRecord
    from app.slack.bot import Bot
    from app.slack.records import Job, Person, Post
    from indexing.documents import Scope

#: Sources that are told of; more do not fit into what somebody reads.
MOST_SOURCES = 20
#: Runs of a source that are looked through for the last good one.
RUNS_READ = 20


# --- what the asker may know ------------------------------------------------------------------------------------


def help_(bot: Bot, job: Job) -> None:
    """Tell how to ask."""
    tell(bot, job, blocks.help_message(_asker(bot, job).language))


def status(bot: Bot, job: Job) -> None:
    """Tell whom the bot takes the asker for, what they may read and how old it is, and how many questions wait."""
    asker = _asker(bot, job)
    scope = _own_scope(bot, job, asker)
    with bot.parts.catalog.reading() as session:
        known = None if asker.principal_id is None else principal_with_id(session, asker.principal_id)
        workspace = store_workspaces.workspace(session, bot.workspace.team_id)
        heard_at = None if workspace is None else workspace.heard_at
        waiting = store_inbox.unfinished(session)
        team = bot.workspace.team_id
        view = blocks.StatusView(
            known_as=None if known is None else known.display or known.name,
            outsider=asker.outsider,
            documents=0 if scope is None else store.counts(session, scope).documents,
            waiting=sum(count for (of, state), count in waiting.items() if of == team and state == "waiting"),
            heard_s=None if heard_at is None else max(0, int((utc_now() - heard_at).total_seconds())),
        )
        lines = [] if scope is None else _sources(session, scope, asker.language)
    message = blocks.status_message(view, asker.language)
    tell(bot, job, Message(message.text, [*message.blocks, *packed(lines), *_way_in(bot, asker)]))


def _way_in(bot: Bot, asker: Person) -> Sequence[Mapping[str, Any]]:
    """Return how the asker tells who they are; nothing for who is known, and where nobody can sign in."""
    url = None if asker.principal_id is not None else linking.link_for(bot, asker)
    if url is None:
        return ()
    minutes = int(store_links.GOOD_FOR.total_seconds() // 60)
    return blocks.link_message(url, minutes, asker.language, public_url=bot.parts.settings.public_url or "").blocks


def _sources(session: Session, scope: Scope, language: str) -> list[str]:
    """Return a line for each source that may be read: its name, its documents, the age of what it knows."""
    w, now = words(language), utc_now()
    lines = []
    for source in store.visible_sources(session, scope)[:MOST_SOURCES]:
        good = _last_good(session, scope, source.id)
        told = age(good, now, w) if good is not None else w.status_never
        count = store.counts(session, scope, source.id).documents
        line = escape.mrkdwn(w.status_source).format(name=escape.line(source.name), count=count, age=told)
        lines.append(f"• {line}")
    return lines


def _last_good(session: Session, scope: Scope, source_id: int) -> datetime | None:
    """Return when the source was last read to its end, or None."""
    found = runs.visible_runs(session, scope, source_id, RUNS_READ)
    return next((run.finished_at for run in found if run.state == "succeeded"), None)


def why(bot: Bot, job: Job) -> None:
    """Tell how the asker's last answer here came about. Nobody learns that of somebody else's."""
    asker = _asker(bot, job)
    incoming, team_id = job.incoming, bot.workspace.team_id
    with bot.parts.catalog.reading() as session:
        post = store_posts.last_post(session, team_id, incoming.channel_id, incoming.user_id)
        record = None if post is None else record_of(session, asker, post)
    scope = _own_scope(bot, job, asker)
    if post is None or record is None or scope is None:
        return tell(bot, job, blocks.why_message(blocks.WhyView(), asker.language, public_url=None))
    return tell(bot, job, _why(bot, asker, scope, post, record))


def _why(bot: Bot, asker: Person, scope: Scope, post: Post, record: AnswerRecord) -> Message:
    language = asker.language
    with bot.parts.catalog.reading() as session:
        # Only what the asker may read by now: an answer is kept, and rights change.
        found = store.passages(session, scope, {each.chunk_id for each in record.citations}, None)
        count = store.counts(session, scope).documents
        before = store_threads.turns_before(session, post)
        threshold = _threshold(session, scope, record)
    citations = tuple(each for each in record.citations if each.chunk_id in found)
    view = blocks.AnswerView(
        record.id, record.text, citations, sources=blocks.sources_of(found.values()), confidence=record.confidence
    )
    public = asker.principal_id is None
    told = blocks.WhyView(
        answer=view,
        question=standalone(record.question, before).question,
        threshold=threshold,
        generator=record.generator,
        searched="channel" if post.visibility is Visibility.CHANNEL else "public" if public else "all",
    )
    message = blocks.why_message(told, language, public_url=bot.parts.settings.public_url)
    documents = escape.mrkdwn(words(language).status_documents.format(count=count))
    return Message(message.text, [*message.blocks, *packed([documents])])


def _threshold(session: Session, scope: Scope, record: AnswerRecord) -> float | None:
    """Return from which confidence on the specialist answers; the fitted one for one that is gone, or says nothing."""
    try:
        asker = specialists.Asker(scope, every=False)
        chosen = specialists.specialist(session, asker, record.specialist or "metier", record.specialist_version)
    except NotFound:
        return abstain.fitted().threshold
    return abstain.fitted().threshold if chosen.threshold is None else chosen.threshold


def record_of(session: Session, asker: Person, post: Post) -> AnswerRecord | None:
    """Return the answer that was posted there, if it is the asker's own; None else, and when it is not kept."""
    if (post.user_id, post.team_id) != (asker.user_id, asker.team_id):
        return None
    everyone = principal_named(session, EVERYONE)
    for owner in (asker.principal_id, None if everyone is None else everyone.id):
        if owner is not None:
            try:
                return history.answer_record(session, owner, post.answer_id)
            except NotFound:
                continue
    return None


# --- what the asker may change ----------------------------------------------------------------------------------


def forget(bot: Bot, job: Job) -> None:
    """Delete what the asker asked, was answered and dropped in this workspace, and tell how many answers that were."""
    asker = _asker(bot, job)
    team_id, user_id = bot.workspace.team_id, job.incoming.user_id
    with bot.parts.catalog.transaction() as session:
        store_threads.forget_user(session, team_id, user_id)
        store_help.forget_user(session, team_id, user_id)
        answers = store_posts.forget_user(session, team_id, user_id)
        audit.record(session, asker.principal_id, "slack.forget", answers, about=asker.principal_id)
    files.forget(bot, asker)
    told = words(asker.language).forgotten.format(answers=answers)
    tell(bot, job, blocks.notice(told))


def mute(bot: Bot, job: Job) -> None:
    """Answer nothing more without a mention in the threads of this channel."""
    _mute(bot, job, muted=True)


def unmute(bot: Bot, job: Job) -> None:
    """Take part again in the threads of this channel."""
    _mute(bot, job, muted=False)


def _mute(bot: Bot, job: Job, *, muted: bool) -> None:
    w = words(_asker(bot, job).language)
    with bot.parts.catalog.transaction() as session:
        store_threads.mute(session, bot.workspace.team_id, job.incoming.channel_id, None, muted=muted)
    tell(bot, job, blocks.notice(w.muted_all if muted else w.unmuted_all))


def share(bot: Bot, job: Job) -> None:
    """Have a private question answered once more, for everyone in the channel: never show them the private answer.

    That is a job of its own, one for each answer, however often somebody clicks.
    """
    incoming, asker = job.incoming, _asker(bot, job)
    answer_id = str((incoming.payload.get("action") or {}).get("value") or "")
    with bot.parts.catalog.reading() as session:
        post = store_posts.post_of(session, bot.workspace.team_id, answer_id)
        record = None if post is None else record_of(session, asker, post)
    w = words(asker.language)
    if post is None or record is None:
        return tell(bot, job, blocks.notice(w.not_yours))
    asking = Incoming(
        team_id=incoming.team_id,
        kind="command",
        meaning=f"{incoming.team_id}:share:{answer_id}",
        channel_id=post.channel_id,
        channel_type=incoming.channel_type,
        user_id=incoming.user_id,
        user_team_id=incoming.user_team_id,
        thread_ts=post.thread_ts,
        text=record.question,
        payload={"word": "", SHARED: answer_id},
    )
    with bot.parts.catalog.transaction() as session:
        store_inbox.accept(session, asking)
    return None


# --- pieces -----------------------------------------------------------------------------------------------------


def tell(bot: Bot, job: Job, message: Message) -> None:
    """Tell who did this, and nobody else; beside what they clicked on, and in place of nothing."""
    incoming = job.incoming
    place = replace(incoming.place, response_url=incoming.response_url)
    hold(bot, job)
    deliver.deliver(bot, place, message, Visibility.EPHEMERAL)


def _asker(bot: Bot, job: Job) -> Person:
    return sender(bot, job.incoming)


def _own_scope(bot: Bot, job: Job, asker: Person) -> Scope | None:
    """Return what the asker may read, for them alone to see; None when that is nothing."""
    incoming = job.incoming
    return scope_for(bot, asker, incoming.place, Visibility.EPHEMERAL, incoming.channel_type)


COMMANDS: dict[str, Callable[[Bot, Job], None]] = {
    "help": help_,
    "status": status,
    "why": why,
    "forget": forget,
    "mute": mute,
    "unmute": unmute,
}
ACTIONS: dict[str, Callable[[Bot, Job], None]] = {"share": share}
