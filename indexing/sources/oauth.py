"""Services that are asked with a token which runs out (OAuth 2.0, RFC 6749): got when needed, and anew when refused."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from indexing.errors import ItemUnreadable, SourceError
from indexing.sources.answers import documented
from indexing.sources.rest import SignedOut, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from indexing.documents import Item, RawDocument
    from indexing.outbound import Reply
    from indexing.sources.rest import Rest

T = TypeVar("T")

#: A token is not used for so long before it runs out: a request takes a while.
_MARGIN_S = 120.0
_CODE = re.compile(r"[A-Za-z_]{1,60}")
_MICROSOFT_CODE = re.compile(r"AADSTS\d{4,9}")


@dataclass(frozen=True, slots=True)
class Token:
    """What opens a service, and until when (by ``time.monotonic``)."""

    value: str
    until: float


def granted(rest: Rest, url: str, form: Mapping[str, str], secret: str) -> Token:
    """Return the token that *url* gives for *form*. *secret* is the name of what is in it, for the error.

    Raises SourceError when the service does not accept it, OutboundError when it cannot be asked.
    """

    def taken(reply: Reply) -> tuple[int, Any]:
        return reply.status, parsed(reply)

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode(form).encode()
    status, answer = rest.ask(url, taken, method="POST", body=body, headers=headers, good=(200, 400, 401, 403))
    if status != 200:
        raise SourceError(
            f"{url} does not accept the secret {secret} ({_why(answer)}).",
            remedy=f"Check the options of the source, and run `metier sources secret {secret}` with one that is valid.",
        )
    with documented(url):
        value, good_for_s = answer["access_token"], float(answer["expires_in"])
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ValueError("no token")
    return Token(value, time.monotonic() + good_for_s - _MARGIN_S)


def _why(answer: Any) -> str:
    """Return the codes in a refusal; what else it says is left out, for it may repeat what was sent."""
    told = answer if isinstance(answer, dict) else {}
    code = _CODE.fullmatch(str(told.get("error")))
    more = _MICROSOFT_CODE.search(str(told.get("error_description")))
    return ", ".join(match[0] for match in (code, more) if match) or "no reason given"


class Signed:
    """A service that is asked as somebody. May be used from several threads."""

    def __init__(self, rest: Rest, fresh: Callable[[], Token]) -> None:
        """Remember how to get a token; nothing is asked yet."""
        self._rest = rest
        self._fresh = fresh
        self._lock = threading.Lock()
        self._token = Token("", float("-inf"))

    @property
    def sleep(self) -> Callable[[float], None]:
        """How to wait."""
        return self._rest.sleep

    def json(self, url: str, *, method: str = "GET", body: Any = None) -> Any:
        """Return what *url* answers, parsed, as ``Rest.json`` does."""
        return self._asked(lambda rest: rest.json(url, method=method, body=body))

    def download(self, url: str, item: Item, into: Path, most_bytes: int) -> RawDocument:
        """Copy what *url* answers to ``into / "content"``, as ``Rest.download`` does."""
        return self._asked(lambda rest: rest.download(url, item, into, most_bytes))

    def _asked(self, ask: Callable[[Rest], T]) -> T:
        """Return what *ask* returns; it is called again, once, with a new token when the service refuses the first."""
        token = self._current()
        try:
            return ask(self._as(token))
        except (SignedOut, ItemUnreadable) as exc:
            if not isinstance(exc, SignedOut) and not isinstance(exc.__cause__, SignedOut):
                raise
        return ask(self._as(self._current(refused=token)))

    def _as(self, token: Token) -> Rest:
        return replace(self._rest, headers={**self._rest.headers, "Authorization": f"Bearer {token.value}"})

    def _current(self, refused: Token | None = None) -> Token:
        with self._lock:
            if self._token is refused or self._token.until <= time.monotonic():
                self._token = self._fresh()
            return self._token


def option(options: Mapping[str, str], name: str) -> str:
    """Return the option *name*. Raises SourceError when it is not given."""
    if found := options.get(name, "").strip():
        return found
    raise SourceError(f"The source has no option {name}.", remedy=f"Add it anew with --option {name}=….")
