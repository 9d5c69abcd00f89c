"""Asking a human: those who look after the specialist are asked, one replies, and another one approves.

Who may reply, approve and renew is looked up again at every click and every form: what a value or a form's hidden text
names changes nothing for anybody else. What comes of an approved reply is in ``app.slack.reviewed``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from app import audit, history
from app.errors import SlackError
from app.slack import deliver, reviewed, store_help, store_posts, who
from app.slack.aside import direct, tell
from app.slack.blocks_people import (
    DEFAULT_DAYS,
    approved_message,
    asked_message,
    bot_said,
    filled_in,
    offer_message,
    plain,
    proposed_message,
    reply_form,
)
from app.slack.escape import line
from app.slack.incoming import plain as as_typed
from app.slack.records import Place, Visibility
from app.slack.store_owners import owners, recorded_as
from app.slack.wording_people import people_words
from indexing import store_read
from indexing.access import authorise
from indexing.errors import IndexingError
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from app.history import AnswerRecord
    from app.slack.bot import Bot
    from app.slack.records import Incoming, Job, Message, Person
    from app.slack.reviewed import Published
    from app.slack.store_help import Help
    from app.slack.store_owners import Owner
    from app.slack.wording_people import PeopleWording

log = structlog.get_logger(__name__)

#: Owners that are asked; of more the first by name.
MOST_ASKED = 10
REPLY_CHARS = 5000


# --- asking ---------------------------------------------------------------------------------------------------


def ask_human(bot: Bot, job: Job) -> None:
    """Ask those who look after the specialist that answered; of one answer once."""
    incoming = job.incoming
    person = who.sender(bot, incoming)
    words = people_words(person.language)
    if person.outsider:
        tell(bot, incoming, words.members_only)
        return
    with bot.parts.catalog.transaction() as session:
        where = (incoming.channel_id, str(incoming.payload.get("message_ts") or incoming.ts))
        answer_id = str(incoming.payload["action"].get("value", ""))
        post = store_posts.seen_post(session, incoming.team_id, where, answer_id, incoming.user_id)
        record = None if post is None else history.shown_answer(session, post.answer_id)
        found = [] if record is None else owners(session, incoming.team_id, record.specialist or "metier")[:MOST_ASKED]
        asked, is_new = None, False
        if post is not None and record is not None and found:
            asked, is_new = store_help.open_help(session, post, record, person.user_id, person.principal_id)
            if is_new:
                audit.record(session, recorded_as(session, person), "help.ask", asked.id)
    if record is None:
        tell(bot, incoming, words.not_here)
    elif asked is None:
        tell(bot, incoming, words.nobody)
    elif not is_new and (job.attempts == 1 or asked.user_id != person.user_id):
        tell(bot, incoming, words.asked_already)
    else:
        _ask(bot, asked, record, found)
        tell(bot, incoming, words.asked.format(names=_names(found)))


def _ask(bot: Bot, asked: Help, record: AnswerRecord, found: Sequence[Owner]) -> None:
    """Mention the owners where everybody sees the question, and send it to each of them."""
    reached = 0
    for owner in found:
        words = people_words(owner.language)
        said = _said(bot, record, owner, words)
        try:
            direct(bot, owner.user_id, asked_message(words, asked.specialist, asked.question, said, asked.id))
            reached += 1
        except SlackError as exc:  # the others can still be asked
            log.warning("Somebody could not be asked.", action="slack_not_asked", user=owner.user_id, code=exc.code)
            if reached == 0 and owner is found[-1]:
                raise
    if not asked.private:
        mentions = " ".join(f"<@{owner.user_id}>" for owner in found)
        place = Place(asked.channel_id, asked.user_id, asked.team_id, asked.thread_ts)
        text = people_words(asked.language).ping.format(mentions=mentions)
        deliver.deliver(bot, place, plain(text), Visibility.CHANNEL)


def _said(bot: Bot, record: AnswerRecord, owner: Owner, words: PeopleWording) -> str:
    """Return what the owner is told of the automatic answer: its text only if they may read all that it quotes."""
    if record.finish_reason not in {"stop", "length"}:
        return words.bot_said_nothing
    quoted = {each.chunk_id for each in record.citations}
    with bot.parts.catalog.reading() as session:
        scope = authorise(session, owner.principal_id)
        readable = store_read.passages(session, scope, quoted, None)
    return bot_said(words, record.text) if quoted and quoted <= set(readable) else words.bot_hidden


# --- replying -------------------------------------------------------------------------------------------------


def begin_reply(bot: Bot, job: Job) -> None:
    """Open the form for a reply, or for one that has expired to be renewed: for owners."""
    found, person = _owned(bot, job.incoming, job.incoming.payload["action"].get("value"))
    if found is not None:
        _open_form(bot, job.incoming, found, person, found.reply or "")


def capture(bot: Bot, job: Job) -> None:
    """Open the form with what an owner wrote in the thread."""
    help_id, _, ts = str(job.incoming.payload["action"].get("value", "")).partition(":")
    found, person = _owned(bot, job.incoming, help_id)
    if found is None:
        return
    span: dict[str, Any] = {"oldest": ts, "latest": ts, "inclusive": True, "limit": 5}
    said = bot.slack.call("conversations.replies", channel=found.channel_id, ts=found.thread_ts, **span)
    own = [m for m in said.get("messages") or () if m.get("ts") == ts and m.get("user") == person.user_id]
    _open_form(bot, job.incoming, found, person, as_typed(own[0].get("text", "")) if own else "")


def _open_form(bot: Bot, incoming: Incoming, found: Help, person: Person, reply: str) -> None:
    words = people_words(person.language)
    if found.state in {"proposed", "approved"}:
        tell(bot, incoming, words.already_replied.format(name=f"<@{found.replied_by}>"))
        return
    form = reply_form(words, found.question, str(found.id), reply)
    try:
        bot.slack.call("views.open", trigger_id=incoming.payload["trigger_id"], view=form)
    except SlackError as exc:  # a trigger lives for three seconds
        log.warning("No form could be opened.", action="slack_no_form", code=exc.code)
        tell(bot, incoming, words.press_again)


def take_reply(bot: Bot, job: Job) -> None:
    """Keep the reply that an owner filled in, and show it for approval."""
    payload = job.incoming.payload
    found, person = _owned(bot, job.incoming, payload.get("private_metadata"))
    if found is None:
        return
    words = people_words(person.language)
    reply, until = _filled_in(payload["values"], people_words(found.language))
    with bot.parts.catalog.transaction() as session:
        kept = bool(reply) and store_help.propose(session, found.id, reply, person.user_id, until)
        if kept:
            audit.record(session, person.principal_id, "help.reply", found.id)
        now = store_help.help_with_id(session, found.team_id, found.id) or found
    again = job.attempts > 1 and (now.state, now.replied_by, now.reply) == ("proposed", person.user_id, reply)
    if kept or again:
        _show_for_approval(bot, now, person)
    else:
        tell(bot, job.incoming, words.already_replied.format(name=f"<@{now.replied_by}>"))


def _filled_in(values: Mapping[str, Any], words: PeopleWording) -> tuple[str, datetime]:
    """Return the reply with its sources, and the end of its time; what a form does not offer counts as the default."""
    reply, sources, days = (filled_in(values, name) for name in ("reply", "sources", "days"))
    valid = int(days) if days.isdecimal() and int(days) in words.days else DEFAULT_DAYS
    whole = f"{reply}\n\n{words.sources}\n{sources}" if reply and sources else reply
    return whole[:REPLY_CHARS], utc_now() + timedelta(days=valid)


def replied(bot: Bot, incoming: Incoming) -> Help | None:
    """Return the question that a message in its thread replies to, which waits for one and whose owner wrote it."""
    if incoming.kind != "message" or not incoming.text.strip() or incoming.thread_ts in ("", incoming.ts):
        return None
    with bot.parts.catalog.reading() as session:
        found = store_help.open_in_thread(session, incoming.team_id, incoming.channel_id, incoming.thread_ts)
    if found is None or not _is_owner(bot, found, who.sender(bot, incoming)):
        return None
    return found


def offer(bot: Bot, job: Job) -> None:
    """Offer an owner to use what they wrote in the thread; nothing happens for any other message."""
    found = replied(bot, job.incoming)
    if found is not None:
        person = who.sender(bot, job.incoming)
        tell(bot, job.incoming, offer_message(people_words(person.language), f"{found.id}:{job.incoming.ts}"))


# --- approving ------------------------------------------------------------------------------------------------


def _show_for_approval(bot: Bot, found: Help, writer: Person) -> None:
    """Show the reply to the other owners, or to its writer where there is no other."""
    with bot.parts.catalog.reading() as session:
        everybody = owners(session, found.team_id, found.specialist)
    others = [owner for owner in everybody if owner.user_id != found.replied_by][:MOST_ASKED]
    asker_only = found.private or not reviewed.seen_by_all(bot, found.channel_id)
    for owner in others or [owner for owner in everybody if owner.user_id == found.replied_by]:
        words = people_words(owner.language)
        intro = words.proposed.format(name=_name_of(everybody, found.replied_by)) if others else _yours(words, found)
        question, reply = found.question, found.reply or ""
        direct(bot, owner.user_id, proposed_message(words, intro, question, reply, found.id, private=asker_only))
    if others:
        text = people_words(writer.language).sent_to.format(names=_names(others))
        direct(bot, writer.user_id, plain(text))


def _yours(words: PeopleWording, found: Help) -> str:
    return words.proposed_by_you.format(specialist=line(found.specialist))


def approve(bot: Bot, job: Job) -> None:
    """Publish the reply that waits: an owner other than its writer decides that, where there is one."""
    help_id, _, readers = str(job.incoming.payload["action"].get("value", "")).partition(":")
    found, person = _owned(bot, job.incoming, help_id)
    if found is None:
        return
    words = people_words(person.language)
    with bot.parts.catalog.transaction() as session:
        everybody = owners(session, found.team_id, found.specialist)
        own = found.replied_by == person.user_id
        if own and any(owner.user_id != person.user_id for owner in everybody):
            refusal = words.other_approves
        elif _taken(session, job, found, person, "approved"):
            refusal = ""
        else:
            refusal = words.already_decided
        now = store_help.help_with_id(session, found.team_id, found.id) or found
    if refusal:
        tell(bot, job.incoming, refusal)
        return
    try:
        done = reviewed.publish(bot, now, person, everyone=readers == "all")
    except IndexingError as exc:
        with bot.parts.catalog.transaction() as session:
            store_help.undecided(session, found.id, person.user_id)
        tell(bot, job.incoming, words.approving_failed.format(why=line(str(exc))))
        return
    reviewed.post(bot, now, done, _name_of(everybody, now.replied_by))
    with bot.parts.catalog.transaction() as session:
        store_help.published(session, found.id, done.source_id)
    _settled(bot, job.incoming, approved_message(words, _approved_text(words, now, done), now.id))


def _taken(session: Session, job: Job, found: Help, person: Person, state: str) -> bool:
    """Return whether the decision is this person's: made now, or by an attempt at the same job that did not end."""
    if store_help.decide(session, found.id, person.user_id, state):
        audit.record(session, person.principal_id, "help.decide", f"{found.id}:{state}")
        return True
    unfinished = found.state == state and found.decided_by == person.user_id and found.uri is None
    return job.attempts > 1 and unfinished


def _approved_text(words: PeopleWording, found: Help, done: Published) -> str:
    text = words.approved_done.format(date=reviewed.day(found.expires_at))
    if done.found:
        return text
    missing = words.source_not_added.format(specialist=line(found.specialist), source=line(done.source))
    return f"{text} {missing}"


def refuse(bot: Bot, job: Job) -> None:
    """Refuse the reply that waits, and tell its writer; the question is open again."""
    found, person = _owned(bot, job.incoming, job.incoming.payload["action"].get("value"))
    if found is None:
        return
    words = people_words(person.language)
    with bot.parts.catalog.transaction() as session:
        taken = _taken(session, job, found, person, "refused")
        everybody = owners(session, found.team_id, found.specialist)
    if not taken:
        tell(bot, job.incoming, words.already_decided)
        return
    writer = next((owner for owner in everybody if owner.user_id == found.replied_by), None)
    if writer is not None and writer.user_id != person.user_id:
        text = people_words(writer.language).refused.format(question=line(found.question))
        direct(bot, writer.user_id, plain(text))
    _settled(bot, job.incoming, plain(words.refused_done))


def withdraw(bot: Bot, job: Job) -> None:
    """End a published reply now: one who looks after it says so. It is as if its time were over."""
    found, person = _owned(bot, job.incoming, job.incoming.payload["action"].get("value"))
    if found is None:
        return
    with bot.parts.catalog.transaction() as session:
        first = store_help.withdraw(session, found.id, utc_now())
        if first:
            audit.record(session, person.principal_id, "help.withdraw", found.id)
    reviewed.expire(bot.parts)
    if first or job.attempts > 1:  # rather twice than not at all
        reviewed.post_withdrawn(bot, found)
    _settled(bot, job.incoming, plain(people_words(person.language).withdrawn))


def _settled(bot: Bot, incoming: Incoming, message: Message) -> None:
    """Put *message* in place of the one whose button was pressed, so that it is not pressed again.

    A message that is gone is no reason to fail: what was decided would be told again with each attempt.
    """
    deliver.replace_or_post(bot, incoming.place, str(incoming.payload["message_ts"]), message, Visibility.DIRECT)


# --- who may --------------------------------------------------------------------------------------------------


def _owned(bot: Bot, incoming: Incoming, help_id: object) -> tuple[Help | None, Person]:
    """Return the question, and who did this; None, once they were told why, unless they look after it."""
    person = who.sender(bot, incoming)
    words = people_words(person.language)
    number = int(str(help_id)) if str(help_id).isdecimal() and len(str(help_id)) < 19 else 0
    with bot.parts.catalog.reading() as session:
        found = store_help.help_with_id(session, incoming.team_id, number)
    if found is None:
        tell(bot, incoming, words.not_there)
    elif not _is_owner(bot, found, person):
        tell(bot, incoming, words.not_owner.format(specialist=line(found.specialist)))
        found = None
    return found, person


def _is_owner(bot: Bot, found: Help, person: Person) -> bool:
    if person.outsider or person.principal_id is None:
        return False
    with bot.parts.catalog.reading() as session:
        everybody = owners(session, found.team_id, found.specialist)
    return any((each.user_id, each.principal_id) == (person.user_id, person.principal_id) for each in everybody)


def _names(found: Sequence[Owner]) -> str:
    return ", ".join(line(owner.name) for owner in found)


def _name_of(found: Sequence[Owner], user_id: str | None) -> str:
    """Return the name of one of the owners; of who is none any more, a mention."""
    return next((line(owner.name) for owner in found if owner.user_id == user_id), f"<@{user_id}>")


ACTIONS = {
    "human": ask_human,
    "reply": begin_reply,
    "capture": capture,
    "approve": approve,
    "refuse": refuse,
    "renew": begin_reply,
    "withdraw": withdraw,
}
VIEWS = {"reply": take_reply}
