"""From a question in Slack to its answer there: the flow, top to bottom.

Whether anybody wants an answer → who asks → who gets to see it, and so what it may be made from → the conversation so
far → the answer, on the screen as it comes → what is kept of it. One message, however often it is tried:
``app.slack.screen``.
"""

from __future__ import annotations

import re
import zlib
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from app import specialists
from app.answer import answer
from app.errors import AppError, BadRequest, NotFound, TooManyRequests
from app.generator import Turn
from app.slack import blocks, deliver, experts, files, store_channels, store_posts, store_threads
from app.slack.made import end_of, message_of, shown
from app.slack.policy import wants_answer
from app.slack.records import Place, Post, Visibility
from app.slack.rights import scope_for, specialist_asker
from app.slack.screen import Screen, hold
from app.slack.who import sender
from app.slack.wording import words
from app.specialists import DEFAULT
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.slack.bot import Bot
    from app.slack.made import Made
    from app.slack.records import Incoming, Job, Message, Person, Policy
    from app.specialists import Asker, Specialist
    from indexing.documents import Scope

#: Words that, alone in a thread, tell the bot to leave it.
MUTE = frozenset({"mute", "chut", "muet", "tais-toi"})
#: A direct conversation goes on without threads: a question is understood by what was said so long before.
CONVERSATION = timedelta(hours=1)
#: In the payload of a question: the id of the private answer to it, which somebody wants others to see. Ours alone.
SHARED = "shared"
_PEOPLE = re.compile(r"<[@!][^<>]{1,80}>")
_CHANNEL = re.compile(r"<#[A-Z0-9]{1,32}(?:\|([^<>]{0,80}))?>")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that somebody wants answered: where, for whom to see, and under which policy."""

    text: str
    place: Place
    visibility: Visibility
    policy: Policy
    #: Said to the bot, and not only where it listens: silence would leave somebody waiting.
    addressed: bool
    #: A private question that is asked once more, for others to see the answer.
    shared: bool


def ask(bot: Bot, job: Job) -> None:
    """Answer the question of *job* where it was asked, or tell the asker why not. THE flow.

    Nothing happens where nobody wants an answer, and where an earlier attempt has answered. Raises SlackError when
    Slack does not take the answer, CatalogError, and ClaimLost: another attempt then completes what was begun.
    """
    incoming = job.incoming
    if tells_to_leave(bot, incoming):
        return leave(bot, job)
    files.take(bot, job)  # before the question that comes with them, which may be about them
    asked = heard(bot, incoming)
    if asked is None:
        return experts.offer(bot, job)
    if is_answered(bot, job, asked):
        return None
    asker = sender(bot, incoming)
    scope = scope_for(bot, asker, asked.place, asked.visibility, incoming.channel_type)
    if scope is None:
        return tell(bot, job, asked, blocks.notice(words(asker.language).no_rights))
    counted = counted_as(asker)
    try:
        bot.quotas.admit(counted)
        with bot.quotas.answering(counted):
            return answer_in(bot, job, asked, asker, scope)
    except AppError as exc:
        if not isinstance(exc, TooManyRequests | BadRequest | NotFound):
            raise
        return tell(bot, job, asked, blocks.failed_message(type(exc).__name__, asker.language))


def heard(bot: Bot, incoming: Incoming) -> Asked | None:
    """Return what is asked, and where and for whom it is to be answered; None when nobody wants an answer."""
    team_id, thread_ts = bot.workspace.team_id, incoming.thread_ts
    with bot.parts.catalog.reading() as session:
        policy = store_channels.policy(session, team_id, incoming.channel_id)
        taking = store_threads.taking(session, team_id, incoming.channel_id, thread_ts)
    text = plain(incoming.text)
    if not text or not wants_answer(policy, incoming, joined=taking.joined, muted=taking.muted):
        return None
    if experts.replied(bot, incoming) is not None:
        return None
    shared = str(incoming.payload.get(SHARED) or "")
    place = Place(
        incoming.channel_id,
        incoming.user_id,
        incoming.user_team_id,
        thread_ts=thread_ts or incoming.ts,
        response_url=incoming.response_url,
        question_ts=f"{SHARED}:{shared}" if shared else incoming.ts,
    )
    addressed = incoming.kind != "message" or taking.joined
    return Asked(text, place, visibility_of(incoming), policy, addressed, shared=bool(shared))


def visibility_of(incoming: Incoming) -> Visibility:
    """Return who gets to see the answer: it depends on how somebody asked, and on nothing else."""
    if incoming.kind == "direct":
        return Visibility.DIRECT
    if incoming.kind == "command" and not incoming.payload.get(SHARED):
        return Visibility.EPHEMERAL
    return Visibility.CHANNEL


def plain(text: str) -> str:
    """Return what somebody wrote without mentions of people, and channels by their names."""
    return _CHANNEL.sub(lambda found: found[1] or "", _PEOPLE.sub(" ", text)).strip()


def is_answered(bot: Bot, job: Job, asked: Asked) -> bool:
    """Return whether an earlier attempt has posted the whole answer, and only failed to say that it is done."""
    if job.message_ts is None:
        return False
    if asked.visibility is Visibility.EPHEMERAL:  # is posted whole
        return True
    with bot.parts.catalog.reading() as session:
        place = asked.place
        return store_posts.post_at(session, bot.workspace.team_id, place.channel_id, job.message_ts) is not None


def counted_as(asker: Person) -> int:
    """Return the number under which questions are counted: the principal's, or one made of the user's id."""
    return asker.principal_id or -1 - zlib.crc32(f"{asker.team_id}:{asker.user_id}".encode())


# --- answering ------------------------------------------------------------------------------------------------


def answer_in(bot: Bot, job: Job, asked: Asked, asker: Person, scope: Scope) -> None:
    """Answer within *scope*, on the screen as it comes, and keep what is kept of it.

    Raises QuestionTooLong, BadRequest and NotFound (the channel's specialist) before anything is posted.
    """
    specialist = specialist_of(bot, asked.policy, specialist_asker(bot, asker, scope))
    asking = answer(asked.text, scope, bot.parts, specialist=specialist, history=history_of(bot, job.incoming, asked))
    if job.incoming.kind == "mention":  # before the answer is seen: who reads it may go on at once
        with bot.parts.catalog.transaction() as session:
            store_threads.join(session, bot.workspace.team_id, asked.place.channel_id, asked.place.thread_ts)
    screen = Screen(bot, job, asked.place, asked.visibility, streams=not asked.shared)
    with closing(bot.metrics.watched(asking)) as events:
        made = shown(events, screen)
    url = bot.parts.settings.public_url
    if not made.is_answer and asked.shared:  # who wanted to share learns that there is nothing for others to read
        return tell(bot, job, asked, message_of(made, visibility=Visibility.EPHEMERAL, public_url=url))
    if not made.is_answer and asked.policy.unknown == "silent" and not asked.addressed:
        return None
    end = end_of(made, visibility=asked.visibility, public_url=url)
    sharer = asked.place.user_id if asked.shared else ""
    whole = message_of(made, visibility=asked.visibility, public_url=url, shared_by=sharer, question=asked.text)
    ts = screen.end(made.text, end, whole, made.done.language)
    return keep(bot, job, asked, asker, made, ts)


def specialist_of(bot: Bot, policy: Policy, asker: Asker) -> Specialist:
    """Return who answers under *policy*. Raises NotFound when the channel's specialist is none that *asker* may ask."""
    chosen = DEFAULT
    if policy.specialist is not None:
        with bot.parts.catalog.reading() as session:
            chosen = specialists.specialist(session, asker, policy.specialist)
    return replace(chosen, sources=policy.sources) if policy.sources else chosen


def history_of(bot: Bot, incoming: Incoming, asked: Asked) -> tuple[Turn, ...]:
    """Return what was said before, as far as whoever sees this answer saw it too.

    Our own turns, nothing of Slack's but the message that a shortcut was used on: who asked about it has read it.
    """
    if asked.shared:
        return ()
    if asked.visibility is Visibility.EPHEMERAL:
        quoted = str(incoming.payload.get("quoted") or "")
        return (Turn("user", quoted),) if quoted else ()
    team_id, channel_id = bot.workspace.team_id, incoming.channel_id
    with bot.parts.catalog.reading() as session:
        if asked.visibility is Visibility.DIRECT and not incoming.thread_ts:
            return store_threads.turns_since(session, team_id, channel_id, utc_now() - CONVERSATION)
        return store_threads.turns(session, team_id, channel_id, asked.place.thread_ts)


def keep(bot: Bot, job: Job, asked: Asked, asker: Person, made: Made, ts: str) -> None:
    """Keep where the answer was posted, and what was said: all of it, or nothing.

    What was said is kept as long as answers are: not at all where those are not.
    """
    team_id, place, visibility = bot.workspace.team_id, asked.place, asked.visibility
    own = f"job:{job.id}"  # stands for a message's ts where there is none
    posted_at = own if visibility is Visibility.EPHEMERAL else ts
    answer_id, user_id = made.done.answer_id, place.user_id
    post = Post(team_id, place.channel_id, posted_at, place.thread_ts, visibility, user_id, answer_id)
    said = store_threads.Said(job.incoming.ts or own, asked.text, posted_at, made.said, user_id, asker.principal_id)
    with bot.parts.catalog.transaction() as session:
        kept = store_posts.record_post(session, post)
        if kept and made.said:
            store_threads.keep(session, team_id, place.channel_id, place.thread_ts or ts, said, visibility)


# --- what is no answer ----------------------------------------------------------------------------------------


def tell(bot: Bot, job: Job, asked: Asked, message: Message) -> None:
    """Tell the asker alone, if they spoke to the bot: nobody wants to hear why a bot that listens says nothing."""
    if not asked.addressed:
        return
    hold(bot, job)
    visibility = Visibility.DIRECT if asked.visibility is Visibility.DIRECT else Visibility.EPHEMERAL
    place = replace(asked.place, question_ts="") if asked.shared else asked.place
    if visibility is Visibility.DIRECT:
        deliver.deliver(bot, place, message, visibility)
        return
    deliver.replace(bot, place, "", message, visibility)  # of the sign that a command got, where there is one
    if not asked.shared:
        deliver.status(bot, place, "")


def tells_to_leave(bot: Bot, incoming: Incoming) -> bool:
    """Return whether this is nothing but the word that tells the bot to leave the thread, said where it is."""
    word = plain(incoming.text).strip(" .!").casefold()
    if word not in MUTE or incoming.kind not in {"mention", "message"} or not incoming.thread_ts:
        return False
    with bot.parts.catalog.reading() as session:
        taking = store_threads.taking(session, bot.workspace.team_id, incoming.channel_id, incoming.thread_ts)
    return incoming.kind == "mention" or (taking.joined and not taking.muted)


def leave(bot: Bot, job: Job) -> None:
    """Answer nothing more in the thread until somebody mentions the bot, and tell who wanted that."""
    incoming = job.incoming
    with bot.parts.catalog.transaction() as session:
        store_threads.join(session, bot.workspace.team_id, incoming.channel_id, incoming.thread_ts)
        store_threads.mute(session, bot.workspace.team_id, incoming.channel_id, incoming.thread_ts)
    place = incoming.place
    asker = sender(bot, incoming)
    hold(bot, job)
    deliver.deliver(bot, place, blocks.notice(words(asker.language).muted), Visibility.EPHEMERAL)


def sign(bot: Bot, job: Job, ahead: int) -> None:
    """Show where the question was asked that it was heard, and how many wait before it.

    Nothing is shown of one that nobody wants answered, nor where an answer may be silence. Raises SlackError.
    """
    if tells_to_leave(bot, job.incoming):
        return
    asked = heard(bot, job.incoming)
    if asked is None or asked.shared or not (asked.addressed or asked.policy.unknown == "say"):
        return
    asker = sender(bot, job.incoming)
    text = blocks.queued_text(ahead, asker.language) if ahead else blocks.working_text(asker.language)
    if asked.visibility is not Visibility.EPHEMERAL:
        deliver.status(bot, asked.place, text)
    elif asked.place.response_url and job.attempts <= 1:  # Slack takes five messages there, and no status
        deliver.replace(bot, asked.place, "", blocks.notice(text), Visibility.EPHEMERAL)


KINDS: dict[str, Callable[[Bot, Job], None]] = {"direct": ask, "mention": ask, "message": ask}
