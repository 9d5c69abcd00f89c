"""A bucket of S3, or of a server that speaks its language (MinIO, Ceph, OVHcloud, Scaleway), or a part of one.

Keys are read as paths. A key that ends in ``/`` is what some programs leave for an empty folder, and no document; what
was deleted in a bucket with versions is not listed. The version is the ETag: it is made from the content.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from indexing.errors import OutboundRefused, SourceError
from indexing.outbound import parsed_url
from indexing.sources import Kind, needing
from indexing.sources.files import FilesSource, relative_parts

if TYPE_CHECKING:
    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


def bucket_location(location: str) -> str:
    """Return ``s3://bucket/prefix`` as it is stored. Raises SourceError; nothing is asked over the network."""
    scheme, separator, rest = location.strip().partition("://")
    bucket, _, prefix = rest.partition("/")
    try:
        parts = relative_parts(prefix)
    except ValueError as exc:
        raise SourceError(f"{location!r} cannot be used: {exc}.", remedy="Write s3://bucket/folder.") from exc
    if scheme.lower() != "s3" or not separator or not _BUCKET.fullmatch(bucket):
        raise SourceError(f"{location!r} does not name a bucket.", remedy="Write s3://bucket or s3://bucket/folder.")
    return "/".join((f"s3://{bucket}", *parts))


def _endpoint(options: dict[str, str]) -> str:
    """Return the address that is asked; "" for Amazon's own of the region. Raises OutboundRefused."""
    endpoint = options.get("endpoint", "")
    if not endpoint:
        return ""
    parts = parsed_url(endpoint)
    if parts.path not in ("", "/") or parts.query:
        raise OutboundRefused(f"{endpoint!r} is more than a server.", remedy="Write https://s3.example.com.")
    return str(parts).rstrip("/")


def _keys(secret: str) -> tuple[str, str]:
    """Return the id and the key in *secret*; two empty ones for none."""
    key_id, separator, key = secret.partition(":")
    if secret and not (separator and key_id and key):
        raise SourceError(
            "The secret is not an access key id and a secret access key.",
            remedy="Store it anew as ID:KEY; without a secret the bucket is read as anybody.",
        )
    return key_id, key


def _opened(record: SourceRecord, context: SourceContext) -> FilesSource:
    options = dict(record.options)
    region = options.get("region", "us-east-1")
    if not _REGION.fullmatch(region):
        raise SourceError(f"{region!r} is no region.", remedy="Write it as eu-west-3.")
    with needing("s3", "S3 needs"):
        from indexing.sources.s3_client import S3Files
    place = urlsplit(bucket_location(record.location))
    files = S3Files(
        place.netloc,
        unquote(place.path).lstrip("/"),
        endpoint=_endpoint(options),
        region=region,
        keys=_keys(context.secret(record)),
        outbound=context.outbound,
    )
    return FilesSource(files, most_bytes=context.most_bytes)


S3 = Kind(
    _opened,
    bucket_location,
    "a bucket, or a folder of one: s3://bucket/folder",
    {"endpoint": "the server, if it is not Amazon's: https://s3.example.com", "region": "its region; us-east-1"},
    "access key id:secret access key; without one the bucket is read as anybody",
)
