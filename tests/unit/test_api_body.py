"""How a body is read: up to a number of bytes, and not for ever."""

from __future__ import annotations

import anyio
import pytest
from starlette.exceptions import HTTPException

from app.api_body import limited

GRACE_S = 0.2


def read(pieces, most=100, *, then_s=0.0, between_s=0.0, grace_s=GRACE_S):
    """Read a body of *pieces*, which comes to an end, then wait for the client to leave after *then_s*."""

    async def run():
        messages = iter(pieces)

        async def receive():
            piece = next(messages, None)
            if piece is None:
                await anyio.sleep(then_s)
                return {"type": "http.disconnect"}
            await anyio.sleep(between_s)
            return {"type": "http.request", "body": piece, "more_body": piece != b"end"}

        taken = limited(receive, most, ValueError("too large"), grace_s)
        read = [await taken()]
        while read[-1].get("more_body"):
            read.append(await taken())
        read.append(await taken())
        return read

    return anyio.run(run)


def test_a_body_up_to_the_limit_is_read_whole_and_one_byte_more_is_not():
    assert [m.get("body") for m in read([b"x" * 97, b"end"])] == [b"x" * 97, b"end", None]
    with pytest.raises(ValueError, match="too large"):
        read([b"x" * 98, b"end"])


def test_a_body_that_arrives_byte_by_byte_is_refused():
    with pytest.raises(HTTPException) as refused:
        read([b"x"] * 100, between_s=GRACE_S / 4)

    assert refused.value.status_code == 408


def test_a_body_that_stops_arriving_is_refused():
    with pytest.raises(HTTPException) as refused:
        read([b"x", b"x", b"end"], between_s=GRACE_S * 2)

    assert refused.value.status_code == 408


def test_a_large_body_may_take_longer_than_a_small_one():
    assert len(read([b"x" * 16_384] * 8 + [b"end"], most=1 << 20, between_s=GRACE_S / 4)) == 10


def test_an_answer_may_take_longer_than_a_body():
    assert read([b"end"], then_s=GRACE_S * 2)[-1] == {"type": "http.disconnect"}
