"""Connections that do not speak HTTP, or that a vendor's client makes: to addresses that were checked only.

A name is looked up once, here, and the connection goes to one of the addresses that ``indexing/outbound_rules.py``
allows.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from indexing.errors import OutboundError
from indexing.outbound_rules import Allowed, permitted, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: Looks a host name up: (host, port) → addresses. Raises OSError.
    Resolve = Callable[[str, int], Sequence[str]]


def lookup(host: str, port: int) -> Sequence[str]:
    """Return the addresses of *host* as the machine's resolver gives them. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def reachable(host: str, port: int, allowed: Allowed, resolve: Resolve = lookup) -> list[str]:
    """Return the addresses of *host* that may be connected to at *port*; at least one.

    Raises OutboundRefused when none may, and OutboundError for a name that is not known.
    """
    found = _addresses(host, port, resolve)
    good = [address for address in found if permitted(host, ipaddress.ip_address(address), port, allowed)]
    if not good:
        raise refusal(host, port, found, allowed)
    return good


def _addresses(host: str, port: int, resolve: Resolve) -> Sequence[str]:
    """Return the addresses of *host*, without any that carries a zone."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        return [address for address in resolve(host, port) if "%" not in address]
    except (OSError, UnicodeError) as exc:
        raise OutboundError(f"The name {host} is not known: {exc}.") from exc


def connected(host: str, port: int, allowed: Allowed, resolve: Resolve, timeout_s: float) -> socket.socket:
    """Return a connection to *host*, at an address that may be reached. Raises OutboundRefused, OutboundError."""
    failure: OSError | None = None
    for address in reachable(host, port, allowed, resolve):
        try:
            return socket.create_connection((address, port), timeout=timeout_s)
        except OSError as exc:
            failure = exc
    raise OutboundError(f"{host}:{port} cannot be reached: {failure}.") from failure
