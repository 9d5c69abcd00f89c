from __future__ import annotations

import threading

import pytest

from app.errors import GeneratorError, GeneratorOverloaded, GeneratorTimeout
from app.generator import Deadlines
from app.relay import Relay


def relay(first_token_s: float = 60, answer_s: float = 60) -> Relay:
    return Relay(Deadlines.starting_now(first_token_s=first_token_s, answer_s=answer_s))


def end_of(pieces):
    while True:
        try:
            next(pieces)
        except StopIteration as stop:
            return stop.value


def test_pieces_come_in_order_and_the_reason_last():
    channel = relay()
    channel.put("a")
    channel.put("")
    channel.put("b")
    channel.finish("length")
    pieces = channel.pieces()

    assert [next(pieces), next(pieces)] == ["a", "b"]
    assert end_of(pieces) == "length"
    assert channel.cancelled.is_set()


def test_waiting_gives_empty_pieces_so_that_it_can_be_closed():
    channel = relay()
    pieces = channel.pieces()

    assert next(pieces) == ""
    pieces.close()
    assert channel.cancelled.is_set()


def test_no_first_piece_in_time_is_a_timeout_that_names_its_setting():
    with pytest.raises(GeneratorTimeout) as caught:
        list(relay(first_token_s=0.02).pieces())

    assert "METIER_FIRST_TOKEN_TIMEOUT_S" in str(caught.value)


def test_once_begun_only_the_deadline_of_the_answer_counts():
    channel = relay(first_token_s=0.05, answer_s=0.2)
    channel.put("a")
    pieces = channel.pieces()

    assert next(pieces) == "a"
    with pytest.raises(GeneratorTimeout) as caught:
        list(pieces)
    assert "METIER_ANSWER_TIMEOUT_S" in str(caught.value)
    assert channel.cancelled.is_set()


def test_producers_errors_are_raised_to_the_reader():
    ours, theirs = relay(), relay()
    ours.fail(GeneratorOverloaded("full"))
    theirs.fail(ValueError("odd"))

    with pytest.raises(GeneratorOverloaded, match="full"):
        list(ours.pieces())
    with pytest.raises(GeneratorError, match="odd"):
        list(theirs.pieces())


def test_producer_in_another_thread_sees_that_nobody_waits():
    channel = relay()
    seen = threading.Event()

    def produce() -> None:
        channel.put("a")
        if channel.cancelled.wait(5):
            seen.set()

    threading.Thread(target=produce, daemon=True).start()
    pieces = channel.pieces()
    assert next(pieces) == "a"
    pieces.close()
    assert seen.wait(2)
