"""Who the users of Slack are: what Slack said of them last, and which principals they are. Functions never commit.

A row is of one workspace: the same person is told of anew by each workspace that the bot is installed in. A link stays
in its row whatever Slack says; whether it counts is decided by ``app/slack/who.py``, each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from app import audit
from app.tables_slack import SlackUserRow
from indexing import principals
from indexing.db import among, insert_missing
from indexing.tables import Table, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Update
    from sqlalchemy.orm import Session

USER = Table.metadata.tables["slack_user"]
#: What Slack said of somebody is believed for so long, and not a minute more.
BELIEVED = timedelta(hours=1)
#: How a link was verified: who signed in opened a link of the Slack user; the profile's address; an administrator.
SIGN_IN, DOMAIN, ADMIN = "sign_in", "domain", "admin"


@dataclass(frozen=True, slots=True)
class Profile:
    """What Slack says of a user, by the workspace that was asked."""

    team_id: str  # the workspace
    user_id: str
    member: bool  # a full member of it: no guest, nobody of another organisation, no bot, not only invited
    deleted: bool
    locale: str
    email: str | None  # only one that Slack has confirmed and whose domain the workspace's administrator owns
    name: str = ""  # as Slack shows it; not kept


@dataclass(frozen=True, slots=True)
class Known:
    """A user as kept: the profile of ``checked_at``, and the link."""

    team_id: str
    user_id: str
    member: bool
    deleted: bool
    locale: str
    email: str | None
    principal_id: int | None
    how: str | None  # sign_in | domain | admin
    checked_at: datetime

    @property
    def is_believed(self) -> bool:
        """Whether it may be used without asking Slack again; never when its moment lies ahead."""
        return timedelta(0) <= utc_now() - self.checked_at < BELIEVED

    @property
    def linked_id(self) -> int | None:
        """Return the principal of the link, if it counts for whom Slack tells of: a full member who is there."""
        return self.principal_id if self.member and not self.deleted else None


_COLUMNS = tuple(getattr(SlackUserRow, name) for name in Known.__slots__)


def known(session: Session, team_id: str, user_id: str) -> Known | None:
    """Return the user as kept, or None."""
    return known_of(session, team_id, {user_id}).get(user_id)


def known_of(session: Session, team_id: str, user_ids: Collection[str]) -> dict[str, Known]:
    """Return those of the users who are kept, by id."""
    query = select(*_COLUMNS).where(SlackUserRow.team_id == team_id, among(session, USER.c.user_id, user_ids))
    return {row.user_id: Known(*row) for row in session.execute(query)}


def checked_between(session: Session, team_id: str, after: datetime, until: datetime, most: int) -> list[Known]:
    """Return linked members of the workspace whom Slack told of between the moments, the longest ago first."""
    u = SlackUserRow
    ours = (u.team_id == team_id, u.principal_id.is_not(None), u.member.is_(True), u.deleted.is_(False))
    query = select(*_COLUMNS).where(*ours, u.checked_at > after, u.checked_at <= until)
    return [Known(*row) for row in session.execute(query.order_by(u.checked_at, u.user_id).limit(most))]


def people(session: Session) -> list[Known]:
    """Return everybody who is kept, by workspace and id."""
    query = select(*_COLUMNS).order_by(SlackUserRow.team_id, SlackUserRow.user_id)
    return [Known(*row) for row in session.execute(query)]


def linked_to(session: Session, team_id: str, principal_id: int) -> list[str]:
    """Return the users of the workspace that are this principal."""
    query = select(SlackUserRow.user_id).where(
        SlackUserRow.team_id == team_id, SlackUserRow.principal_id == principal_id
    )
    return list(session.execute(query.order_by(SlackUserRow.user_id)).scalars())


def keep(session: Session, profile: Profile, asked_at: datetime, before: datetime | None) -> Known | None:
    """Keep what Slack answered at *asked_at*, with the link that follows from it, and return the user as kept.

    None, and nothing is kept, when the row is no longer of the moment *before* (None: there was none): it was forgotten
    or kept by another process meanwhile, and what is in hand may be older than that.
    """
    row = _locked(session, profile.team_id, profile.user_id)
    if row is None and before is None:
        values = _values(profile) | {"team_id": profile.team_id, "user_id": profile.user_id, "checked_at": asked_at}
        session.execute(insert_missing(session, USER).values(values))
        row, before = _locked(session, profile.team_id, profile.user_id), asked_at
    if row is None or row.checked_at != before:
        return None
    principal_id, how = _link(session, profile, row)
    _note_change(session, row, principal_id, how)
    values = _values(profile) | {"checked_at": asked_at, "principal_id": principal_id, "how": how}
    session.execute(_update(profile.team_id, profile.user_id).values(values))
    return known(session, profile.team_id, profile.user_id)


def _values(profile: Profile) -> dict[str, object]:
    columns = ("member", "deleted", "locale", "email")
    return {name: getattr(profile, name) for name in columns}


def _link(session: Session, profile: Profile, row: Known) -> tuple[int | None, str | None]:
    """Return the link that the user has from now on: one that was verified otherwise stays, one by address is remade.

    Nobody but a full member is linked by an address.
    """
    if row.how in (SIGN_IN, ADMIN):
        return row.principal_id, row.how
    if profile.email is None or not profile.member or profile.deleted:
        return None, None
    found = _named(session, profile.email)
    return (None, None) if found is None else (found, DOMAIN)


def _named(session: Session, email: str) -> int | None:
    """Return the user that this program knows by exactly that address.

    Of those of an identity provider no address is kept, because none is verified: they link by signing in.
    """
    for name in dict.fromkeys((email, email.lower())):
        found = principals.principal_named(session, name)
        if found is not None:
            return found.id if found.kind == "user" else None
    return None


def _note_change(session: Session, row: Known, principal_id: int | None, how: str | None) -> None:
    """Record in the audit log that a link by address was made or dropped."""
    if row.principal_id == principal_id:
        return
    where = f"{row.team_id}/{row.user_id}"
    if row.principal_id is not None:
        audit.record(session, None, "slack.unlink", where, about=row.principal_id)
    if principal_id is not None:
        audit.record(session, None, "slack.link", f"{where} {how}", about=principal_id)


def forget(session: Session, team_id: str, user_id: str) -> None:
    """Believe no longer what Slack said of the user; the link stays. Nothing happens when nothing is kept."""
    session.execute(_update(team_id, user_id).values(checked_at=utc_now() - BELIEVED))


def link(session: Session, team_id: str, user_id: str, principal_id: int, how: str) -> None:
    """Make the user this principal, instead of another; who was never seen is looked up when they ask."""
    values = {"member": False, "deleted": False, "locale": "", "checked_at": utc_now() - BELIEVED}
    missing = values | {"team_id": team_id, "user_id": user_id}
    session.execute(insert_missing(session, USER).values(missing))
    session.execute(_update(team_id, user_id).values(principal_id=principal_id, how=how))


def unlink(session: Session, team_id: str, user_id: str) -> int | None:
    """End the user's link and return which principal it was; None when there is no link.

    One by address is made again when Slack is asked next, unless the domain or the principal is gone by then.
    """
    row = _locked(session, team_id, user_id)
    session.execute(_update(team_id, user_id).values(principal_id=None, how=None))
    return None if row is None else row.principal_id


def _locked(session: Session, team_id: str, user_id: str) -> Known | None:
    query = select(*_COLUMNS).where(SlackUserRow.team_id == team_id, SlackUserRow.user_id == user_id)
    row = session.execute(query.with_for_update()).one_or_none()
    return None if row is None else Known(*row)


def _update(team_id: str, user_id: str) -> Update:
    return update(SlackUserRow).where(SlackUserRow.team_id == team_id, SlackUserRow.user_id == user_id)
