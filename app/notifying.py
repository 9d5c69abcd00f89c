"""Sends what there is to tell: one message for all of it, to each target at most once in its interval.

Any number of servers may do it at once. A message that cannot be sent is sent again later; runs never wait for it.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from app import digest, signatures
from app.mail import Mail, mail_server
from app.slack.digests import post_digest
from indexing import lateness, targets
from indexing.errors import IndexingError, OutboundError
from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.secrets import read_secret
from indexing.tables import utc_now

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from app.parts import Parts
    from indexing.db import Catalog
    from indexing.targets import Message, Target

log = structlog.get_logger(__name__)

#: How often it looks for what is to be sent, and, every so many looks, for what went wrong by itself.
LOOK_S = 5.0
LATENESS_EVERY = 12
_LIMITS = Limits(seconds=30.0, connect_s=10.0, silent_s=10.0)
_ERROR_CHARS = 500
#: Of an address, what comes after the host: with many services it is as good as a password.
_ADDRESS = re.compile(r"(https?://[^/\s?#]+)[^\s'\"]*")


@dataclass(frozen=True)
class Carrier:
    """What messages are sent with."""

    outbound: Outbound
    mail: Mail
    secret: Callable[[str], str]
    public_url: str | None = None
    slack: Callable[[Message], None] | None = None

    def send(self, message: Message) -> None:
        """Send the message. Raises OutboundError, SlackError, or SourceError when the target's secret is not there."""
        wanted = message.target.wanted
        secret = self.secret(wanted.secret) if wanted.secret else ""
        if wanted.kind == "email":
            self.mail.send(mail_server(wanted.server or ""), secret, digest.email(message, self.public_url))
            return
        if wanted.kind == "slack":
            if self.slack is None:
                raise OutboundError("Nothing can be posted to Slack from here.", remedy="Use `metier serve`.")
            self.slack(message)
            return
        moment = utc_now()
        told = digest.webhook_body(message, self.public_url, moment.isoformat(timespec="seconds"))
        body = json.dumps(told).encode()
        headers = {"Content-Type": "application/json"}
        headers |= signatures.signed(secret, message.id, int(moment.timestamp()), body)
        with self.outbound.ask(wanted.address, method="POST", headers=headers, content=body) as reply:
            if not 200 <= reply.status < 300:
                raise OutboundError(f"{reply.url} answers with the status {reply.status}.", remedy="Correct it there.")


def carrier_of(parts: Parts) -> Carrier:
    """Return what messages are sent with by these settings, and by the workspaces of Slack that are connected."""
    settings = parts.settings
    allowed = parse_allowed(settings.outbound_allow)

    def secret(name: str) -> str:
        return read_secret(settings.secret_folders, name)

    return Carrier(Outbound(allowed, _LIMITS), Mail(allowed), secret, settings.public_url, partial(post_digest, parts))


def keep_notifying(catalog: Catalog, carrier: Carrier, stop: threading.Event) -> None:
    """Send what is to be sent until *stop* is set, whatever goes wrong with one look."""
    looks = 0
    while not stop.is_set():
        try:
            if looks % LATENESS_EVERY == 0:
                note_lateness(catalog)
            send_due(catalog, carrier, stop)
        except IndexingError as exc:
            log.warning("Notifications could not be read.", action="notices_unread", why=exc.message)
        except Exception:  # boundary of the thread: nobody would be told of anything any more
            log.exception("A look at the notifications failed.", action="notices_failed")
        looks += 1
        stop.wait(LOOK_S)


def note_lateness(catalog: Catalog) -> None:
    """Write down what went wrong as time passed; most looks find nothing, and take no lock."""
    with catalog.reading() as session:
        begun, over = lateness.changes(session)
    if begun or over:
        with catalog.transaction() as session:
            lateness.note(session)


def send_due(catalog: Catalog, carrier: Carrier, stop: threading.Event | None = None) -> int:
    """Send one message to each target that has something to be told now, and return how many have arrived."""
    with catalog.reading() as session:
        due = targets.due(session)
    sent = 0
    for target_id in due:
        if stop is not None and stop.is_set():
            break
        with catalog.transaction() as session:
            message = targets.claim(session, target_id)
        if message is not None:
            sent += _send(catalog, carrier, message)
    return sent


def _send(catalog: Catalog, carrier: Carrier, message: Message) -> bool:
    why = attempt(carrier, message)
    with catalog.transaction() as session:
        if why is None:
            targets.arrived(session, message)
        else:
            targets.failed(session, message, why)
    if why is None:
        log.info("A notification was sent.", action="notified", target=message.target.id, notices=len(message.notices))
    else:
        log.warning("A notification was not sent.", action="not_notified", target=message.target.id, why=why)
    return why is None


def attempt(carrier: Carrier, message: Message) -> str | None:
    """Send the message, and return why that was not possible; None when it has arrived."""
    try:
        carrier.send(message)
    except IndexingError as exc:
        return _ADDRESS.sub(r"\1/…", str(exc))[:_ERROR_CHARS]
    except Exception as exc:  # boundary: a message that cannot be made must not keep others from being sent
        log.exception("A notification could not be made.", action="notify_crashed", target=message.target.id)
        return f"It failed unexpectedly ({type(exc).__name__}); the log of the server says more."
    return None


def trial(target: Target) -> Message:
    """Return a message that tells nothing but that messages arrive."""
    return targets.Message(str(uuid.uuid4()), target, ())
