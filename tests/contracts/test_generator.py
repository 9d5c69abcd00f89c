"""What every generator promises, run over all of them: the reader, the scripted one, a local model, a server."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app import abstain
from app.errors import GeneratorError, GeneratorOverloaded, GeneratorTimeout, GeneratorUnusable
from app.evidence import weigh
from app.generator import Deadlines, GenerationRequest
from app.llm import LocalGenerator
from app.llm_server import ServerGenerator
from app.reader import Reader
from app.testing import ScriptedGenerator, WordReader, build_tiny_llama
from indexing.documents import Passage
from indexing.testing import HashEmbedder

PIECES = ["You ", "have 25 ", "days [", "1]."]
TEXT = "Everyone has 25 days of paid leave each year. " * 4
PASSAGE = Passage(1, 1, 1, "s", "a.md", "Leave", TEXT, 0, len(TEXT), None, (), "en", None)


class OpenAIServer:
    """A loopback server that speaks as much of the OpenAI protocol as the client needs, and can misbehave."""

    def __init__(self) -> None:
        self.pieces = list(PIECES)
        self.finish_reason = "stop"
        self.status = 200
        self.pause_s = 0.0  # before each piece
        self.silent = threading.Event()  # set: never sends headers
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.left_by_client = threading.Event()
        server = self

        class Conversation(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.keys.append(self.headers["Authorization"])
                server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                try:
                    server.converse(self)
                except OSError:
                    server.left_by_client.set()

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Conversation)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def converse(self, conversation: BaseHTTPRequestHandler) -> None:
        if self.silent.is_set():
            conversation.connection.settimeout(10)
            if not conversation.connection.recv(1):  # returns empty once the client has hung up
                self.left_by_client.set()
            return
        conversation.send_response(self.status)
        conversation.send_header("Content-Type", "text/event-stream" if self.status == 200 else "application/json")
        conversation.end_headers()
        if self.status != 200:
            conversation.wfile.write(b'{"error": {"message": "no", "type": "x", "param": null, "code": null}}')
            return
        for piece in self.pieces:
            time.sleep(self.pause_s)
            self.send(conversation, {"content": piece}, None)
        self.send(conversation, {}, self.finish_reason)
        conversation.wfile.write(b"data: [DONE]\n\n")

    def send(self, conversation: BaseHTTPRequestHandler, delta: dict[str, str], finish_reason: str | None) -> None:
        chunk = {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        }
        conversation.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        conversation.wfile.flush()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    return build_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def server():
    with closing(OpenAIServer()) as running:
        yield running


@pytest.fixture
def server_generator(server):
    with closing(ServerGenerator(server.url, "small", queue_length=1)) as made:
        yield made


@pytest.fixture(
    params=["reader", "scripted", "local", pytest.param("server", marks=pytest.mark.network)],
)
def generator(request):
    if request.param == "reader":
        yield Reader()
    elif request.param == "scripted":
        yield ScriptedGenerator(PIECES)
    elif request.param == "local":
        with closing(LocalGenerator(str(request.getfixturevalue("tiny_llama")), threads=1)) as local:
            yield local
    else:
        yield request.getfixturevalue("server_generator")


def request_for(question: str = "How many days of paid leave?", **changes) -> GenerationRequest:
    sentences = weigh(question, (PASSAGE,), "en", WordReader(), HashEmbedder(), abstain.fitted().sentence_weights)
    return replace(GenerationRequest(question, "en", (PASSAGE,), sentences, max_tokens=24), **changes)


def read(pieces) -> tuple[list[str], str]:
    got = []
    while True:
        try:
            got.append(next(pieces))
        except StopIteration as stop:
            return got, stop.value


def test_generator_has_a_name_and_yields_text_and_a_reason(generator):
    pieces, reason = read(generator.generate(request_for()))

    assert generator.name
    assert all(isinstance(piece, str) for piece in pieces)
    assert "".join(pieces).strip()
    assert reason in {"stop", "length"}


def test_same_question_twice_gives_the_same_text(generator):
    assert "".join(generator.generate(request_for())) == "".join(generator.generate(request_for()))


def test_nothing_happens_before_the_first_piece_is_asked_for(generator):
    generator.generate(request_for()).close()
    assert "".join(generator.generate(request_for()))


def test_closing_early_leaves_it_ready_for_the_next_question(generator):
    pieces = generator.generate(request_for(max_tokens=200))
    while not next(pieces):
        pass
    pieces.close()

    assert "".join(generator.generate(request_for()))


def test_question_without_passages_is_not_an_accident(generator):
    pieces, reason = read(generator.generate(request_for(passages=(), sentences=())))

    assert isinstance("".join(pieces), str)
    assert reason in {"stop", "length"}


def test_generator_in_use_by_two_threads_answers_both(generator):
    expected = "".join(generator.generate(request_for()))
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append("".join(generator.generate(request_for())))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert results == [expected, expected]


@pytest.mark.network
class TestServer:
    def test_prompt_key_and_limits_are_sent(self, server):
        with closing(ServerGenerator(server.url, "small", api_key="secret")) as generator:
            assert "".join(generator.generate(request_for(instructions="Be formal."))) == "".join(PIECES)

        [body] = server.bodies
        assert server.keys == ["Bearer secret"]
        assert (body["model"], body["max_tokens"], body["stream"]) == ("small", 24, True)
        assert "Be formal." in body["messages"][0]["content"]
        assert "25 days of paid leave" in body["messages"][-1]["content"]

    def test_pieces_arrive_while_the_server_is_still_writing(self, server, server_generator):
        server.pause_s = 0.2
        with closing(server_generator.generate(request_for())) as pieces:
            first = next(piece for piece in pieces if piece)
            assert first == PIECES[0]
            assert server_generator.busy == 1

    def test_answer_cut_by_the_limit_says_so(self, server, server_generator):
        server.finish_reason = "length"

        assert read(server_generator.generate(request_for()))[1] == "length"

    def test_server_that_ignores_the_limit_is_cut_off(self, server, server_generator):
        server.pieces = ["x" * 1000] * 10
        pieces, reason = read(server_generator.generate(request_for(max_tokens=10)))

        assert (len("".join(pieces)), reason) == (320, "length")

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, GeneratorError),
            (401, GeneratorUnusable),
            (403, GeneratorUnusable),
            (404, GeneratorUnusable),
            (429, GeneratorOverloaded),
            (500, GeneratorError),
        ],
    )
    def test_each_refusal_becomes_an_error_of_ours(self, server, server_generator, status, error):
        server.status = status
        with pytest.raises(GeneratorError) as caught:
            list(server_generator.generate(request_for()))

        assert type(caught.value) is error
        assert caught.value.remedy

    def test_server_that_is_not_there_names_the_setting(self, server):
        server.close()
        with (
            closing(ServerGenerator(server.url, "small")) as generator,
            pytest.raises(GeneratorUnusable, match="METIER_GENERATOR_URL"),
        ):
            list(generator.generate(request_for()))

    def test_silent_server_is_a_timeout_and_its_place_is_free_again(self, server, server_generator):
        server.silent.set()
        with pytest.raises(GeneratorTimeout):
            list(
                server_generator.generate(request_for(deadlines=Deadlines.starting_now(first_token_s=0.3, answer_s=5)))
            )

        assert server.left_by_client.wait(2)
        assert server_generator.busy == 0

    def test_client_that_leaves_closes_the_connection_within_two_seconds(self, server, server_generator):
        server.pieces = ["word "] * 10_000
        server.pause_s = 0.01
        pieces = server_generator.generate(request_for(max_tokens=10_000))
        assert next(piece for piece in pieces if piece)
        pieces.close()

        assert server.left_by_client.wait(2)
        assert server_generator.busy == 0

    def test_more_questions_than_places_are_refused_at_once(self, server, server_generator):
        server.silent.set()
        waiting = [server_generator.generate(request_for()) for _ in range(2)]
        for pieces in waiting:
            next(pieces)
        with pytest.raises(GeneratorOverloaded):
            next(server_generator.generate(request_for()))
        for pieces in waiting:
            pieces.close()
