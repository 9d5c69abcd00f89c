"""Stepping a plain generator from the event loop: where it runs, and that it is closed."""

from __future__ import annotations

import threading
import time
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request

from app.stream import EventStream, answer_threads, collect, sse, stepped

LEAVE: dict[str, Any] = {"type": "http.disconnect"}


class Watched:
    """A generator that notes which threads it ran and was closed in."""

    def __init__(self, steps=3, *, seconds=0.0, error=None):
        self.steps, self.seconds, self.error = steps, seconds, error
        self.threads: set[str] = set()
        self.closed_in: str | None = None
        self.closed_at = 0.0

    def run(self):
        try:
            for number in range(self.steps):
                self.threads.add(threading.current_thread().name)
                time.sleep(self.seconds)
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed_in = threading.current_thread().name
            self.closed_at = time.monotonic()


def request(receive):
    return Request({"type": "http", "headers": [], "method": "POST", "path": "/"}, receive)


async def never():
    await anyio.sleep_forever()
    return LEAVE


def leaves_after(seconds):
    async def receive():
        await anyio.sleep(seconds)
        return LEAVE

    return receive


def test_the_generator_runs_and_is_closed_in_worker_threads_and_never_in_the_event_loop():
    watched = Watched()

    async def main():
        return [item async for item in stepped(watched.run(), answer_threads())]

    assert anyio.run(main) == [0, 1, 2]
    assert threading.main_thread().name not in watched.threads | {watched.closed_in}


def test_collect_returns_everything():
    async def main():
        return await collect(Watched().run(), request(never), answer_threads())

    assert anyio.run(main) == (0, 1, 2)


def test_an_error_of_the_generator_comes_out_as_itself():
    async def main():
        await collect(Watched(error=KeyError("mine")).run(), request(never), answer_threads())

    with pytest.raises(KeyError, match="mine"):
        anyio.run(main)


def test_a_client_that_leaves_while_the_whole_answer_is_made_closes_the_generator_within_two_seconds():
    watched = Watched(steps=1000, seconds=0.05)

    async def main():
        started = time.monotonic()
        with pytest.raises(ClientDisconnect):
            await collect(watched.run(), request(leaves_after(0.2)), answer_threads())
        return started

    started = anyio.run(main)
    assert watched.closed_at - started < 2
    assert watched.closed_in != threading.main_thread().name


def test_a_client_that_leaves_a_stream_closes_the_generator_within_two_seconds():
    watched = Watched(steps=1000, seconds=0.05)
    sent: list[Any] = []

    async def pieces():
        async for item in stepped(watched.run(), answer_threads()):
            yield sse("token", {"number": item})

    async def send(message):
        sent.append(message)

    async def main():
        started = time.monotonic()
        with pytest.raises(ClientDisconnect):
            await EventStream(pieces())({"type": "http"}, leaves_after(0.3), send)
        return started

    started = anyio.run(main)
    assert watched.closed_at - started < 2
    assert sent[0]["type"] == "http.response.start"
    assert any(b"event: token" in m.get("body", b"") for m in sent)


def test_a_client_that_leaves_before_the_first_piece_closes_the_generator_too():
    watched = Watched(steps=1, seconds=0.6)

    async def main():
        with pytest.raises(ClientDisconnect):
            await collect(watched.run(), request(leaves_after(0.05)), answer_threads())

    anyio.run(main)
    assert watched.closed_in is not None


def test_a_stream_that_ends_says_so():
    sent: list[Any] = []

    async def pieces():
        yield b"data: 1\n\n"

    async def send(message):
        sent.append(message)

    async def main():
        await EventStream(pieces())({"type": "http"}, never, send)

    anyio.run(main)
    assert [m.get("more_body") for m in sent] == [None, True, False]
    assert (b"content-type", b"text/event-stream; charset=utf-8") in sent[0]["headers"]


def test_an_event_is_one_data_line_whatever_the_text_holds():
    assert sse("token", {"text": "a\nb\r« é »"}).decode() == 'event: token\ndata: {"text": "a\\nb\\r« é »"}\n\n'
