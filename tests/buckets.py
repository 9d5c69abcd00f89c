"""A server that speaks S3 (moto's) on loopback, and the source that reads a bucket of it."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.outbound_sockets import lookup
from indexing.sources.files import FilesSource
from tests.wsgi import Served, serving_app

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "documents"


def refused(status: str, code: str, **headers: str) -> tuple[str, dict[str, str], bytes]:
    """Return an error as S3 gives it."""
    body = f'<?xml version="1.0"?><Error><Code>{escape(code)}</Code><Message>as told</Message></Error>'
    return status, {"Content-Type": "application/xml", **headers}, body.encode()


class Buckets:
    """The server, with one bucket."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.backend.create_bucket(BUCKET, "us-east-1")

    @cached_property
    def backend(self) -> Any:
        from moto.backends import get_backend

        backend: Any = get_backend("s3")
        return backend["123456789012"]["aws"]

    def put(self, key, content):
        self.backend.put_object(BUCKET, key, content)

    def remove(self, key):
        self.backend.delete_object(BUCKET, key)

    def files(self, prefix="", *, keys=("an-id", "a-key"), allow=None, endpoint=None, resolve=lookup, **told):
        """Return the files of the bucket as our client reads them."""
        from indexing.sources.s3_client import S3Files

        allowed = parse_allowed([f"127.0.0.1:{self.served.port}"] if allow is None else allow)
        return S3Files(
            BUCKET,
            prefix,
            endpoint=self.served.url if endpoint is None else endpoint,
            region="eu-west-3",
            keys=keys,
            attempts=told.pop("attempts", 1),
            outbound=Outbound(allowed, Limits(**told), resolve),
        )

    def source(self, prefix="", *, most_bytes=200 << 20, **told):
        return FilesSource(self.files(prefix, **told), most_bytes=most_bytes, sleep=lambda seconds: None)


@contextlib.contextmanager
def buckets() -> Iterator[Buckets]:
    """Yield an empty server with the bucket ``documents``."""
    from moto.moto_server.werkzeug_app import create_backend_app

    with serving_app(create_backend_app("s3")) as served:
        found = Buckets(served)
        try:
            yield found
        finally:
            found.backend.reset()
