"""Sends an e-mail: over an encrypted connection, to an address that was checked like that of any outbound request."""

from __future__ import annotations

import ipaddress
import smtplib
import socket
import ssl
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from app.errors import BadRequest
from indexing.errors import OutboundError, OutboundRefused
from indexing.outbound_rules import Allowed, check_host, permitted, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import EmailMessage

PORTS = frozenset({25, 587, 2525})
#: Longest silence of a mail server.
SILENT_S = 20.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where to hand an e-mail in; ``user`` is "" when nobody signs in."""

    host: str
    port: int
    user: str


def mail_server(address: str) -> MailServer:
    """Return the server that *address* (smtp://user@host:587) names. Raises BadRequest for one that it cannot be."""
    try:
        parts = urlsplit(address)
        server = MailServer(parts.hostname or "", parts.port or 587, unquote(parts.username or ""))
        check_host(server.host)
        plain = parts.scheme == "smtp" and parts.password is None and not (parts.path.strip("/") or parts.query)
    except (ValueError, OutboundRefused) as exc:
        raise _unusable() from exc
    if not plain or any(ord(c) < 33 or ord(c) == 127 for c in server.user):
        raise _unusable()
    return server


def _unusable() -> BadRequest:
    remedy = "Write smtp://user@host:587, a @ in the user as %40, and name the password's secret beside it."
    return BadRequest("The mail server cannot be used as it is written.", remedy=remedy)


def _lookup(host: str, port: int) -> Sequence[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _connect(address: str, port: int, timeout: float) -> socket.socket:
    return socket.create_connection((address, port), timeout)


@dataclass(frozen=True)
class Mail:
    """Hands e-mails in, within what is allowed."""

    allowed: Allowed = field(default_factory=Allowed)
    resolve: Callable[[str, int], Sequence[str]] = _lookup
    connect: Callable[[str, int, float], socket.socket] = _connect
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def send(self, server: MailServer, password: str, message: EmailMessage) -> None:
        """Hand *message* in. Raises OutboundRefused for a server that may not be asked, OutboundError for the rest.

        Nothing is said to a server that does not encrypt, unless it is this machine's own.
        """
        address = self._address(server)
        try:
            with _Session(partial(self.connect, address), server) as smtp:
                smtp.ehlo()
                if smtp.has_extn("starttls"):
                    smtp.starttls(context=self.tls())
                    smtp.ehlo()
                elif not ipaddress.ip_address(address).is_loopback:
                    raise OutboundRefused(f"{server.host} offers no encryption (STARTTLS).", remedy="Use another one.")
                if server.user:
                    smtp.login(server.user, password)
                smtp.send_message(message)
        except smtplib.SMTPAuthenticationError as exc:
            raise OutboundError(f"{server.host} does not take this user and password.", remedy="Correct them.") from exc
        except smtplib.SMTPResponseException as exc:
            # Not its words: some servers repeat what they were sent.
            raise OutboundError(f"{server.host} refuses the e-mail ({exc.smtp_code}).") from exc
        except (OSError, ValueError, smtplib.SMTPException) as exc:
            raise OutboundError(f"{server.host} cannot be sent an e-mail: {type(exc).__name__}.") from exc

    def _address(self, server: MailServer) -> str:
        """Return an address of the server that may be connected to."""
        allowed = replace(self.allowed, ports=PORTS)
        try:
            found = [each for each in self.resolve(server.host, server.port) if "%" not in each]
        except (OSError, UnicodeError) as exc:
            raise OutboundError(f"The name {server.host} is not known.") from exc
        for each in found:
            if permitted(server.host, ipaddress.ip_address(each), server.port, allowed):
                return each
        raise refusal(server.host, server.port, found, allowed)


class _Session(smtplib.SMTP):
    """Connects as it is told to, and checks certificates against the server's name."""

    def __init__(self, connected: Callable[[int, float], socket.socket], server: MailServer) -> None:
        self._connected = connected
        # "localhost": this machine's own name is nobody's business.
        super().__init__(server.host, server.port, local_hostname="localhost", timeout=SILENT_S)

    def _get_socket(self, _host: str, port: int, timeout: Any) -> socket.socket:
        return self._connected(port, timeout)
