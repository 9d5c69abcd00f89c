"""Every kind of response carries the headers that keep a browser from doing anything with it."""

from __future__ import annotations

from typing import Any

from indexing.testing import HashEmbedder
from tests.faces import BOLD, QUESTION, face

#: Name → what its value must hold.
EXPECTED = {
    "x-content-type-options": ("nosniff",),
    "referrer-policy": ("no-referrer",),
    "content-security-policy": ("default-src 'none'", "frame-ancestors 'none'", "sandbox"),
    "cross-origin-resource-policy": ("same-origin",),
    "cache-control": ("no-store",),
    "x-request-id": ("",),
}
TOKEN = {"Authorization": "Bearer master"}
ASKED = {"question": QUESTION, "specialist": BOLD["name"]}

#: Kind → method, path, arguments, and the status and media type that show that it is this kind.
KINDS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "JSON": ("GET", "/v1/sources", {}, 200, "application/json"),
    "health": ("GET", "/healthz", {"headers": {}}, 200, "application/json"),
    "readiness": ("GET", "/readyz", {"headers": {}}, 200, "application/json"),
    "metrics": ("GET", "/metrics", {}, 200, "text/plain"),
    "description": ("GET", "/openapi.json", {}, 200, "application/json"),
    "answer": ("POST", "/v1/ask", {"json": ASKED}, 200, "application/json"),
    "events": ("POST", "/v1/ask", {"json": ASKED | {"stream": True}}, 200, "text/event-stream"),
    "chat": (
        "POST",
        "/v1/chat/completions",
        {"json": {"model": "bold", "messages": [{"role": "user", "content": QUESTION}], "stream": True}},
        200,
        "text/event-stream",
    ),
    "download": ("GET", "/v1/documents/1/content", {}, 200, "text/plain"),
    "no address": ("GET", "/nowhere", {}, 404, "application/problem+json"),
    "no path": ("GET", "//v1//sources", {}, 404, "application/problem+json"),
    "no method": ("PATCH", "/v1/sources", {}, 405, "application/problem+json"),
    "preflight": (
        "OPTIONS",
        "/v1/ask",
        {"headers": {"Origin": "https://evil.example"}},
        405,
        "application/problem+json",
    ),
    "nobody": ("GET", "/v1/sources", {"headers": {}}, 401, "application/problem+json"),
    "not found": ("GET", "/v1/sources/99", {}, 404, "application/problem+json"),
    "invalid": ("POST", "/v1/ask", {"json": {}}, 422, "application/problem+json"),
    "no JSON": ("POST", "/v1/ask", {"content": b"{"}, 422, "application/problem+json"),
    "too large": ("POST", "/v1/ask", {"content": b"x" * (1 << 21)}, 413, "application/problem+json"),
    "no model": ("GET", "/v1/models/none", {}, 404, "application/json"),
    "bad host": ("GET", "/v1/sources", {"headers": {"Host": "a b"}}, 400, "application/problem+json"),
    "nothing": ("DELETE", "/v1/specialists/bold", {}, 204, "application/json"),
}


def test_every_kind_of_response_has_the_security_headers(settings, sqlite_url):
    wrong = {}
    with face(settings(api_token="master")) as found:
        found.filled()
        found.http.post("/v1/search", json={"question": QUESTION})  # the index is open: /readyz says so
        found.http.headers.pop("Authorization")
        for kind, (method, path, arguments, status, media_type) in KINDS.items():
            headers = {"Content-Type": "application/json"} | arguments.get("headers", TOKEN)
            sent = {name: value for name, value in arguments.items() if name != "headers"}
            response = found.http.request(method, path, **sent, headers=headers)
            shown = (response.status_code, response.headers.get("content-type", "").partition(";")[0])
            lacking = [
                name
                for name, parts in EXPECTED.items()
                if name not in response.headers or not all(part in response.headers[name] for part in parts)
            ]
            opened = [name for name in response.headers if name.startswith("access-control-") or name == "server"]
            if shown != (status, media_type) or lacking or opened:
                wrong[kind] = (shown, lacking, opened)

    assert wrong == {}


class Crashing(HashEmbedder):
    """Fails in a way that nobody expects, once a question says so."""

    def embed_questions(self, questions):
        if "crash" in questions[0]:
            raise RuntimeError(f"the text of a secret document: {questions[0]}")
        return super().embed_questions(questions)


def test_an_error_that_nobody_expected_has_them_too(settings, sqlite_url):
    with face(settings(), embedder=Crashing()) as found:
        found.filled()
        response = found.http.post("/v1/search", json={"question": "crash"})

    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in response.text
    assert all(part in response.headers[name] for name, parts in EXPECTED.items() for part in parts)


def test_a_document_s_content_is_a_download_in_a_sandbox_whatever_it_is_called(settings, sqlite_url):
    names = ["x.html", "x.svg", 'a"; filename="b.html', "a\u202egnp.html", "é.xhtml", "..\\x.hta", "x" * 200 + ".html"]
    with face(settings()) as found:
        source_id = found.add_source()
        for name in names:
            pushed = found.push(source_id, name, f"<script>alert({len(name)})</script>")
            if pushed.status_code != 201:  # a name that cannot be shown is no name
                assert pushed.status_code == 400
                continue
            response = found.http.get(f"/v1/documents/{pushed.json()['document_id']}/content")
            disposition = response.headers["content-disposition"]

            assert disposition.startswith("attachment; filename*=UTF-8''")
            assert disposition.endswith(".txt")
            assert not set('"\\/\r\n ;') & set(disposition.partition("''")[2])
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            assert "sandbox" in response.headers["content-security-policy"]
