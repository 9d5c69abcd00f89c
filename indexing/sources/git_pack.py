"""Packs as a git server sends them, measured before anything loads them: a little file may stand for any length."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from indexing.errors import OutboundError, OutboundTooLong

if TYPE_CHECKING:
    from typing import BinaryIO

#: Objects are loaded whole while a pack is taken in, so that none may be longer.
MOST_OBJECT_BYTES = 1 << 30
_HEADER = 12
_PIECE_BYTES = 1 << 16
_OFFSET_DELTA, _NAME_DELTA = 6, 7
_NUMBER_BYTES = 20  # two lengths of ten bytes each


def refuse_long_objects(pack: BinaryIO, most_bytes: int = MOST_OBJECT_BYTES) -> None:
    """Raise OutboundTooLong when an object of *pack* is, or makes, more than *most_bytes*; it is read from its start.

    Raises OutboundError for what is no pack. At most a piece of an object is in memory at a time.
    """
    header = pack.read(_HEADER)
    if len(header) != _HEADER or header[:4] != b"PACK":
        raise OutboundError("What the git server sent is no pack.")
    for _ in range(int.from_bytes(header[8:])):
        kind, told = _begin(pack)
        if kind == _OFFSET_DELTA:
            while _byte(pack) & 128:
                pass
        elif kind == _NAME_DELTA:
            pack.seek(20, 1)
        _refuse(told, most_bytes)
        size, first = _inflated(pack, told)
        if size != told:
            raise OutboundError("The git server sent an object that is not as long as it says.")
        if kind in (_OFFSET_DELTA, _NAME_DELTA):
            lengths = _numbers(first)
            for length in lengths[:2]:
                _refuse(length, most_bytes)


def _refuse(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise OutboundTooLong(
            f"The repository holds a file of {size >> 20} MB; more than {most_bytes >> 20} cannot be fetched.",
            remedy="Move it out of the branch that is read.",
        )


def _byte(pack: BinaryIO) -> int:
    found = pack.read(1)
    if not found:
        raise OutboundError("The pack that the git server sent is cut off.")
    return found[0]


def _begin(pack: BinaryIO) -> tuple[int, int]:
    """Return the kind and the length that the next object says it has."""
    byte = _byte(pack)
    kind, size, shift = byte >> 4 & 7, byte & 15, 4
    while byte & 128:
        byte = _byte(pack)
        size |= (byte & 127) << shift
        shift += 7
        if shift > 70:
            raise OutboundError("The git server sent an object without a length.")
    return kind, size


def _inflated(pack: BinaryIO, most_bytes: int) -> tuple[int, bytes]:
    """Return how long the object really is, and how it begins; the pack stands behind it then."""
    decoder, size, first = zlib.decompressobj(), 0, b""
    waiting = b""
    while not decoder.eof:
        waiting = waiting or pack.read(_PIECE_BYTES)
        if not waiting:
            raise OutboundError("The pack that the git server sent is cut off.")
        try:
            out = decoder.decompress(waiting, _PIECE_BYTES)
        except zlib.error as exc:
            raise OutboundError(f"The pack that the git server sent is damaged: {exc}.") from exc
        first = (first + out)[:_NUMBER_BYTES] if len(first) < _NUMBER_BYTES else first
        size += len(out)
        if size > most_bytes:
            raise OutboundError("The git server sent an object that is longer than it says.")
        waiting = decoder.unconsumed_tail
    pack.seek(-len(decoder.unused_data), 1)
    return size, first


def _numbers(raw: bytes) -> list[int]:
    """Return the numbers at the beginning of *raw*, seven bits in each byte, the lowest first."""
    found, number, shift = [], 0, 0
    for byte in raw:
        number |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            found.append(number)
            number, shift = 0, 0
    return found
