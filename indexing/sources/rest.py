"""A service of the web that answers JSON: asked within what is allowed, politely, with one meaning for each refusal.

Every source that reads such a service goes through here, so that each of them stands throttling, outages, lies about
lengths and loops of redirects in the same way.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from indexing.documents import RawDocument
from indexing.errors import ItemUnreadable, OutboundError, OutboundTooLong, ParseLimit, SourceError
from indexing.sources.private import saved
from indexing.sources.web_pages import date_of
from indexing.waits import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from indexing.documents import Item
    from indexing.outbound import Outbound, Reply

T = TypeVar("T")

#: Most of one JSON answer; services give theirs in pages of far less.
JSON_BYTES = 32 << 20
_ATTEMPTS = 4
#: A busy server that names no time is asked again after so many seconds, then twice that, and so on.
_BUSY_S = 2.0
#: One that names more is left for the next run.
LONGEST_WAIT_S = 120.0
#: 207 is WebDAV's.
_GOOD = frozenset({200, 207})
_GONE = frozenset({404, 410})
_DENIED = frozenset({401, 403})
_BUSY = frozenset({429, 502, 503, 504})


class Denied(SourceError):
    """The service does not let us in."""

    default_remedy = "Check the secret of the source and what its account may read."


class SignedOut(Denied):
    """The service does not know us, or no longer: what we showed to it is wrong, or has run out."""


class Gone(SourceError):
    """The service does not have it."""

    default_remedy = "Check the location of the source."


class Busy(OutboundError):
    """The server goes on asking to come back later."""


class _Busy(Busy):
    """The server asks to come back later."""

    def __init__(self, url: str, status: int, wait_s: float | None) -> None:
        super().__init__(f"{url} answers {status}: it is busy.", remedy="It is tried again at the next run.")
        self.wait_s = wait_s


@dataclass(frozen=True)
class Rest:
    """Asks one service. ``headers`` carry who we are; they go to the host that is asked only.

    ``busy`` says of a refusal (403) whether it only means "later": some services have no other word for it.
    """

    outbound: Outbound
    headers: Mapping[str, str] = field(default_factory=dict)
    sleep: Callable[[float], None] = wait
    busy: Callable[[Reply], bool] = lambda _reply: False

    def json(self, url: str, *, method: str = "GET", body: Any = None) -> Any:
        """Return what *url* answers, parsed. Raises Denied, Gone, or SourceError for anything else that is no 200."""
        return self.ask(url, parsed, method=method, body=body)

    def ask(
        self,
        url: str,
        take: Callable[[Reply], T],
        *,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        good: Collection[int] = _GOOD,
    ) -> T:
        """Return what *take* makes of the answer of *url*, which is a good one; asked again when the server is busy.

        *body* is sent as JSON, or as it is when it is bytes.
        """
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Accept": "application/json", **self.headers}
        if content:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}

        def once() -> T:
            with self.outbound.ask(url, method=method, headers=sent, content=content) as reply:
                if reply.status not in good:
                    _refuse(reply, self.busy)
                return take(reply)

        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            retry=retry_if_exception_type(_Busy),
            wait=_wait_s,
            sleep=self.sleep,
            reraise=True,
        )
        answer: T = retrying(once)
        return answer

    def download(
        self,
        url: str,
        item: Item,
        into: Path,
        most_bytes: int,
        *,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawDocument:
        """Copy what *url* answers to ``into / "content"`` and return it as the bytes of *item*.

        Raises ItemUnreadable when it is gone or refused, ParseLimit when it is longer than *most_bytes*.
        """
        path = into / "content"
        with unreadable(item.uri):
            digest, size = self.ask(url, lambda reply: saved(reply.body(most_bytes), path), headers=headers)
        return RawDocument(item.uri, path, digest, size, media_type, item.version_tag, item.modified_at)


class unreadable:  # noqa: N801 -- used as a statement
    """In its body, what a service answers about one item becomes an error about that item."""

    def __init__(self, uri: str) -> None:
        """Remember the item."""
        self._uri = uri

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        """Raise ItemUnreadable or ParseLimit in place of the service's error."""
        if isinstance(exc, OutboundTooLong):
            raise ParseLimit(f"{self._uri} is too long: {exc.message}", remedy=exc.remedy) from exc
        if isinstance(exc, Gone):
            raise ItemUnreadable(f"{self._uri} is gone.", remedy="Nothing to do: the next run sees it.") from exc
        if isinstance(exc, (Denied, OutboundError)):
            raise ItemUnreadable(f"{self._uri} cannot be read: {exc.message}", remedy=exc.remedy) from exc


def write_document(item: Item, text: str, into: Path, media_type: str) -> RawDocument:
    """Write *text*, which was made from what a service answered, to ``into / "content"`` as the bytes of *item*."""
    digest, size = saved([text.encode()], into / "content")
    return RawDocument(item.uri, into / "content", digest, size, media_type, item.version_tag, item.modified_at)


def basic_auth(user: str, password: str) -> dict[str, str]:
    """Return the header that carries both (RFC 7617)."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode('ascii')}"}


def moment(text: str | None) -> datetime | None:
    """Return the time in *text*, as services write it (RFC 3339), in UTC; None when there is none."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _refuse(reply: Reply, busy: Callable[[Reply], bool]) -> NoReturn:
    """Raise the error that an answer means which is not a good one."""
    if reply.status in _BUSY or (reply.status == 403 and busy(reply)):
        wait_s = retry_after_s(reply)
        if wait_s is not None and wait_s > LONGEST_WAIT_S:
            raise Busy(f"{reply.url} asks to come back in {wait_s:.0f} seconds.", remedy="Run sync again then.")
        raise _Busy(reply.url, reply.status, wait_s)
    if reply.status in _DENIED:
        raise (SignedOut if reply.status == 401 else Denied)(
            f"{reply.url} answers {reply.status}: the service does not let us in."
        )
    if reply.status in _GONE:
        raise Gone(f"{reply.url} answers {reply.status}: it is not there.")
    raise OutboundError(f"{reply.url} answers {reply.status}.")


def parsed(reply: Reply) -> Any:
    """Return the JSON of an answer. Raises OutboundError when it is none, or too long."""
    content = b"".join(reply.body(JSON_BYTES))
    try:
        return json.loads(content)
    except ValueError as exc:
        raise OutboundError(f"{reply.url} does not answer with JSON.") from exc


def retry_after_s(reply: Reply) -> float | None:
    """Return the seconds after which a busy server wants to be asked again (RFC 9110, 10.2.3); None: it says none."""
    told = reply.headers.get("retry-after", "").strip()
    if told.isascii() and told.isdecimal():
        return float(told)
    at = date_of(told)
    return None if at is None else max(0.0, (at - datetime.now(UTC)).total_seconds())


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = error.wait_s if isinstance(error, _Busy) else None
    return _BUSY_S * 2 ** (state.attempt_number - 1) if told is None else told
