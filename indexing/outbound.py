"""The one place from which the indexing package asks other machines over HTTP.

Each request opens a connection of its own. Names are looked up here, once, and the connection goes to an address that
was checked (``indexing/outbound_rules.py``): a name that changes its answer between check and connection has nothing
to change. Redirects are followed here, each as a new request with the same checks. No proxy, password file or other
setting of the environment is used; certificates are checked against the machine's own store.
"""

from __future__ import annotations

import contextlib
import ssl
import time
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

import httpcore
import httpx

from indexing.errors import OutboundError, OutboundRefused, OutboundTooLong
from indexing.outbound_rules import Allowed, check_host, check_url_text
from indexing.outbound_sockets import lookup, reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from indexing.outbound_sockets import Resolve

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_PIECE_BYTES = 1 << 16
#: Little data may well be compressed a thousandfold; only of more than this is the ratio looked at.
_RATIO_FROM_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take, its redirects included."""

    seconds: float = 120.0
    connect_s: float = 10.0
    silent_s: float = 20.0  # without a byte
    redirects: int = 5
    ratio: int = 200  # of decompressed to compressed bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose body was not read yet. ``url`` is where the redirects led."""

    url: str
    status: int
    headers: httpx.Headers
    _raw: Iterator[bytes]
    _limits: Limits

    def body(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the body, decompressed. Raises OutboundError when it is longer than *most_bytes*, or cut off."""
        declared = self.headers.get("content-length", "")
        if declared.isascii() and declared.isdecimal() and int(declared) > most_bytes:
            raise OutboundTooLong(f"{self.url} has more than {most_bytes >> 20} MB.")
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding in ("gzip", "x-gzip"):
            pieces = gunzipped(self._raw, self.url, self._limits.ratio)
        elif coding in ("", "identity"):
            pieces = self._raw
        else:
            raise OutboundError(f"{self.url} is compressed as {coding!r}, which was not asked for.")
        done = 0
        for piece in pieces:
            done += len(piece)
            if done > most_bytes:
                raise OutboundTooLong(f"{self.url} has more than {most_bytes >> 20} MB.")
            yield piece


@dataclass(frozen=True)
class Outbound:
    """Asks other machines, within what is allowed. May be used from several threads."""

    allowed: Allowed = field(default_factory=Allowed)
    limits: Limits = field(default_factory=Limits)
    resolve: Resolve = lookup

    @contextlib.contextmanager
    def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        stays: Callable[[str], bool] = lambda _url: True,
    ) -> Iterator[Reply]:
        """Yield the answer of *url*, whatever its status, redirects followed as long as *stays* agrees with each.

        *headers* may hold a password: they go to the host of *url* only, not to where it redirects to another one.
        Raises OutboundRefused for an address that may not be asked, and OutboundError for anything that goes wrong,
        also while the body is read.
        """
        deadline = time.monotonic() + self.limits.seconds
        target = parsed_url(url)
        begun_at = origin(target)
        for _ in range(self.limits.redirects + 1):
            sent = {"Content-Length": str(len(content))} if content or method in _WITH_CONTENT else {}
            if origin(target) == begun_at:
                sent |= headers or {}
            with self._asked_once(method, target, sent, content, deadline) as reply:
                following = _redirect(reply)
                if following is None:
                    yield reply
                    return
            if not stays(str(following)):
                raise OutboundRefused(f"{target} leads away, to {following}.", remedy="Add that place itself.")
            if target.scheme == "https" and following.scheme == "http":
                raise OutboundRefused(f"{target} leads to an unencrypted address.", remedy="Correct it on that server.")
            if method in _WITH_CONTENT:
                raise OutboundError(f"{url} answers {method} with a redirect.", remedy="Give its address of now.")
            target = following
        raise OutboundError(f"{url} leads from redirect to redirect.", remedy="Correct it on that server.")

    @contextlib.contextmanager
    def _asked_once(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes, deadline: float
    ) -> Iterator[Reply]:
        sent = {
            "Host": url.netloc.decode("ascii"),
            "User-Agent": f"Metier/{metadata.version('metier')}",
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            "Connection": "close",
            **headers,
        }
        limits = self.limits
        timeout = {"connect": limits.connect_s, "read": limits.silent_s, "write": limits.silent_s}
        backend = _CheckedBackend(self.allowed, self.resolve, deadline)
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
                pool.stream(
                    method,
                    httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()],
                    content=content,
                    extensions={"timeout": timeout},
                ) as response,
            ):
                yield Reply(str(url), response.status, httpx.Headers(response.headers), response.iter_stream(), limits)
        except httpcore.TimeoutException as exc:
            raise OutboundError(f"{url} does not answer, or only slowly.") from exc
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as exc:
            raise OutboundError(f"{url} cannot be read: {str(exc) or type(exc).__name__}.") from exc

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()


def origin(url: httpx.URL) -> tuple[bytes, bytes, int | None]:
    """Return what makes two addresses of one server: scheme, host and port."""
    return url.raw_scheme, url.raw_host, url.port


def parsed_url(url: str) -> httpx.URL:
    """Return *url* parsed, without its fragment. Raises OutboundRefused for one that is not plainly http or https."""
    check_url_text(url)
    try:
        parsed = httpx.URL(url).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError, UnicodeError) as exc:
        raise OutboundRefused(f"{url!r} is no address of the web: {exc}.", remedy="Correct it.") from exc
    check_host(parsed.raw_host.decode("ascii"))
    return parsed


def joined_url(base: str, reference: str) -> str:
    """Return *reference* as a whole address, as a page at *base* means it. Raises OutboundRefused."""
    try:
        return str(parsed_url(str(parsed_url(base).join(reference))))
    except (httpx.InvalidURL, ValueError, UnicodeError) as exc:
        raise OutboundRefused(f"{reference!r} is no address of the web: {exc}.", remedy="Correct it.") from exc


def _redirect(reply: Reply) -> httpx.URL | None:
    if reply.status not in _REDIRECTS or "location" not in reply.headers:
        return None
    location = reply.headers["location"].strip()
    if any(ord(sign) <= 32 or sign == "\\" or ord(sign) == 127 for sign in location):
        raise OutboundRefused(f"{reply.url} leads to {location!r}, which is no plain address.", remedy="Correct it.")
    return parsed_url(joined_url(reply.url, location))


def gunzipped(pieces: Iterable[bytes], what: str, ratio: int) -> Iterator[bytes]:
    """Yield *pieces* decompressed, in pieces of bounded size. Raises OutboundError for a bomb, damage, or a cut."""
    packed = unpacked = 0
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        for piece in pieces:
            packed += len(piece)
            waiting, out = piece, b""
            while waiting or len(out) == _PIECE_BYTES:
                if decoder.eof:
                    if not waiting:
                        break
                    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)  # one member ended: another begins
                out = decoder.decompress(waiting, _PIECE_BYTES)
                unpacked += len(out)
                if unpacked > max(_RATIO_FROM_BYTES, ratio * packed):
                    raise OutboundError(f"{what} is compressed more than {ratio} times: it may be a trap.")
                if out:
                    yield out
                waiting = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    except zlib.error as exc:
        raise OutboundError(f"{what} is damaged: {exc}.") from exc
    if packed and not decoder.eof:
        raise OutboundError(f"{what} is cut off.")


class _CheckedBackend(httpcore.NetworkBackend):
    """Looks names up, and connects to addresses that are allowed only."""

    def __init__(self, allowed: Allowed, resolve: Resolve, deadline: float) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for address in reachable(host, port, self._allowed, self._resolve):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, time_left(self._deadline, timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
            else:
                return _TimedStream(stream, self._deadline)
        raise failure or httpcore.ConnectError("no address")


class _TimedStream(httpcore.NetworkStream):
    """A connection that ends at a deadline, however slowly the other side keeps talking."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, time_left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, time_left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, time_left(self._deadline, timeout))
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def time_left(deadline: float, most: float | None) -> float:
    """Return the seconds until *deadline*, at most *most*. Raises httpcore.ReadTimeout when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is up")
    return left if most is None else min(left, most)
