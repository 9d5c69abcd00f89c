"""Which principal a Slack user is, told by that principal: the Slack user gets a link, and whoever signs in opens it.

Whoever confirms a link gives their own rights to the Slack user that it was made for. So a link is good once and for
ten minutes, the page says in so many words who gets which rights, and a principal is one user of a workspace only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import audit, people
from app.errors import BadRequest, Conflict, Forbidden, NotFound
from app.slack import store_links, store_people, store_workspaces, who
from app.slack.client import client_of
from app.slack.store_people import ADMIN, SIGN_IN
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.parts import Parts
    from app.slack.bot import Bot
    from app.slack.records import Person, Workspace
    from app.slack.store_people import Profile
    from indexing.principals import PrincipalRecord

PATH = "/slack/link"
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,31}")


@dataclass(frozen=True, slots=True)
class Linkable:
    """For whom a link is: the Slack user as Slack describes them now, and their workspace."""

    workspace: Workspace
    profile: Profile


def link_for(bot: Bot, person: Person) -> str | None:
    """Return the address at which somebody who signs in becomes this Slack user. Only they may get to see it.

    None for outsiders, and where nobody can sign in.
    """
    settings = bot.parts.settings
    if person.outsider or settings.public_url is None or settings.identity_provider is None:
        return None
    with bot.parts.catalog.transaction() as session:
        token = store_links.offer(session, person.team_id, person.user_id)
    return f"{settings.public_url.rstrip('/')}{PATH}?token={token}"


def linkable(parts: Parts, token: str) -> Linkable:
    """Return for whom the link is.

    Raises NotFound for a link that is not good, or no longer, Forbidden when Slack says that the user is no full member
    of the workspace, and SlackError when it says nothing.
    """
    with parts.catalog.reading() as session:
        found = store_links.offered(session, token)
        workspace = None if found is None else store_workspaces.workspace(session, found[0])
    if found is None or workspace is None:
        raise _not_good()
    profile = who.profile(client_of(parts.settings, workspace), workspace, found[1])
    if not profile.member:
        raise Forbidden("Only full members of the workspace can be linked.")
    return Linkable(workspace, profile)


def confirm(parts: Parts, token: str, principal_id: int) -> Linkable:
    """Make the Slack user of the link this principal, use the link up, and return whose it was.

    Raises as ``linkable`` does, and Conflict when the principal is another user of the workspace already, or when an
    administrator has said who the user is.
    """
    found = linkable(parts, token)
    team_id, user_id = found.profile.team_id, found.profile.user_id
    with parts.catalog.transaction() as session:
        if store_links.take(session, token) != (team_id, user_id):
            raise _not_good()
        _require_free(session, team_id, user_id, principal_id)
        store_people.link(session, team_id, user_id, principal_id, SIGN_IN)
        audit.record(session, principal_id, "slack.link", f"{team_id}/{user_id} {SIGN_IN}", about=principal_id)
    return found


def _not_good() -> NotFound:
    return NotFound("This link is not good, or no longer.", remedy="Ask for a new one in Slack.")


def _require_free(session: Session, team_id: str, user_id: str, principal_id: int) -> None:
    remedy = "Ask the administrator: `metier slack people` shows the links, `metier slack unlink` ends one."
    others = set(store_people.linked_to(session, team_id, principal_id)) - {user_id}
    if others:
        raise Conflict("You are linked to another user of this workspace.", remedy=remedy)
    known = store_people.known(session, team_id, user_id)
    if known is not None and known.how == ADMIN:
        raise Conflict("An administrator has linked this Slack user.", remedy=remedy)


# --- by the administrator -------------------------------------------------------------------------------------


def link_by_admin(session: Session, user_id: str, name: str, team_id: str | None) -> PrincipalRecord:
    """Make the Slack user the principal called *name*, and return it.

    Raises NotFound for nobody and for a workspace that is not connected, BadRequest for what is no user.
    """
    if not _USER_ID.fullmatch(user_id):
        raise BadRequest(f"{user_id!r} is no user of Slack.", remedy="It is the “member ID” of the profile in Slack.")
    found = people.principal(session, name)
    if found.kind != "user":
        raise BadRequest(f"{name} is a {found.kind}, not a user.")
    team_id = only_team(session, team_id)
    store_people.link(session, team_id, user_id, found.id, ADMIN)
    audit.record(session, LOCAL_PRINCIPAL_ID, "slack.link", f"{team_id}/{user_id} {ADMIN}", about=found.id)
    return found


def unlink_by_admin(session: Session, user_id: str, team_id: str | None) -> None:
    """End the link of the Slack user. Raises NotFound when there is none."""
    team_id = only_team(session, team_id)
    was = store_people.unlink(session, team_id, user_id)
    if was is None:
        raise NotFound(f"{user_id} is linked to nobody.", remedy="`metier slack people` shows who is.")
    audit.record(session, LOCAL_PRINCIPAL_ID, "slack.unlink", f"{team_id}/{user_id}", about=was)


def only_team(session: Session, team_id: str | None) -> str:
    """Return the workspace that is meant: the given one, or the only one. Raises NotFound or BadRequest."""
    connected = [each.team_id for each in store_workspaces.workspaces(session)]
    if team_id is None and len(connected) > 1:
        raise BadRequest("There are several workspaces.", remedy=f"Name one with --team: {', '.join(connected)}.")
    if not connected or (team_id is not None and team_id not in connected):
        raise NotFound("There is no such workspace.", remedy="Connect it with `metier slack connect`.")
    return team_id or connected[0]
