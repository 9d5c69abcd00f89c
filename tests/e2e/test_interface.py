"""The whole interface against its own description: requests drawn from it, valid and wrong, by three identities.

Schemathesis draws and checks; a real server answers. No answer may be an unhandled error, and each must have a status,
a media type and a schema that the description names for its route.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, strategies
from hypothesis import settings as drawing
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi import checks

from app import keys
from app.auth import PERMISSIONS
from app.server import openapi_document
from app.settings import AppSettings
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build
from indexing import principals
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import BOLD, LEAVE, QUESTION, listening, wait_until

if TYPE_CHECKING:
    from schemathesis import Case

pytestmark = [pytest.mark.network, pytest.mark.timeout(7200)]

ROOT = Path(__file__).parent.parent.parent
#: Requests sent; METIER_TEST_EXAMPLES asks for more.
REQUESTS = max(1_500, int(os.environ.get("METIER_TEST_EXAMPLES") or 0))
#: Where the draws begin: always there, so that a change fails for what it did; the longer version draws anew.
FIRST = random.randrange(2**32) if os.environ.get("METIER_TEST_EXAMPLES") else 0
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
#: The one server error that is an answer: "not ready yet".
EXPECTED = {("GET /readyz", 503)}
#: A golden set with a floor that nothing reaches: each run with something new is held.
GOLDEN = {"questions": [{"question": QUESTION, "answers": ["25 days"]}], "tolerance": 0, "floors": {"p95_ms": 0}}
#: Those that succeed with an identity provider only (tests/integration/test_sign_in.py), or with a signature.
SIGNED_IN = {
    "GET /v1/sign-in",
    "GET /v1/sign-in/callback",
    "POST /v1/first-admin",
    "POST /v1/sources/{source_id}/hook",
}
#: Fields that make a drawn body one that can be served.
AIMS: dict[str, dict[str, Any]] = {
    "POST /v1/ask": {"question": QUESTION, "specialist": "bold"},
    "POST /v1/search": {"question": QUESTION, "sources": []},
    "POST /v1/chat/completions": {"model": "bold", "messages": [{"role": "user", "content": QUESTION}], "n": 1},
    "POST /v1/keys": {"principal": "spare", "permissions": ["ask"]},
    "POST /v1/notifications": {
        "kind": "webhook",
        "address": "https://127.0.0.1/x",
        "server": None,
        "events": ["run_failed"],
        "secret": "hook",
    },
    "POST /v1/sources": {"name": "drawn", "kind": "push", "location": ""},
    "POST /v1/specialists": {"name": "drawn", "sources": [], "askers": []},
    "POST /v1/specialists/{name}/versions": {"sources": []},
    "PUT /v1/specialists/{name}/access": {"askers": ["everyone"], "curators": [], "audience": "asker"},
    "PUT /v1/specialists/{name}/golden": GOLDEN,
    "POST /v1/sources/{source_id}/sync": {"confirm_deletions": False},
    "PUT /v1/sources/{source_id}/schedule": {"cron": "0 6 * * *", "timezone": "UTC", "quiet": ""},
}
#: Never reached: it is refused before anything is sent.
TARGET = {"kind": "webhook", "address": "https://127.0.0.1/x", "secret": "hook"}


@dataclass
class Interface:
    """A server with something in it, and what there is: half of all ids that are sent are of things that exist."""

    url: str
    identities: dict[str, dict[str, str]]
    folder: str
    sessions: dict[str, requests.Session] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)

    def admin(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", headers=self.identities["admin"], timeout=30, **more)

    def fill(self) -> None:
        """Put in what is missing: at first everything, later what a request has deleted."""
        present = {s["name"]: s["id"] for s in self.admin("GET", "/v1/sources").json()["sources"]}
        for name, kind, location in (("handbook", "push", ""), ("tree", "folder", self.folder)):
            if name not in present:
                body = {"name": name, "kind": kind, "location": location}
                present[name] = self.admin("POST", "/v1/sources", json=body).json()["id"]
        stored = self.admin("PUT", f"/v1/sources/{present['handbook']}/documents/leave.md", data=LEAVE.encode())
        self.admin("POST", "/v1/specialists", json=BOLD)
        self.admin("PUT", "/v1/specialists/bold/golden", json=GOLDEN)
        Path(self.folder, "note.md").write_text(f"# Note\n\nThis is note {uuid.uuid4()}.", encoding="utf-8")
        run = self.admin("POST", f"/v1/sources/{present['tree']}/sync")
        for source_id in present.values():
            self.admin("PUT", f"/v1/sources/{source_id}/schedule", json={"cron": "0 6 * * *"})
        made = {"principal": "spare", "permissions": ["ask"]}
        self.ids = {
            "source_id": random.choice([present["handbook"], present["tree"]]),
            "pushed": present["handbook"],
            "answer_id": self.admin("POST", "/v1/ask", json={"question": QUESTION}).json()["answer_id"],
            "uri": "leave.md",
            "document_id": stored.json().get("document_id", 1),
            "run_id": run.json().get("id", self.ids.get("run_id", 1)),
            "name": "bold",
            "version": 1,
            "public_id": self.admin("POST", "/v1/keys", json=made).json()["id"],
            "target_id": self.admin("POST", "/v1/notifications", json=TARGET).json()["id"],
        }

    def aim(self, case: Case[Any]) -> None:
        """Point *case* at things that exist; whatever else its fields hold stays as it was drawn."""
        for name in set(case.path_parameters or {}) & set(self.ids):
            case.path_parameters[name] = self.ids[name]
        if "/documents/" in case.operation.path and "source_id" in case.path_parameters:
            case.path_parameters["source_id"] = self.ids["pushed"]
        if isinstance(case.body, dict):
            case.body |= AIMS.get(case.operation.label, {})
            if "answer_id" in case.body:
                case.body["answer_id"] = self.ids["answer_id"]
        elif case.operation.label.startswith("PUT "):
            case.body = LEAVE.encode()

    def keep_to_the_folder(self, case: Case[Any]) -> None:
        """No folder of this machine becomes a source, but ours."""
        readers = (case.query or {}).get("readers")
        if isinstance(readers, list):  # an address of more than 64 KB is refused before it reaches the application
            case.query["readers"] = [each[:50] if isinstance(each, str) else each for each in readers[:5]]
        elif isinstance(readers, str):
            case.query["readers"] = readers[:50]
        if case.operation.label == "POST /v1/sources" and isinstance(case.body, dict):
            place = case.body.get("location")
            if isinstance(place, str) and place.strip() and os.path.isdir(os.path.expanduser(place.split("\0")[0])):  # noqa: PTH111, PTH112
                case.body["location"] = self.folder

    def send(self, case: Case[Any], identity: str) -> Any:
        session = self.sessions.setdefault(identity, requests.Session())
        return case.call(base_url=self.url, session=session, headers=self.identities[identity], timeout=60)


def serve(data: Path, written: Path) -> None:
    """Serve a program of fakes with an admin and a reader, in a process of its own, and write down how to reach it."""
    identities: dict[str, dict[str, str]] = {"nobody": {}}
    parts = build(
        AppSettings.load(data_dir=data, port=0, api_token="master"),
        embedder=HashEmbedder(),
        parsers=FakeParsers(),
        reads=WordReader(),
        generator=ScriptedGenerator(("Every employee has 25 days ", "of paid leave [1].")),
    )
    with parts.catalog.transaction() as session:
        principals.add_principal(session, "user", "spare", role="reader")
        for role in ("admin", "reader"):
            owner = principals.add_principal(session, "user", role, role=role)
            _, text = keys.create_key(session, owner, PERMISSIONS)
            identities[role] = {"Authorization": f"Bearer {text}"}
    with listening(parts) as url:
        unfinished = written.with_suffix(".part")
        unfinished.write_text(json.dumps([url, identities]), encoding="utf-8")
        unfinished.rename(written)
        threading.Event().wait()


@pytest.fixture
def interface(sqlite_url, tmp_path):
    """An interface with an admin, a reader and nobody; the keys that they use are not among the ids that are sent."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE, encoding="utf-8")
    written = tmp_path / "server.json"
    log = tmp_path / "server.log"
    code = "import sys, pathlib; from tests.e2e.test_interface import serve; serve(*map(pathlib.Path, sys.argv[1:]))"
    with log.open("w") as output:
        arguments = [sys.executable, "-c", code, str(tmp_path / "data"), str(written)]
        process = subprocess.Popen(arguments, stdout=output, stderr=output, cwd=ROOT)
    try:
        wait_until(lambda: written.exists() or process.poll() is not None)
        assert written.exists(), log.read_text(encoding="utf-8")
        url, identities = json.loads(written.read_text(encoding="utf-8"))
        yield Interface(url, identities, str(folder))
    finally:
        process.kill()
        process.wait()


def problems_of(case: Case[Any], response: Any, *, mended: bool) -> list[str]:
    """Return what is wrong with an answer, in words; a wrong request that was *mended* on its way may be accepted."""
    label = case.operation.label
    refusal = [] if mended or response.status_code == 413 else [checks.negative_data_rejection]
    found = []
    if response.status_code >= 500 and (label, response.status_code) not in EXPECTED:
        found.append(f"{label}: {response.status_code} {response.text[:300]}\n{case.as_curl_command()}")
    try:
        case.validate_response(response, checks=[*CHECKS, *refusal])
    except BaseExceptionGroup as group:
        found += [
            f"{label}: {response.status_code} {failure}\n{case.as_curl_command()}" for failure in group.exceptions
        ]
    return found


def test_every_answer_is_one_that_the_description_names(interface):
    """At least 1,500 requests over all routes, half valid and half wrong, half of the ids of things that exist."""
    schema: Any = schemathesis.openapi.from_dict(openapi_document())
    operations = [operation.ok() for operation in schema.get_all_operations()]
    takes_something = [o for o in operations if o.body or o.path_parameters or o.query]
    answers: Counter[tuple[str, str, int]] = Counter()
    wrong: dict[str, str] = {}
    tried: set[str] = set()
    interface.fill()

    def ask(case: Case[Any], aimed: bool, identity: str) -> None:
        if case.operation.label not in tried:  # whatever is drawn: once as somebody who may, at something that is there
            tried.add(case.operation.label)
            aimed, identity = True, "admin"
        if aimed:
            interface.aim(case)
        interface.keep_to_the_folder(case)
        response = interface.send(case, identity)
        answers[case.operation.label, identity, response.status_code] += 1
        for each in problems_of(case, response, mended=aimed):
            wrong.setdefault(each[:120], each)
        if case.method == "DELETE" and response.status_code == 204:
            interface.fill()

    drawn = [(o, GenerationMode.POSITIVE) for o in operations] + [(o, GenerationMode.NEGATIVE) for o in takes_something]
    for number, (operation, mode) in enumerate(drawn):
        once = operation not in takes_something  # nothing to vary: the three identities are all there is
        test = given(
            operation.as_strategy(generation_mode=mode),
            strategies.booleans(),
            strategies.sampled_from(("admin", "admin", "reader", "nobody")),
        )(ask)
        options = drawing(
            max_examples=10 if once else REQUESTS // len(takes_something) // 2 + 1,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(FIRST + number)(options(test))()

    assert not wrong, "\n\n".join(wrong.values())
    assert sum(answers.values()) >= REQUESTS * 0.95
    assert {label for label, _, _ in answers} == {o.label for o in operations}
    assert {identity for _, identity, _ in answers} == {"admin", "reader", "nobody"}
    succeeded = {label for label, _, status in answers if status < 300}
    never = {o.label for o in operations} - SIGNED_IN - succeeded
    assert len(never) <= 3, never  # what was drawn before may stand in the way: a list of readers, a deletion
