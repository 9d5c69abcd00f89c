"""What services of the cloud answer, taken apart with care: their shapes, their links, and their names for people."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from indexing.errors import OutboundError, OutboundRefused
from indexing.outbound import origin, parsed_url
from indexing.principals import LOCAL
from indexing.sources.rest import moment
from indexing.tables import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Iterator

_ID = re.compile(r"[A-Za-z0-9!,._-]{1,250}")
_READER = re.compile(r"[^\s|]{1,250}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})


@contextlib.contextmanager
def documented(url: str) -> Iterator[None]:
    """In its body, an answer of *url* that has not the documented shape becomes an OutboundError."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as exc:
        raise OutboundError(f"{url} does not answer as it is documented ({type(exc).__name__}).") from exc


def entries(found: Any) -> list[dict[str, Any]]:
    """Return *found*, which is to be a list of objects. Raises TypeError for anything else."""
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise TypeError("no list of objects")
    return found


def identifier(found: Any) -> str:
    """Return *found*, which is to be the id of something. Raises ValueError for anything that cannot be one."""
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise ValueError("no id")
    return found


def size_of(found: Any) -> int | None:
    """Return a number of bytes, which may be written as text; None for anything else."""
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 19:
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def base_address(address: str) -> str:
    """Return the address of a service, without a slash at its end. Raises OutboundRefused unless it is https.

    Plain http is only for this machine itself, which is how tests stand in for a service.
    """
    url = parsed_url(address.strip())
    if url.scheme != "https" and url.host not in _LOOPBACK:
        raise OutboundRefused(f"{address} is not encrypted.", remedy="Give an address that begins with https://.")
    return str(url).rstrip("/")


def within(base: str, link: Any) -> str:
    """Return *link*, by which the service at *base* leads to the rest of its answer.

    Raises OutboundRefused when it leads elsewhere: whoever asks there shows who they are.
    """
    here = parsed_url(base)
    there = parsed_url(str(link))
    if origin(there) != origin(here) or not there.path.startswith(f"{here.path.rstrip('/')}/") or "/../" in there.path:
        raise OutboundRefused(f"{base} leads away, to {there}.", remedy="Nothing more was asked; tell its operator.")
    return str(there)


def document_name(*parts: Any) -> str:
    """Return the name of a document, its folders before it, from parts of a service's answer: printable text."""
    told = (part for part in parts if isinstance(part, str))
    return "/".join(name for part in told if (name := _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", part).strip("/ ")))


def reader(name: Any, issuer: str, *, group: bool = False) -> str | None:
    """Return the name here of whom *issuer* calls *name*; None for what cannot be one.

    It is *name* itself for principals of this program (issuer "local"); else it is as people and groups are called
    who signed in with that provider: ``issuer|name``, ``issuer|group:name``.
    """
    if not isinstance(name, str) or not _READER.fullmatch(name) or name == EVERYONE:
        return None
    return name if issuer == LOCAL else f"{issuer}|{'group:' if group else ''}{name}"


def fresh(token: Any, seen: set[str], url: str) -> None:
    """Remember *token*, which leads to the next page. Raises OutboundError when it leads nowhere new."""
    if not isinstance(token, str) or token in seen:
        raise OutboundError(f"{url} lists in circles.")
    seen.add(token)


def has_ended(expires: Any) -> bool:
    """Return whether the moment *expires* has passed, or cannot be understood; nothing, and the year 1, mean never."""
    if expires is None:
        return False
    at = moment(expires) if isinstance(expires, str) else None
    return at is None or (at.year > 1 and at <= datetime.now(UTC))
