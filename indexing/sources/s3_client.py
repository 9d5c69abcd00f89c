"""How S3 is asked: s3fs, told to use nothing that it finds on this machine, and to connect to checked addresses only.

botocore would look for keys in ``~/.aws``, in the environment and at a cloud's metadata address, and for proxies and
other servers in the environment. Here it gets a session in which each of these has its default, and the keys of the
source, or none. This module needs the extra ``s3``: it is imported when such a source is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import time
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from aiobotocore.session import AioSession
from aiohttp.abc import AbstractResolver, ResolveResult
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from indexing.errors import OutboundError, OutboundRefused, SourceMissing
from indexing.outbound_rules import permitted, refusal
from indexing.outbound_sockets import reachable
from indexing.sources.files import Entry, Opened
from indexing.sources.rest import Denied, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from indexing.outbound import Outbound

T = TypeVar("T")

_PAGE_KEYS = 1000
_PIECE_BYTES = 1 << 20
#: As often as ``rest.Rest`` asks.
_ATTEMPTS = 4
#: ValueError: botocore's, for a number or a time in an answer that is none.
_FAILURES = (OSError, ValueError, BotoCoreError, ClientError, ResponseParserError, aiohttp.ClientError)
_NO_SUCH_KEY = frozenset({"NoSuchKey", "404", "NoSuchVersion"})


class S3Files:
    """The keys of one bucket below one prefix."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        endpoint: str,
        region: str,
        keys: tuple[str, str],
        outbound: Outbound,
        attempts: int = _ATTEMPTS,
    ) -> None:
        """Remember where to look; nothing is asked. *endpoint*: "" for Amazon's."""
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._limits = outbound.limits
        self._checked = _CheckedConnections(outbound)
        key_id, key = keys
        self._client = S3FileSystem(
            anon=not key_id,
            key=key_id or None,
            secret=key or None,
            token=None,
            endpoint_url=endpoint or None,
            session=_session(),
            client_kwargs={"region_name": region, "verify": ssl.get_default_verify_paths().cafile or True},
            config_kwargs=self._config(endpoint, attempts),
            use_listings_cache=False,
            skip_instance_cache=True,
            cache_regions=False,
        )
        self._client.retries = 1  # botocore's own are enough

    def _config(self, endpoint: str, attempts: int) -> dict[str, Any]:
        return {
            "connect_timeout": self._limits.connect_s,
            "read_timeout": self._limits.silent_s,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "proxies": {},
            "ignore_configured_endpoint_urls": True,
            "response_checksum_validation": "when_required",
            "s3": {"addressing_style": "path" if endpoint else "virtual"},
            "connector_args": {
                "resolver": self._checked,
                "socket_factory": self._checked.made,
                "use_dns_cache": False,
            },
        }

    def entries(self, parts: tuple[str, ...]) -> Iterator[Entry]:
        """Yield what is below the folder, one page of the service in memory at a time. An unknown folder is empty."""
        prefix = self._root + "".join(f"{part}/" for part in parts)
        token: dict[str, str] = {}
        last = ""
        while True:
            with self._meaning(f"s3://{self._bucket}/{prefix}"):
                found = self._client.call_s3(
                    "list_objects_v2",
                    Bucket=self._bucket,
                    Prefix=prefix,
                    Delimiter="/",
                    MaxKeys=_PAGE_KEYS,
                    timeout=self._limits.seconds,
                    **token,
                )
            if "IsTruncated" not in found:  # a proxy's page, say: nothing is to be concluded from what it lacks
                raise OutboundError(f"s3://{self._bucket} does not answer with a list.", remedy="Check the endpoint.")
            for each in found.get("CommonPrefixes", ()):
                yield Entry(each.get("Prefix", "").removeprefix(prefix).removesuffix("/"), is_folder=True)
            for each in found.get("Contents", ()):
                if each.get("Key", "") <= last:  # a listing that begins anew would never end
                    raise OutboundError(f"s3://{self._bucket} does not list its keys in order.")
                last = each["Key"]
                if not last.endswith("/"):
                    tag, size, at = _etag(each), each.get("Size"), each.get("LastModified")
                    yield Entry(last.removeprefix(prefix), False, "", tag, size, at)
            if not found.get("IsTruncated"):
                return
            following = found.get("NextContinuationToken", "")
            if not following or following == token.get("ContinuationToken"):
                raise OutboundError(f"s3://{self._bucket} says that there is more, and not where.")
            token = {"ContinuationToken": following}

    def read(self, parts: tuple[str, ...], take: Callable[[Opened], T]) -> T:
        """Return what *take* makes of the object: one request, whose answer is one version of it."""
        key = self._root + "/".join(parts)
        deadline = time.monotonic() + self._limits.seconds
        what = f"s3://{self._bucket}/{key}"
        with self._meaning(what):
            found = self._client.call_s3("get_object", Bucket=self._bucket, Key=key, timeout=self._limits.seconds)
        body = found["Body"]
        try:
            pieces = self._pieces(body, what, deadline)
            return take(Opened(pieces, found.get("ContentLength"), _etag(found), found.get("LastModified")))
        finally:
            self._client.loop.call_soon_threadsafe(body.close)

    def _pieces(self, body: Any, what: str, deadline: float) -> Iterator[bytes]:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise OutboundError(f"{what} does not answer, or only slowly.")
            with self._meaning(what):
                piece = sync(self._client.loop, body.read, _PIECE_BYTES, timeout=left)
            if not piece:
                return
            yield piece

    @contextlib.contextmanager
    def _meaning(self, what: str) -> Iterator[None]:
        """Raise what goes wrong in the body as an error of ours."""
        try:
            yield
        except _FAILURES as exc:
            if self._checked.refused is not None:
                refused = self._checked.refused
                raise OutboundRefused(refused.message, remedy=refused.remedy) from exc
            code = _code(exc)
            if code == "NoSuchBucket":
                remedy = "Check the location of the source; nothing was deleted from the index."
                raise SourceMissing(f"There is no bucket {self._bucket}.", remedy=remedy) from exc
            if code in _NO_SUCH_KEY:
                raise Gone(f"{what} is not there.") from exc
            if isinstance(exc, PermissionError):
                raise Denied(f"{what}: the server does not let us in ({code or exc}).") from exc
            if isinstance(exc, TimeoutError | ConnectTimeoutError | ReadTimeoutError):
                raise OutboundError(f"{what} does not answer, or only slowly.") from exc
            raise OutboundError(f"{what} cannot be read: {code or str(exc) or type(exc).__name__}.") from exc


class _CheckedConnections(AbstractResolver):
    """Gives aiohttp addresses that may be reached, and no socket to any other."""

    def __init__(self, outbound: Outbound) -> None:
        self._allowed = outbound.allowed
        self._resolve = outbound.resolve
        self._good: set[tuple[str, int]] = set()
        self.refused: OutboundRefused | None = None

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 -- as the library calls it
    ) -> list[ResolveResult]:
        """Return the addresses of *host* that may be reached. Raises OSError otherwise."""
        try:
            found = await asyncio.to_thread(reachable, host, port, self._allowed, self._resolve)
        except OutboundRefused as exc:
            self.refused = exc
            raise OSError(exc.message) from exc
        except OutboundError as exc:
            raise OSError(exc.message) from exc
        self._good.update((address, port) for address in found)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=_family(address), proto=0, flags=socket.AI_NUMERICHOST
            )
            for address in found
        ]

    def made(self, info: tuple[Any, ...]) -> socket.socket:
        """Return a socket for the address in *info*, which may be one that no name led to. Raises OSError."""
        family, kind, protocol, _, (address, port, *_) = info
        if (address, port) not in self._good and not permitted(
            address, ipaddress.ip_address(address), port, self._allowed
        ):
            self.refused = refusal(address, port, [address], self._allowed)
            raise OSError(self.refused.message)
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """There is nothing to close."""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _session() -> AioSession:
    """Return a session whose settings have their defaults, and are looked for nowhere."""
    nowhere = {"config_file": os.devnull, "credentials_file": os.devnull}
    session = AioSession(
        session_vars={
            name: (None, None, nowhere.get(name, default), conversion)
            for name, (_, _, default, conversion) in AioSession.SESSION_VARIABLES.items()
        }
    )
    session.register_component("data_loader", _descriptions())
    return session


@cache
def _descriptions() -> Loader:
    """Return botocore's description of S3, which takes it a quarter of a second to read: once is enough."""
    return create_loader()


def _etag(found: Mapping[str, Any]) -> str | None:
    """Return the version of an object; None where a server tells none."""
    plain = str(found.get("ETag", "")).strip().strip('"')
    return f"etag {plain}" if plain else None


def _code(exc: BaseException) -> str:
    """Return the service's own name of the error; "" when it is none of the service's."""
    for each in (exc, exc.__cause__):
        if isinstance(each, ClientError):
            return str(each.response.get("Error", {}).get("Code", ""))
    return ""
