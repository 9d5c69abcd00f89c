"""Packs are measured before they are loaded: a little file may stand for any length."""

from __future__ import annotations

import io
import zlib

import pytest

from indexing.errors import OutboundError, OutboundTooLong
from indexing.sources.git_pack import refuse_long_objects


def header(kind, size):
    found, byte, size = b"", kind << 4 | size & 15, size >> 4
    while size:
        found, byte, size = found + bytes([byte | 128]), size & 127, size >> 7
    return found + bytes([byte])


def pack(*objects):
    """Return a pack of (kind, the length that is told, content)."""
    bodies = (header(kind, told) + (b"\1" if kind == 6 else b"") + zlib.compress(body) for kind, told, body in objects)
    return io.BytesIO(b"PACK" + (2).to_bytes(4) + len(objects).to_bytes(4) + b"".join(bodies) + bytes(20))


def test_a_pack_of_objects_that_are_short_enough_passes():
    refuse_long_objects(pack((3, 1000, bytes(1000)), (3, 5, b"small"), (6, 3, b"\5\5\x01")), 1000)


@pytest.mark.parametrize("long", [(3, 1001, bytes(1001)), (6, 6, b"\x05\x80\x80\x80\x80\x10")], ids=["whole", "delta"])
def test_an_object_that_is_too_long_or_makes_one_is_refused(long):
    with pytest.raises(OutboundTooLong):
        refuse_long_objects(pack((3, 5, b"small"), long), 1000)


@pytest.mark.parametrize("told", [5, 999])
def test_an_object_that_lies_about_its_length_is_refused(told):
    with pytest.raises(OutboundError, match=r"than it says|as it says"):
        refuse_long_objects(pack((3, told, bytes(100_000) if told == 5 else b"x")), 1 << 20)


@pytest.mark.parametrize("content", [b"", b"PACK", b"<html>", pack((3, 5, b"small")).getvalue()[:16]])
def test_what_is_no_whole_pack_is_refused(content):
    with pytest.raises(OutboundError):
        refuse_long_objects(io.BytesIO(content))
