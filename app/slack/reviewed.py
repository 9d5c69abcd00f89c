"""Reviewed answers: an approved reply becomes a document, is posted where the question was asked, and expires.

It is a document like any other, of a push source of the specialist: whoever may ask the specialist may read it, and of
a question that only one person saw, that person and those who look after it, unless the approver decides otherwise.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app import audit, specialists
from app.auth import ROLES
from app.errors import AppError, Conflict, SlackError
from app.ingest import indexing_of
from app.people import full_name
from app.slack import deliver, store_help, store_told
from app.slack.aside import direct
from app.slack.blocks_parts import TITLE_CHARS, link
from app.slack.blocks_people import expired_message, plain, published_message
from app.slack.escape import line
from app.slack.records import Place, Visibility
from app.slack.store_owners import askers_of, curators_of, owners
from app.slack.wording_people import people_words
from app.specialists import Asker
from indexing import changelog, grants, store
from indexing.access import authorise
from indexing.principals import principal_named, principal_with_id, principals_with_ids
from indexing.push import delete_document, push_document
from indexing.tables import EVERYONE, LOCAL_PRINCIPAL_ID, utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from app.parts import Parts
    from app.slack.bot import Bot
    from app.slack.records import Message, Person
    from app.slack.store_help import Help
    from indexing.documents import SourceRecord

log = structlog.get_logger(__name__)

_NAME_CHARS = 100
#: How long after its end an expired answer is still news.
_TOLD_WITHIN = timedelta(days=30)
_TOLD = "expired:"


@dataclass(frozen=True, slots=True)
class Published:
    """A reviewed answer that is a document now."""

    document_id: int
    source_id: int
    source: str
    found: bool  # the specialist answers from the source
    name: str  # of who approved it
    chars: int  # of its text


def source_name(specialist: str) -> str:
    """Return the name of the source that holds the specialist's reviewed answers."""
    whole = f"{store_help.SOURCE_PREFIX}{specialist}"
    return whole if len(whole) <= _NAME_CHARS else f"{whole[:-30][:80]}-{sha256(whole.encode()).hexdigest()[:12]}"


def day(moment: datetime | None) -> str:
    """Return the date as it is told; "" for none."""
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def seen_by_all(bot: Bot, channel_id: str) -> bool:
    """Return whether all members of the workspace, and nobody else, may read the channel; no if Slack does not say."""
    try:
        found = bot.slack.call("conversations.info", channel=channel_id).get("channel") or {}
    except SlackError:
        return False
    closed = ("is_private", "is_im", "is_mpim", "is_ext_shared", "is_shared", "is_pending_ext_shared")
    return bool(found) and not any(found.get(each) for each in closed)


# --- publishing -----------------------------------------------------------------------------------------------


def publish(bot: Bot, found: Help, approver: Person, *, everyone: bool) -> Published:
    """Store the approved reply as a document and return it; once more is the same document.

    With *everyone* all who may ask the specialist may read it. Raises IndexingError when it cannot be stored.
    """
    by = approver.principal_id
    if by is None:
        raise Conflict("Only somebody who is linked approves a reply.")
    with bot.parts.catalog.transaction() as session:
        source = _source(session, found, by)
        who = principal_with_id(session, by)
        name = "" if who is None else who.display
        readers = None if everyone else _readers(session, found, by)
    text = _text(found, name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "answer.md"
        path.write_text(text, encoding="utf-8")
        uri = store_help.URI.format(found.id)
        made = push_document(indexing_of(bot.parts, by), source, uri, path, "text/markdown", readers)
    answers = _answers_from(bot, found.specialist, source, by)
    return Published(made, source.id, source.name, answers, name, len(text))


def _source(session: Session, found: Help, by: int) -> SourceRecord:
    """Return the source of the specialist's reviewed answers, made if it is not there, for who may ask it."""
    changelog.lock(session)
    name = source_name(found.specialist)
    known = store.source_named(session, name)
    if known is not None:
        return known
    askers = askers_of(session, found.specialist)
    if askers is None:
        public = principal_named(session, EVERYONE)
        askers = frozenset() if public is None else frozenset({public.id})
    readers = {LOCAL_PRINCIPAL_ID, *askers, *curators_of(session, found.specialist)}
    readers |= {owner.principal_id for owner in owners(session, found.team_id, found.specialist)}
    made = store.add_source(session, name, "push", "", grants.interned(session, readers))
    audit.record(session, by, "source.add", made.id)
    return made


def _readers(session: Session, found: Help, by: int) -> list[str]:
    """Return the names of who asked, who approves and who looks after the specialist."""
    ids = {by, *curators_of(session, found.specialist)}
    ids |= {owner.principal_id for owner in owners(session, found.team_id, found.specialist)}
    ids |= set() if found.principal_id is None else {found.principal_id}
    return [full_name(each) for each in principals_with_ids(session, ids).values() if each.kind != "public"]


def _text(found: Help, name: str) -> str:
    words = people_words(found.language)
    ends = words.reviewed.format(name=name, on=day(utc_now()), until=day(found.expires_at))
    return f"# {' '.join(found.question.split())}\n\n{found.reply}\n\n{ends}\n"


def _answers_from(bot: Bot, specialist: str, source: SourceRecord, by: int) -> bool:
    """Return whether the specialist answers from the source; one with named sources gets it, if the approver may."""
    with bot.parts.catalog.transaction() as session:
        who = principal_with_id(session, by)
        asker = Asker(authorise(session, by), who is not None and "operate" in ROLES[who.role])
        try:
            chosen = specialists.specialist(session, asker, specialist)
            if chosen.audience == "public" and not _for_everyone(session, source):
                return False
            if not chosen.sources or source.name in chosen.sources:
                return True
            shown = specialists.shown_to(session, asker, [chosen])[0]
            wanted = replace(shown, sources=(*shown.sources, source.name))
            made = specialists.add_version(session, asker, wanted)
        except AppError as exc:
            log.warning("A source was not added.", action="slack_source_not_added", why=type(exc).__name__)
            return False
        audit.record(session, by, "specialist.change", f"{made.name}@{made.version}")
    return True


def _for_everyone(session: Session, source: SourceRecord) -> bool:
    public = principal_named(session, EVERYONE)
    return public is not None and public.id in grants.readers(session, source.id)


def post(bot: Bot, found: Help, done: Published, writer: str) -> None:
    """Post the reviewed answer where the question was asked, for those who saw the question; *writer* is escaped."""
    words = people_words(found.language)
    label = line(found.question, TITLE_CHARS)
    source = link(label, bot.parts.settings.public_url, done.document_id, 0, done.chars)
    ends = words.reviewed.format(name=line(done.name), on=day(utc_now()), until=day(found.expires_at))
    message = published_message(
        words.published.format(name=writer), found.reply or "", ends, words.answer_source.format(link=source)
    )
    _post_there(bot, found, message)


def post_withdrawn(bot: Bot, found: Help) -> None:
    """Post where the reviewed answer was posted that it is withdrawn, for those who saw it."""
    text = people_words(found.language).withdrawn_there.format(question=line(found.question))
    _post_there(bot, found, plain(text))


def _post_there(bot: Bot, found: Help, message: Message) -> None:
    """Post what is about an answer where the question was asked; that it cannot be posted ends nothing."""
    try:
        if found.private:  # also of an answer that was for one person in a channel: it reaches nobody else
            direct(bot, found.user_id, message, found.thread_ts)
        else:
            place = Place(found.channel_id, found.user_id, found.team_id, found.thread_ts)
            deliver.deliver(bot, place, message, Visibility.CHANNEL)
    except SlackError as exc:  # it is published, or withdrawn, all the same
        log.warning(
            "What became of a question was not posted.", action="slack_not_posted", help=found.id, code=exc.code
        )


# --- expiring -------------------------------------------------------------------------------------------------


def expire(parts: Parts) -> None:
    """Delete the reviewed answers whose time is over, whether or not their workspace can be served.

    Also those of which no record is left: they go with the person who asked, when that one is erased.
    """
    now = utc_now()
    with parts.catalog.reading() as session:
        over = store_help.due(session, now)
        orphans = store_help.orphans(session)
    indexing = indexing_of(parts, None)
    for source, uri in orphans:
        delete_document(indexing, source, uri)
    for found in over:
        with parts.catalog.reading() as session:
            named = store.source_named(session, source_name(found.specialist))
            source_there = store_help.source_of(session, found) or named
        if source_there is not None:  # first: what is noted as expired must not be served
            delete_document(indexing, source_there, store_help.URI.format(found.id))
        with parts.catalog.transaction() as session:
            if store_help.expired(session, found.id, now):
                audit.record(session, None, "help.expire", found.id)


def tell_expired(bot: Bot) -> None:
    """Tell those who look after the answers that have expired, once for each; not of those that did weeks ago."""
    since = utc_now() - _TOLD_WITHIN
    with bot.parts.catalog.reading() as session:
        found = store_help.expired_since(session, bot.workspace.team_id, since)
        untold = store_told.untold(session, [_expired(each) for each in found])
    for each in found:
        if _expired(each) not in untold:
            continue
        with bot.parts.catalog.transaction() as session:
            store_told.forget(session, _TOLD, since - _TOLD_WITHIN)
            mine = store_told.take(session, _expired(each))
            everybody = owners(session, each.team_id, each.specialist) if mine else []
        for owner in everybody:
            _tell_expired(bot, owner.user_id, owner.language, each)


def _expired(found: Help) -> str:
    return f"{_TOLD}{found.id}:{found.expires_at}"


def _tell_expired(bot: Bot, user_id: str, language: str, found: Help) -> None:
    try:
        direct(bot, user_id, expired_message(people_words(language), found.question, found.id))
    except SlackError as exc:
        log.warning("Somebody was not told.", action="slack_not_told", user=user_id, code=exc.code)
