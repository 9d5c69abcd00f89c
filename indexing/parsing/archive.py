"""Zip-based formats: refused before they are opened when they would unpack to too much."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from indexing.errors import EncryptedDocument, ParseError, ParseLimit

if TYPE_CHECKING:
    from pathlib import Path

    from indexing.parsing.job import Limits

_MEMBERS = 20_000
_RATIO = 200
_RATIO_FROM = 50 << 20  # below this, a large ratio is harmless (a blank sheet packs 1,000 to 1)


def check(path: Path, limits: Limits) -> None:
    """Raise ParseLimit when the zip file at *path* unpacks to too much, EncryptedDocument when it is locked.

    Sizes are what its directory claims; a member that lies about its own fails to unpack, as the library checks.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as exc:
        raise ParseError(f"The file is damaged: its zip container cannot be opened ({exc}).") from exc
    total = sum(member.file_size for member in members)
    packed = max(1, path.stat().st_size)
    most = limits.memory_mb << 20
    if len(members) > _MEMBERS:
        raise ParseLimit(f"It holds {len(members)} members; the limit is {_MEMBERS}.")
    if total > most or (total > _RATIO_FROM and total > packed * _RATIO):
        raise ParseLimit(f"It would unpack from {packed >> 10} KB to {total >> 20} MB.")
    if any(member.flag_bits & 1 for member in members):
        raise EncryptedDocument
