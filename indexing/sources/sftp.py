"""A folder that SSH reaches (SFTP). The server must show the key that the source names, before it hears who we are.

Links are not followed: not in a listing, and not on the way to a file, wherever they lead. The version is time and
size; SFTP's times are whole seconds, so a file of the last minute is told by its bytes (the minute bears clocks that
differ).

The library is paramiko: it takes a socket that we connected ourselves, to a checked address; fsspec's own SFTP accepts
any host key, and sshfs's asyncssh has a licence that not every company takes (EPL).
"""

from __future__ import annotations

import base64
import binascii
import itertools
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from indexing.errors import SourceError
from indexing.outbound_rules import check_host, check_url_text
from indexing.sources import Kind, needing
from indexing.sources.files import FilesSource, relative_parts

if TYPE_CHECKING:
    from indexing.documents import SourceRecord
    from indexing.sources import SourceContext

_REMEDY = "Write sftp://user@host/folder or sftp://user@host:port/folder."


def sftp_location(location: str) -> str:
    """Return ``sftp://user@host:port/folder`` as it is stored. Raises SourceError; nothing is asked."""
    text = location.strip()
    scheme, separator, rest = text.partition("://")
    if scheme.lower() != "sftp" or not separator:
        raise SourceError(f"{text!r} does not begin with sftp://.", remedy=_REMEDY)
    try:
        parts = urlsplit(text)
        port = parts.port or 22
        path = relative_parts(unquote(parts.path))
    except ValueError as exc:
        raise SourceError(f"The address cannot be used: {exc}.", remedy=_REMEDY) from exc
    if parts.password is not None:
        raise SourceError("The address holds a password.", remedy="Store it with `metier sources secret`.")
    if not parts.username or not parts.hostname or parts.query or parts.fragment:
        raise SourceError(f"{text!r} names no user and host.", remedy=_REMEDY)
    check_url_text(f"https://{rest.partition('@')[2]}")  # the host is spelled in one way only
    check_host(parts.hostname)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = quote(unquote(parts.username), safe="")
    return f"sftp://{user}@{host}:{port}/" + "/".join(quote(part) for part in path)


def host_key(text: str) -> tuple[str, bytes]:
    """Return the type and the bytes of the public key in *text*, a line of known_hosts or of a .pub file.

    Raises SourceError when there is none.
    """
    words = text.split()
    for kind, encoded in itertools.pairwise(words):
        if not kind.startswith(("ssh-", "ecdsa-")):
            continue
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        if key[4 : 4 + len(kind)] == kind.encode():
            return kind, key
    raise SourceError(
        "The option host_key is no public key.", remedy="Write it as in known_hosts: ssh-ed25519 AAAAC3Nza…"
    )


def _opened(record: SourceRecord, context: SourceContext) -> FilesSource:
    with needing("sftp", "SFTP needs"):
        from indexing.sources.sftp_client import SftpFiles
    place = urlsplit(sftp_location(record.location))
    given = record.options.get("host_key", "")
    files = SftpFiles(
        (place.hostname or "", place.port or 22),
        unquote(place.path),
        user=unquote(place.username or ""),
        secret=context.secret(record),
        key=host_key(given) if given else None,
        outbound=context.outbound,
    )
    return FilesSource(files, most_bytes=context.most_bytes)


SFTP = Kind(
    _opened,
    sftp_location,
    "a folder that SSH reaches: sftp://user@host:port/folder",
    {"host_key": "the server's public key, or its line of known_hosts; it must show this one"},
    "the user's password, or a private key without a passphrase",
)
