"""Which machines a request may reach: pure rules, asked by ``indexing/outbound.py`` before each connection.

Public addresses on the web's usual ports are allowed, nothing else is, unless METIER_OUTBOUND_ALLOW lists it:

* a network (``10.0.0.0/8``, ``[fd00::/8]``) or an address allows those addresses, whatever name leads to them;
* a host name (``intranet.example``) allows the private addresses that this name has (not loopback, not link-local:
  those hold this machine's own services and a cloud's keys, and need a network entry);
* a port behind either (``10.0.0.5:9000``, ``[fd00::5]:9000``, ``wiki.example:9000``) allows that port instead of the
  usual ones;
* a place (``gs://bucket/folder``) allows a library of fsspec to read it and what is below it. The library connects by
  itself, so no other rule holds for it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexing.errors import OutboundRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = frozenset({80, 443, 8080, 8443})
_URL_CHARACTERS = 4096
#: Blanks of every kind, control characters and the backslash: programs disagree on where the host ends.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
#: What a library of fsspec reads: its protocol, where, and the path there.
PLACE = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#\s\\]+)(/[^?#\\]*)?", re.IGNORECASE)
_ENTRY = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<plain>[^\[\]:]+))(?::(?P<port>\d{1,5}))?")
#: Addresses that the ``is_global`` of some Python version lets through, and those that carry another address inside.
_NEVER_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of one's own
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
)
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
#: Private addresses where clouds hand out their keys; those of the others are link-local.
_CLOUD_KEYS = frozenset({"100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"})
_REMEDY = "If Métier shall fetch from there, list the host or its network in METIER_OUTBOUND_ALLOW."


@dataclass(frozen=True, slots=True)
class Allowed:
    """What METIER_OUTBOUND_ALLOW lists, parsed. Empty: public addresses only."""

    networks: tuple[tuple[Network, int | None], ...] = ()
    hosts: tuple[tuple[str, int | None], ...] = ()
    ports: frozenset[int] = PORTS  # for whatever names no port of its own
    places: tuple[str, ...] = ()  # without a slash at the end


def parse_allowed(entries: Iterable[str]) -> Allowed:
    """Return *entries* parsed. Raises ValueError that names one which is no network, address, host name or place."""
    networks: list[tuple[Network, int | None]] = []
    hosts: list[tuple[str, int | None]] = []
    places: list[str] = []
    for entry in entries:
        match = PLACE.fullmatch(entry.strip())
        if match and match[1].lower() not in ("http", "https"):
            places.append(f"{match[1].lower()}://{match[2]}{match[3] or ''}".rstrip("/"))
            continue
        text = entry.strip().lower()
        if (network := _network(text)) is not None:  # an IPv6 network may stand without brackets, but without a port
            networks.append((network, None))
            continue
        match = _ENTRY.fullmatch(text)
        port = int(match["port"]) if match and match["port"] else None
        if match is None or (port is not None and not 0 < port < 65536):
            raise ValueError(f"{entry!r} is no network, address, host name or place")
        if (network := _network(match["six"] or match["plain"])) is not None:
            networks.append((network, port))
        elif match["plain"] and is_name(match["plain"]):
            hosts.append((match["plain"].rstrip("."), port))
        else:
            raise ValueError(f"{entry!r} is no network, address, host name or place")
    return Allowed(tuple(networks), tuple(hosts), places=tuple(places))


def may_read_place(location: str, allowed: Allowed) -> bool:
    """Return whether *location* (``gs://bucket/folder``) is a place that is listed, or below one."""
    return any(f"{location}/".startswith(f"{place}/") for place in allowed.places)


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def is_name(host: str) -> bool:
    """Return whether *host* is a DNS name in plain ASCII; no form of a number is one (127.1, 0x7f000001)."""
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    return not re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1].lower())


def check_url_text(url: str) -> None:
    """Raise OutboundRefused for a spelling of a URL that two programs could read differently."""
    if len(url) > _URL_CHARACTERS:
        raise OutboundRefused(f"The address is longer than {_URL_CHARACTERS} characters.", remedy="Nothing to do.")
    if _UNSAFE.search(url):
        raise OutboundRefused(f"{url!r} holds blanks, control characters or a backslash.", remedy="Correct it.")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise OutboundRefused(f"{url!r} does not begin with http:// or https://.", remedy="Only these are fetched.")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise OutboundRefused(f"The address {_shown(url)} holds a user name.", remedy="Remove it from the address.")
    if "%" in authority:
        raise OutboundRefused(f"The host of {url!r} is written with %.", remedy="Write it plainly.")


def _shown(url: str) -> str:
    """Return *url* without what stands before the ``@``: it may be a password."""
    return repr(re.sub(r"//[^/?#]*@", "//…@", url, count=1))


def check_host(host: str) -> None:
    """Raise OutboundRefused unless *host* is a plain DNS name or an IP address in its usual form."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if not is_name(host):
            raise OutboundRefused(
                f"{host!r} is no host name.", remedy="Write the name or the address plainly."
            ) from None
        return
    if str(address).split("%")[0] != host.strip("[]").lower() and address.version == 4:
        raise OutboundRefused(f"{host!r} is no address in its usual form.", remedy="Write it as 192.0.2.1.")


def permitted(host: str, address: Address, port: int, allowed: Allowed) -> bool:
    """Return whether a connection to *address*, found for *host*, and *port* may be made."""
    name = host.rstrip(".").lower()
    by_network = {listed for network, listed in allowed.networks if address in network}
    by_name = {listed for listed_host, listed in allowed.hosts if name == listed_host}
    if not (is_public(address) or _is_private(address)):
        by_name = set()
    ports = by_network | by_name | ({None} if is_public(address) else set())
    return port in ports or (None in ports and port in allowed.ports)


def is_public(address: Address) -> bool:
    """Return whether *address* is of the public Internet, and is no disguise of another address."""
    if address.is_multicast or not address.is_global or getattr(address, "scope_id", None):
        return False
    return not any(address in network for network in _NEVER_PUBLIC)


def _is_private(address: Address) -> bool:
    """Return whether *address* is of a company's own network: RFC 1918, carrier-grade NAT, unique local."""
    return str(address) not in _CLOUD_KEYS and any(address in network for network in _PRIVATE)


def refusal(host: str, port: int, addresses: Iterable[str], allowed: Allowed) -> OutboundRefused:
    """Return the error for a host none of whose addresses may be reached."""
    found = ", ".join(sorted(set(addresses))) or "no address"
    if port not in allowed.ports:
        return OutboundRefused(f"{host}:{port} ({found}) is not on a port that is allowed.", remedy=_REMEDY)
    return OutboundRefused(f"{host} is not a public address ({found}) and is not allowed.", remedy=_REMEDY)
