"""The Slack bot's tables.

What people wrote is here as long as it is needed: a job's text goes when the job is done, turns and posts go with the
answers (``app/retention.py``). Rows of a person refer to ``principal``, so that they are exported and erased with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from indexing.tables import Id, Table, utc_now

#: Ids of Slack (teams, users, channels) have 9 to 11 characters today.
SLACK_ID = String(32)
#: A message's ``ts``: its identity within a channel.
TS = String(32)


class SlackWorkspaceRow(Table):
    """A workspace that the bot is installed in. Tokens are secrets by name; none is here."""

    __tablename__ = "slack_workspace"

    team_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    app_id: Mapped[str] = mapped_column(SLACK_ID)
    bot_user_id: Mapped[str] = mapped_column(SLACK_ID)
    api_url: Mapped[str] = mapped_column(String(255))  # https://slack.com/api/, or that of GovSlack
    transport: Mapped[str] = mapped_column(String(8))  # socket | http
    bot_secret: Mapped[str] = mapped_column(String(64))
    app_secret: Mapped[str | None] = mapped_column(String(64))  # of Socket Mode
    signing_secret: Mapped[str | None] = mapped_column(String(64))  # of HTTP
    domains: Mapped[list[Any]]  # e-mail domains that the administrator owns: who has such an address is linked by it
    outsiders: Mapped[str] = mapped_column(String(8))  # nothing | public: what guests and shared channels get
    connected_at: Mapped[datetime] = mapped_column(default=utc_now)
    heard_at: Mapped[datetime | None]  # the last time that anything came from Slack


class SlackEventRow(Table):
    """An event that was accepted: Slack sends each one until it is acknowledged, and sometimes once more."""

    __tablename__ = "slack_event"

    team_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    event_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)


class SlackSignatureRow(Table):
    """A signed request that was accepted, so that whoever recorded it cannot send it again."""

    __tablename__ = "slack_signature"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # sha256 of timestamp and signature
    at: Mapped[datetime] = mapped_column(index=True)


class SlackJobRow(Table):
    """Something that somebody did in Slack and that the bot has to do something about, once."""

    __tablename__ = "slack_job"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    team_id: Mapped[str] = mapped_column(SLACK_ID)
    meaning: Mapped[str] = mapped_column(String(255), unique=True)  # one for all events that say the same
    lane: Mapped[str] = mapped_column(String(8), index=True)  # answer | quick
    kind: Mapped[str] = mapped_column(String(16))
    channel_id: Mapped[str] = mapped_column(SLACK_ID)
    user_id: Mapped[str] = mapped_column(SLACK_ID)
    incoming: Mapped[dict[str, Any]]  # the rest of app.slack.records.Incoming; empty once it is done
    state: Mapped[str] = mapped_column(String(8), index=True)  # waiting | working | done | failed
    created_at: Mapped[datetime]
    begin_at: Mapped[datetime]  # nobody claims it before
    claimed_until: Mapped[datetime | None]
    claim: Mapped[str | None] = mapped_column(String(36))  # who claimed it: without it nothing may be written
    attempts: Mapped[int] = mapped_column(Integer)
    message_ts: Mapped[str | None] = mapped_column(TS)  # of the message that was begun for it
    error: Mapped[str | None]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)


class SlackUserRow(Table):
    """What Slack says of a user, and which principal it is."""

    __tablename__ = "slack_user"

    team_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)  # the user's own: another one for strangers
    user_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    principal_id: Mapped[int | None] = mapped_column(ForeignKey("principal.id"), index=True)
    how: Mapped[str | None] = mapped_column(String(8))  # sign_in | domain | admin: how the link was verified
    email: Mapped[str | None] = mapped_column(String(320))
    member: Mapped[bool] = mapped_column(Boolean)  # a full member of the workspace: no guest, no stranger, no bot
    deleted: Mapped[bool] = mapped_column(Boolean)
    locale: Mapped[str] = mapped_column(String(16))
    checked_at: Mapped[datetime]


class SlackLinkRow(Table):
    """A link that makes a Slack user a principal when that principal opens it. Only its hash is kept."""

    __tablename__ = "slack_link"

    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    team_id: Mapped[str] = mapped_column(SLACK_ID)
    user_id: Mapped[str] = mapped_column(SLACK_ID)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SlackChannelRow(Table):
    """How the bot behaves in a channel; one without a row answers when it is mentioned."""

    __tablename__ = "slack_channel"

    team_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    channel_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    answers: Mapped[str] = mapped_column(String(16))  # off | mention | questions | all
    unknown: Mapped[str] = mapped_column(String(8))  # say | silent
    specialist: Mapped[str | None] = mapped_column(String(100))
    sources: Mapped[list[Any]]  # names; empty: all
    recall: Mapped[bool] = mapped_column(Boolean)  # post a correction when a quoted document changes
    editors: Mapped[str] = mapped_column(String(16))  # admins | members: who may change this
    changed_by: Mapped[str | None] = mapped_column(SLACK_ID)
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)


class SlackThreadRow(Table):
    """A thread that the bot takes part in."""

    __tablename__ = "slack_thread"

    team_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    channel_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    thread_ts: Mapped[str] = mapped_column(TS, primary_key=True)
    muted: Mapped[bool] = mapped_column(Boolean)
    last_at: Mapped[datetime] = mapped_column(index=True)


class SlackTurnRow(Table):
    """What was asked and answered in a thread, so that a follow-up needs no question to Slack."""

    __tablename__ = "slack_turn"
    __table_args__ = (UniqueConstraint("team_id", "channel_id", "ts"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    team_id: Mapped[str] = mapped_column(SLACK_ID)
    channel_id: Mapped[str] = mapped_column(SLACK_ID)
    thread_ts: Mapped[str] = mapped_column(TS)
    ts: Mapped[str] = mapped_column(TS)
    role: Mapped[str] = mapped_column(String(16))  # user | assistant
    user_id: Mapped[str] = mapped_column(SLACK_ID)
    principal_id: Mapped[int | None] = mapped_column(ForeignKey("principal.id"), index=True)
    text: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)


class SlackPostRow(Table):
    """An answer that was posted, and where."""

    __tablename__ = "slack_post"
    __table_args__ = (UniqueConstraint("team_id", "channel_id", "ts"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    team_id: Mapped[str] = mapped_column(SLACK_ID)
    channel_id: Mapped[str] = mapped_column(SLACK_ID)
    ts: Mapped[str] = mapped_column(TS)
    thread_ts: Mapped[str] = mapped_column(TS)
    visibility: Mapped[str] = mapped_column(String(16))  # channel | direct | ephemeral
    user_id: Mapped[str] = mapped_column(SLACK_ID)  # who asked
    answer_id: Mapped[str] = mapped_column(ForeignKey("answer.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    corrected_at: Mapped[datetime | None]  # a correction was posted, or is being posted
    correction: Mapped[str | None] = mapped_column(String(64))  # of what: the state of the quoted documents
    correction_ts: Mapped[str | None] = mapped_column(TS)
    #: What the thread says now: the answer of the last correction; None: what was posted at first.
    stands_id: Mapped[str | None] = mapped_column(ForeignKey("answer.id", ondelete="SET NULL"), index=True)
    checked: Mapped[int | None] = mapped_column(
        BigInteger
    )  # position of the change log at which that was found to hold


class SlackRecallRow(Table):
    """A thread with an answer that quotes a document that changed, until that answer was looked at again."""

    __tablename__ = "slack_recall"

    team_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    channel_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    thread_ts: Mapped[str] = mapped_column(TS, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)  # of the last change that it waits for
    since: Mapped[datetime]  # the first of these changes was seen
    due_at: Mapped[datetime] = mapped_column(index=True)  # nobody claims it before
    claimed_until: Mapped[datetime | None]
    claim: Mapped[str | None] = mapped_column(String(36))
    attempts: Mapped[int] = mapped_column(Integer)
    state: Mapped[str | None] = mapped_column(String(64))  # of the documents, when a correction is being posted
    answers: Mapped[dict[str, Any]]  # what is being posted: post ids → answer ids


class SlackRecallReadRow(Table):
    """How far the change log was read for a workspace."""

    __tablename__ = "slack_recall_read"

    team_id: Mapped[str] = mapped_column(SLACK_ID, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]


class SlackHelpRow(Table):
    """A question that somebody asked a human, and what came of it."""

    __tablename__ = "slack_help"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    team_id: Mapped[str] = mapped_column(SLACK_ID)
    channel_id: Mapped[str] = mapped_column(SLACK_ID)
    thread_ts: Mapped[str] = mapped_column(TS)
    user_id: Mapped[str] = mapped_column(SLACK_ID)  # who asked
    principal_id: Mapped[int | None] = mapped_column(ForeignKey("principal.id"), index=True)
    answer_id: Mapped[str | None] = mapped_column(ForeignKey("answer.id", ondelete="SET NULL"), index=True)
    specialist: Mapped[str] = mapped_column(String(100))
    language: Mapped[str] = mapped_column(String(8))
    question: Mapped[str]
    state: Mapped[str] = mapped_column(String(16))  # open | proposed | approved | refused | expired
    reply: Mapped[str | None]
    replied_by: Mapped[str | None] = mapped_column(SLACK_ID)
    decided_by: Mapped[str | None] = mapped_column(SLACK_ID)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("source.id", ondelete="SET NULL"))  # that has the answer
    uri: Mapped[str | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)


class SlackFilesRow(Table):
    """The source that holds the files somebody dropped in a direct message, until it expires."""

    __tablename__ = "slack_files"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    team_id: Mapped[str] = mapped_column(SLACK_ID)
    user_id: Mapped[str] = mapped_column(SLACK_ID)
    principal_id: Mapped[int] = mapped_column(ForeignKey("principal.id"), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SlackToldRow(Table):
    """Something that is told once in a while, and was: the weekly digest of an owner."""

    __tablename__ = "slack_told"

    what: Mapped[str] = mapped_column(String(128), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
