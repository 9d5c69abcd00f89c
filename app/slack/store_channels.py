"""How the bot behaves in each channel, by the channel's id: renaming one changes nothing. Never commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from app.slack.policy import check
from app.slack.records import Policy
from app.tables_slack import SlackChannelRow
from indexing.tables import utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def policy(session: Session, team_id: str, channel_id: str) -> Policy:
    """Return the channel's policy; where nobody set one, that of a bot that answers when it is mentioned."""
    row = session.get(SlackChannelRow, (team_id, channel_id))
    return Policy() if row is None else _policy(row)


def policies(session: Session, team_id: str) -> dict[str, Policy]:
    """Return the policies that somebody set in the workspace, by channel id; {} when nobody did."""
    query = select(SlackChannelRow).where(SlackChannelRow.team_id == team_id).order_by(SlackChannelRow.channel_id)
    return {row.channel_id: _policy(row) for row in session.scalars(query)}


def set_policy(session: Session, team_id: str, channel_id: str, wanted: Policy, changed_by: str | None) -> None:
    """Give the channel this policy, which holds from the next message on. *changed_by*: a Slack user; None: the CLI.

    Raises BadRequest for a word that there is not; whether specialist and sources exist is the caller's to know.
    """
    check(wanted)
    row = session.get(SlackChannelRow, (team_id, channel_id))
    if row is None:
        row = SlackChannelRow(team_id=team_id, channel_id=channel_id)
        session.add(row)
    row.answers, row.unknown, row.editors = wanted.answers, wanted.unknown, wanted.editors
    row.specialist, row.sources, row.recall = wanted.specialist, list(wanted.sources), wanted.recall
    row.changed_by, row.changed_at = changed_by, utc_now()
    session.flush()


def remove_policy(session: Session, team_id: str, channel_id: str) -> bool:
    """Let the bot behave there as where nobody set a policy; return whether somebody had."""
    c = SlackChannelRow
    matching = (c.team_id == team_id) & (c.channel_id == channel_id)
    return bool(session.execute(delete(c).where(matching).returning(c.channel_id)).all())


def _policy(row: SlackChannelRow) -> Policy:
    return Policy(row.answers, row.unknown, row.specialist, tuple(row.sources), row.recall, row.editors)
