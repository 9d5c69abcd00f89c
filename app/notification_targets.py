"""Whom to tell of trouble, as somebody wants it: what can be a target. Used by REST and by the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app import audit
from app.errors import BadRequest, NotFound
from app.mail import mail_server
from indexing import targets
from indexing.errors import OutboundRefused, SourceError
from indexing.notices import KINDS
from indexing.outbound import parsed_url
from indexing.secrets import check_secret_name

if TYPE_CHECKING:
    from indexing.db import Catalog
    from indexing.targets import NewTarget, Target

#: Ids of channels that people share; a direct message is none.
_CHANNEL = re.compile(r"[CG][A-Z0-9]{6,30}")
_TEAM = re.compile(r"[TE][A-Z0-9]{6,30}")
#: Not all that an address may be, but nothing that a header or a command of SMTP could be broken with.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
MOST_MINUTES = 10_080


def add_target(catalog: Catalog, wanted: NewTarget, by: int) -> Target:
    """Store a new target and return it. Raises BadRequest for what cannot be one; nothing is asked over the network."""
    _check(wanted)
    with catalog.transaction() as session:
        made = targets.add_target(session, wanted)
        audit.record(session, by, "notification.add", made)
        return next(each for each in targets.targets(session) if each.id == made)


def _check(wanted: NewTarget) -> None:
    if not wanted.events or not set(wanted.events) <= set(KINDS):
        raise BadRequest("An event is not known, or none is named.", remedy=f"Events: {', '.join(KINDS)}.")
    if wanted.language not in ("en", "fr") or not 1 <= wanted.digest_minutes <= MOST_MINUTES:
        raise BadRequest("The language or the interval cannot be used.", remedy="en or fr; 1 minute to a week.")
    checks = {"webhook": _check_webhook, "email": _check_email, "slack": _check_slack}
    check = checks.get(wanted.kind)
    if check is None:
        raise BadRequest(f"There is no kind of target called {wanted.kind!r}.", remedy=f"Kinds: {', '.join(checks)}.")
    try:
        if wanted.secret is not None:
            check_secret_name(wanted.secret)
        check(wanted)
    except (SourceError, OutboundRefused) as exc:
        raise BadRequest(exc.message, remedy=exc.remedy) from exc


def _check_webhook(wanted: NewTarget) -> None:
    parsed_url(wanted.address)
    if wanted.secret is None or wanted.server is not None:
        raise BadRequest("A webhook needs a secret to sign with, and no mail server.", remedy="Name a secret.")


def _check_email(wanted: NewTarget) -> None:
    if not _ADDRESS.fullmatch(wanted.address):
        raise BadRequest("The address is no e-mail address.", remedy="Write it as name@example.com.")
    if bool(mail_server(wanted.server or "").user) != (wanted.secret is not None):
        raise BadRequest("A user needs a secret, and a secret a user.", remedy="Write smtp://user@host:587.")


def _check_slack(wanted: NewTarget) -> None:
    if not _CHANNEL.fullmatch(wanted.address):
        remedy = "Open the channel's details in Slack: the id is at their end."
        raise BadRequest("The address is no channel's id, such as C0123456789.", remedy=remedy)
    if wanted.secret is not None:
        raise BadRequest(
            "A Slack channel needs no secret.", remedy="The workspace has its own: `metier slack connect`."
        )
    if wanted.server is not None and not _TEAM.fullmatch(wanted.server):
        raise BadRequest(
            "The server is no workspace's id, such as T0123456789.", remedy="`metier slack status` tells it."
        )


def remove_target(catalog: Catalog, target_id: int, by: int) -> None:
    """Tell this target nothing any more; what waited for it is lost. Raises NotFound."""
    with catalog.transaction() as session:
        if not targets.remove_target(session, target_id):
            raise _unknown(target_id)
        audit.record(session, by, "notification.remove", target_id)


def target_to_try(catalog: Catalog, target_id: int, by: int) -> Target:
    """Return the target, for a message that tries whether it can be told. Raises NotFound."""
    with catalog.transaction() as session:
        found = next((each for each in targets.targets(session) if each.id == target_id), None)
        if found is None:
            raise _unknown(target_id)
        audit.record(session, by, "notification.test", target_id)
    return found


def _unknown(target_id: int) -> NotFound:
    return NotFound(f"There is no target {target_id}.", remedy="GET /v1/notifications or `metier notify list`.")
