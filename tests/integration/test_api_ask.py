"""REST: asking, searching, feedback, specialists; on a real catalog and index, with fakes for the models."""

from __future__ import annotations

import json

import pytest

from app.errors import GeneratorOverloaded
from app.testing import ScriptedGenerator
from tests.faces import QUESTION, face, sse_events


@pytest.fixture
def open_face(settings, sqlite_url):
    with face(settings()) as found:
        yield found


def problem_of(response):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == response.status_code
    return body


def test_an_answer_comes_with_citations_of_exact_characters(open_face):
    source_id = open_face.filled()

    answer = open_face.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold"}).json()

    assert answer["text"] == "Every employee has 25 days of paid leave. [1]"
    cited = answer["citations"][0]
    document = open_face.http.get(f"/v1/sources/{source_id}/documents/hr/leave.md").json()
    text = open_face.http.get(f"/v1/documents/{document['id']}/content").text
    assert text[cited["start"] : cited["end"]] == cited["quote"]
    assert (answer["finish_reason"], answer["specialist"], answer["abstained"]) == ("stop", "bold", None)


def test_the_same_answer_streams_as_events(open_face):
    open_face.filled()

    streamed = open_face.http.post(
        "/v1/ask", json={"question": QUESTION, "specialist": "bold"}, headers={"Accept": "text/event-stream"}
    )
    events = [(name, json.loads(data)) for name, data in sse_events(streamed.text)]

    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert list(dict.fromkeys(name for name, _ in events)) == ["sources", "quick", "token", "citations", "done"]
    assert "".join(d["text"] for n, d in events if n == "token") == "Every employee has 25 days of paid leave. [1]"
    assert events[-1][1]["finish_reason"] == "stop"


def test_stream_true_in_the_body_streams_too(open_face):
    open_face.filled()

    streamed = open_face.http.post("/v1/ask", json={"question": QUESTION, "stream": True})

    assert sse_events(streamed.text)[-1][0] == "done"


def test_a_question_that_the_documents_do_not_answer_is_an_abstention_with_the_closest_passages(open_face):
    open_face.filled()
    open_face.http.post("/v1/specialists", json={"name": "careful", "threshold": 1})

    answer = open_face.http.post("/v1/ask", json={"question": QUESTION, "specialist": "careful"}).json()

    assert answer["finish_reason"] == "abstained"
    assert answer["citations"] == []
    assert answer["abstained"]["reason"] == "below_threshold"
    assert answer["abstained"]["closest"]


def test_a_failed_generator_leaves_the_quick_answer_standing(settings, sqlite_url):
    generator = ScriptedGenerator(("never",), fails_at=0, error=GeneratorOverloaded())
    with face(settings(), generator=generator) as busy:
        busy.filled()
        response = busy.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold"})
        streamed = busy.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold", "stream": True})

    assert response.status_code == 200
    answer = response.json()
    assert (answer["generator"], answer["finish_reason"], answer["unsupported"]) == ("reader", "stop", 0)
    assert answer["text"].startswith("25. [1] The documents say: “")
    events = [(name, json.loads(data)) for name, data in sse_events(streamed.text)]
    assert [name for name, _ in events] == ["sources", "quick", "kept", "done"]
    assert events[2][1] == {"reason": "failed", "text": answer["text"], "citations": answer["citations"]}


def test_asking_before_anything_is_indexed_says_what_to_do(open_face):
    response = open_face.http.post("/v1/ask", json={"question": QUESTION})

    assert response.status_code == 409
    assert "metier sync" in problem_of(response)["remedy"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": ""}, "question"),
        ({"question": "   \n"}, "question"),
        ({}, "question"),
        ({"question": "x", "scope": [1]}, "scope"),
        ({"question": 7}, "question"),
        ({"question": "a\u0000b"}, "question"),
        ({"question": "x", "history": [{"role": "system", "text": "x"}]}, "history.0.role"),
    ],
    ids=["empty", "blank", "absent", "unknown field", "number", "NUL", "role"],
)
def test_a_body_that_cannot_be_used_names_the_field(open_face, body, field):
    response = open_face.http.post("/v1/ask", json=body)

    assert response.status_code == 422
    assert field in [f["field"] for f in problem_of(response)["fields"]]


def test_half_a_surrogate_pair_is_refused_and_not_repeated(open_face):
    response = open_face.http.post(
        "/v1/ask", content=b'{"question": "a \\ud800 b"}', headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 422
    assert problem_of(response)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
def test_a_question_of_100_000_characters_is_too_long_and_says_how_long_is_not(open_face, path, stream):
    body = {"question": "x" * 100_000} | ({"stream": stream} if path == "/v1/ask" else {})

    response = open_face.http.post(path, json=body)

    assert response.status_code == 422
    assert "4000" in problem_of(response)["detail"].replace(",", "")


@pytest.mark.parametrize("content", [b"\xff\xfe{", b'{"question": "\xe9"}', b"{", b"[]", b""])
def test_a_body_that_is_no_utf_8_json_object_is_refused(open_face, content):
    response = open_face.http.post("/v1/ask", content=content, headers={"Content-Type": "application/json"})

    assert response.status_code in {400, 422}
    assert problem_of(response)


def test_a_body_above_the_limit_is_refused(open_face):
    response = open_face.http.post("/v1/ask", json={"question": "x" * (2 << 20)})

    assert response.status_code == 413
    assert problem_of(response)


@pytest.mark.parametrize("stream", [True, False])
def test_an_unknown_specialist_is_not_found(open_face, stream):
    response = open_face.http.post("/v1/ask", json={"question": "x", "specialist": "nobody", "stream": stream})

    assert response.status_code == 404
    assert "nobody" in problem_of(response)["detail"]


def test_unknown_addresses_and_methods_are_problems_too(open_face):
    assert open_face.http.get("/v1/nothing").status_code == 404
    assert problem_of(open_face.http.get("/v1/nothing"))
    wrong = open_face.http.delete("/v1/ask")
    assert wrong.status_code == 405
    assert problem_of(wrong)


def test_search_returns_permitted_passages_of_the_named_sources(open_face):
    open_face.filled()
    empty = open_face.add_source("other")
    assert empty

    found = open_face.http.post("/v1/search", json={"question": "paid leave", "sources": ["handbook"]}).json()
    none = open_face.http.post("/v1/search", json={"question": "paid leave", "sources": ["other"]}).json()
    unknown = open_face.http.post("/v1/search", json={"question": "paid leave", "sources": ["nowhere"]})

    assert found["passages"][0]["uri"] == "hr/leave.md"
    assert none["passages"] == []
    assert unknown.status_code == 404


def test_feedback_is_stored_for_an_own_answer_only(open_face):
    open_face.filled()
    answer = open_face.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold"}).json()

    given = open_face.http.post("/v1/feedback", json={"answer_id": answer["answer_id"], "helpful": True})
    unknown = open_face.http.post("/v1/feedback", json={"answer_id": "no-such-answer", "helpful": True})

    assert (given.status_code, unknown.status_code) == (201, 404)


def test_a_specialist_is_created_versioned_rolled_back_and_deleted(open_face):
    http = open_face.http
    open_face.add_source()

    made = http.post("/v1/specialists", json={"name": "hr", "sources": ["handbook"], "instructions": "Be brief."})
    second = http.post("/v1/specialists/hr/versions", json={"instructions": "Be long."})
    versions = http.get("/v1/specialists/hr/versions").json()["specialists"]
    back = http.post("/v1/specialists/hr/versions/1/promote")
    now = http.get("/v1/specialists/hr").json()
    gone = http.delete("/v1/specialists/hr")

    assert (made.status_code, made.json()["version"]) == (201, 1)
    assert (second.status_code, second.json()["version"]) == (201, 2)
    assert [v["version"] for v in versions] == [1, 2]
    assert back.json()["version"] == now["version"] == 1
    assert gone.status_code == 204
    assert http.get("/v1/specialists/hr").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "metier"}, 409),
        ({"name": "Not A Name"}, 400),
        ({"name": "x", "sources": ["nowhere"]}, 400),
        ({"name": "x", "top_k": 0}, 422),
        ({"name": "x", "threshold": 2}, 422),
        ({"name": "x", "id": 1}, 422),
    ],
    ids=["built in", "name", "source", "top_k", "threshold", "mass assignment"],
)
def test_a_specialist_that_cannot_be_is_refused(open_face, body, status):
    response = open_face.http.post("/v1/specialists", json=body)

    assert response.status_code == status
    assert problem_of(response)


def test_metrics_count_questions_by_outcome_and_tell_no_text(open_face):
    open_face.filled()
    open_face.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold"})

    metrics = open_face.http.get("/metrics").text

    assert 'metier_questions_total{outcome="stop"} 1.0' in metrics
    assert "metier_documents 1.0" in metrics
    assert "metier_answers_in_progress 0.0" in metrics
    assert "leave" not in metrics


def test_health_is_always_up_and_readiness_tells_the_state(open_face):
    open_face.filled()
    open_face.http.post("/v1/search", json={"question": "leave"})

    health = open_face.http.get("/healthz")
    ready = open_face.http.get("/readyz").json()

    assert health.json()["status"] == "ok"
    assert (ready["status"], ready["catalog"]) == ("ready", "ok")
    assert ready["seq"] == ready["indexed_through"] == 1
