"""One abuser and nine others: the abuser gets no more than a share, and the others all of theirs."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading

import httpx
import pytest

from app import keys
from app.errors import TooManyRequests
from app.quotas import Quotas
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing import grants, principals, store
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import BOLD, LEAVE, QUESTION, face, listening, wait_until

ASKED = {"question": QUESTION, "specialist": "bold"}


def add_people(catalog, count=10):
    """Return the headers of that many readers, each with two keys, who may read every source."""
    found, ids = [], []
    with catalog.transaction() as session:
        for number in range(count):
            owner = principals.add_principal(session, "user", f"reader-{number}", role="reader")
            texts = [keys.create_key(session, owner, {"ask", "read"})[1] for _ in range(2)]
            found.append([{"Authorization": f"Bearer {text}"} for text in texts])
            ids.append(owner.id)
        for source in store.sources(session):
            grants.set_readers(session, source.id, ids)
    return found


@contextlib.contextmanager
def served(settings, generator, **limits):
    """Yield the address of a server with a document, and its people."""
    parts = build(
        settings(port=0, api_token="master", **limits),
        embedder=HashEmbedder(),
        parsers=FakeParsers(),
        reads=WordReader(),
        generator=generator,
    )
    try:
        with listening(parts) as url:
            with httpx.Client(base_url=url, headers={"Authorization": "Bearer master"}) as admin:
                admin.post("/v1/sources", json={"name": "handbook", "kind": "push"}).raise_for_status()
                admin.put("/v1/sources/1/documents/leave.md", content=LEAVE.encode()).raise_for_status()
                admin.post("/v1/specialists", json=BOLD).raise_for_status()
            yield url, add_people(parts.catalog)
    finally:
        close(parts)


def test_requests_past_the_limit_are_refused_with_the_seconds_to_wait_and_others_are_not(settings, sqlite_url):
    with face(settings(api_token="master", requests_per_minute=20)) as found:
        abuser, *normal = add_people(found.parts.catalog)
        statuses = [found.http.get("/v1/models", headers=abuser[n % 2]).status_code for n in range(60)]
        others = [
            found.http.post("/v1/search", json={"question": QUESTION}, headers=header).status_code
            for header, _ in normal
            for _ in range(5)
        ]
        refused = found.http.get("/v1/sources", headers=abuser[0])
        openai = found.http.get("/v1/models", headers=abuser[1])
        open_to_all = found.http.get("/healthz", headers=abuser[0])

    assert statuses == [200] * 20 + [429] * 40
    assert set(others) == {200}
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:metier:problem:too-many-requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (openai.status_code, openai.json()["error"]["code"]) == (429, "too_many_requests")
    assert open_to_all.status_code == 200


@pytest.mark.network
def test_an_abuser_takes_no_more_answers_than_its_share_and_nine_others_are_answered(settings, sqlite_url):
    generator = Hanging()
    with served(settings, generator, answers_at_once=2) as (url, (abuser, *normal)), contextlib.ExitStack() as held:
        for header in abuser:
            client = held.enter_context(httpx.Client(timeout=30))
            held.enter_context(client.stream("POST", f"{url}/v1/ask", json=ASKED | {"stream": True}, headers=header))
        wait_until(lambda: generator.holding == 2)
        refused = [httpx.post(f"{url}/v1/ask", json=ASKED, headers=header, timeout=30) for header in abuser * 10]
        openai = httpx.post(
            f"{url}/v1/chat/completions",
            json={"model": "bold", "messages": [{"role": "user", "content": QUESTION}]},
            headers=abuser[0],
            timeout=30,
        )
        generator.hangs.clear()
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            ask = lambda header: httpx.post(f"{url}/v1/ask", json=ASKED, headers=header, timeout=60).status_code  # noqa: E731
            others = list(pool.map(ask, [header for header, _ in normal]))
        held.close()
        wait_until(lambda: httpx.post(f"{url}/v1/ask", json=ASKED, headers=abuser[0], timeout=30).status_code == 200)

    assert {r.status_code for r in refused} == {429}
    assert {r.headers["retry-after"] for r in refused} == {"2"}
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert openai.json()["error"]["code"] == "too_many_requests"
    assert set(others) == {200}


class Hanging(ScriptedGenerator):
    """Answers, or waits before the first piece while ``hangs`` is set."""

    def __init__(self):
        super().__init__(("Every employee has 25 days ", "of paid leave [1]."))
        self.hangs = threading.Event()
        self.hangs.set()
        self.holding = 0

    def generate(self, request):
        if not self.hangs.is_set():
            return (yield from super().generate(request))
        self.holding += 1
        return (yield from ScriptedGenerator(self.pieces, hangs_at=0).generate(request))


def test_a_place_is_given_back_however_the_answer_ends():
    quotas = Quotas(None, 1)
    for _ in range(3):
        with contextlib.suppress(RuntimeError), quotas.answering(1):
            with pytest.raises(TooManyRequests), quotas.answering(1):
                pass
            with quotas.answering(2):
                raise RuntimeError


def test_without_limits_nothing_is_refused():
    quotas = Quotas(None, None)
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            quotas.admit(1)
            stack.enter_context(quotas.answering(1))


def test_as_many_threads_as_there_are_get_exactly_the_places():
    quotas, outcomes = Quotas(50, 5), []
    barrier, done = threading.Barrier(16), threading.Event()

    def take(_):
        barrier.wait()
        admitted = 0
        for _ in range(10):
            with contextlib.suppress(TooManyRequests):
                quotas.admit(1)
                admitted += 1
        try:
            with quotas.answering(1):
                outcomes.append("place")
                done.wait(10)
        except TooManyRequests:
            outcomes.append("refused")
            if len(outcomes) == 16:
                done.set()
        return admitted

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        admitted = sum(pool.map(take, range(16)))

    assert admitted == 50
    assert (outcomes.count("place"), outcomes.count("refused")) == (5, 11)
