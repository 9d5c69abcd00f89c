"""A folder or bucket that a library of fsspec reads: FTP, SMB, Google Cloud Storage, Azure, HDFS and others.

Such a library connects by itself, to wherever it likes. So each place must be listed in METIER_OUTBOUND_ALLOW, which
only who runs this machine can write; whoever may merely add sources can reach no other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from indexing.errors import OutboundRefused, SourceError
from indexing.outbound_rules import PLACE, may_read_place
from indexing.sources import Kind, needing
from indexing.sources.files import FilesSource, relative_parts

if TYPE_CHECKING:
    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext

#: Of this machine, or within another file.
_HERE = frozenset(
    {
        "arrow_hdfs", "async_wrapper", "asynclocal", "blockcache", "cached", "data", "dir", "file", "filecache",
        "generic", "git", "jlab", "jupyter", "libarchive", "local", "memory", "reference", "simplecache", "tar", "zip",
    }
)  # fmt: skip
_OWN = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp", "http": "http", "https": "http"}
_REMEDY = "Write it as the library does: gs://bucket/folder, ftp://user@host/folder."


def place_location(location: str) -> str:
    """Return ``protocol://where/folder`` as it is stored. Raises SourceError; nothing is asked over the network."""
    match = PLACE.fullmatch(location.strip())
    if match is None or "::" in location:
        raise SourceError(f"{location!r} names no place.", remedy=_REMEDY)
    protocol, where = match[1].lower(), match[2]
    if protocol in _HERE:
        raise SourceError(f"{protocol}:// is of this machine, or within another file.", remedy="Use the kind folder.")
    if protocol in _OWN:
        kind = _OWN[protocol]
        raise SourceError(f"{protocol}:// has a kind of its own.", remedy=f"Use the kind {kind}: it checks more.")
    if ":" in where.rpartition("@")[0]:
        raise SourceError("The location holds a password.", remedy="Store it with `metier sources secret`.")
    try:
        parts = relative_parts(match[3] or "")
    except ValueError as exc:
        raise SourceError(f"{location!r} cannot be used: {exc}.", remedy=_REMEDY) from exc
    return "/".join((f"{protocol}://{where}", *parts))


def storage_options(secret: str) -> dict[str, Any]:
    """Return the library's options in *secret*; none for no secret. Raises SourceError when it is no JSON object."""
    try:
        found = json.loads(secret or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SourceError(
            "The secret is not a JSON object of the library's options.",
            remedy='Store it anew, as {"username": "ann", "password": "…"}.',
        )
    return found


def _opened(record: SourceRecord, context: SourceContext) -> FilesSource:
    location = place_location(record.location)
    outbound = context.outbound
    if not may_read_place(location, outbound.allowed):
        raise OutboundRefused(
            f"{location} is not allowed: a library connects to it by itself.",
            remedy=f"Who runs this machine can list {location!r} in METIER_OUTBOUND_ALLOW.",
        )
    with needing("fsspec", "It needs"):
        from indexing.sources.fsspec_client import FsspecFiles
    files = FsspecFiles(location, storage_options(context.secret(record)), limits=outbound.limits)
    return FilesSource(files, most_bytes=context.most_bytes)


FSSPEC = Kind(
    _opened,
    place_location,
    "what a library of fsspec reads, listed in METIER_OUTBOUND_ALLOW: gs://bucket/folder, ftp://user@host/folder",
    {},
    "the library's storage options as a JSON object",
)
