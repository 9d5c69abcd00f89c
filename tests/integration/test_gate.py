"""The gate over the whole program: what makes answers worse is not served, and nobody sees it while it waits."""

from __future__ import annotations

import json
import re

import pytest

from app.cli import main
from app.errors import GeneratorError
from app.ingest import indexing_of
from app.reader import Reader
from app.testing import ScriptedGenerator
from indexing import runs, store, store_candidate
from indexing.pipeline import sync_source
from indexing.tables import Table
from tests.faces import face, wait_until

FILES = {
    "leave.md": "# Paid leave\n\nEveryone has 25 days of paid leave each year. Unused days expire on 31 March.",
    "office.md": "# Lyon office\n\nThe Lyon office opens at 8:30. Badges are issued by reception.",
    "pump.md": "# Pump\n\nThe Corvane pump weighs 12 kilos. The Corvane pump is tested every six months.",
}
LEAVE = "How many days of paid leave does everyone have each year?"
ASKED = (
    {"id": "leave", "question": LEAVE, "documents": ["leave.md"], "answers": ["25 days"]},
    {"id": "office", "question": "At what time does the Lyon office open?", "documents": ["handbook:office.md"]},
    {"id": "pump", "question": "How many kilos does the Corvane pump weigh?", "answers": ["12 kilos"]},
    {"id": "far", "question": "What is the capital of Mongolia?", "answerable": False},
)
CANARY = "zyzzyva"
#: It says something else of leave, for sure, in new words; and there is a new document.
WORSE = {
    "leave.md": f"# {CANARY}title\n\nEveryone has {CANARY} days of paid leave each year. Try {CANARY}soup.",
    f"{CANARY}file.md": f"# {CANARY}\n\nOf {CANARY} nobody has heard.",
}
BETTER = {"leave.md": FILES["leave.md"] + "\n\nEveryone has 25 days of paid leave each year, says the union."}


class Company:
    """A face with a folder that is synchronised, and a golden set that guards it."""

    def __init__(self, opened, folder):
        self.face, self.http, self.parts, self.folder = opened, opened.http, opened.parts, folder
        self.write(FILES)
        made = self.http.post("/v1/sources", json={"name": "handbook", "kind": "folder", "location": str(folder)})
        self.source_id = made.json()["id"]
        assert self.sync()["state"] == "succeeded"
        kept = self.http.put("/v1/specialists/metier/golden", json={"questions": ASKED})
        assert kept.status_code == 200, kept.text

    def write(self, files):
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")

    def sync(self, **how):
        started = self.http.post(f"/v1/sources/{self.source_id}/sync", json=how)
        assert started.status_code == 202, started.text
        self.run_id = started.json()["id"]
        wait_until(lambda: self.run()["state"] != "running")
        wait_until(lambda: not self.face.http.app.state.synchronizations.is_running(self.source_id))
        return self.run()

    def run(self):
        return self.http.get(f"/v1/runs/{self.run_id}").json()

    def gate(self):
        return self.http.get(f"/v1/runs/{self.run_id}/gate")

    def answer(self, question=LEAVE):
        return self.http.post("/v1/ask", json={"question": question}).json()["text"]

    def waiting(self):
        """The ids of the candidate's documents."""
        with self.parts.catalog.reading() as session:
            twin = store_candidate.twin_of(session, self.source_id)
            assert twin is not None
            return twin, [each.id for each in store.known_documents(session, twin).values()]


@pytest.fixture
def company(settings, sqlite_url, tmp_path):
    folder = tmp_path / "handbook"
    folder.mkdir()
    with face(settings(api_token="master"), generator=Reader()) as opened:
        yield Company(opened, folder)


def doors(company, headers):
    """Yield the name and the whole answer of everything that can be asked with *headers*."""
    http = company.http
    twin, waiting = company.waiting()
    words = f"{CANARY} {CANARY}soup {CANARY}title leave"
    gets = ["sources", "documents", "runs", "failures", "specialists", "schedules", "models", "audit", "keys"]
    gets += [f"runs/{company.run_id}", f"runs/{company.run_id}/gate", "specialists/metier/golden"]
    gets += [
        f"sources/{company.source_id}",
        f"sources/{twin}",
        f"documents?source_id={twin}",
        f"failures?source_id={twin}",
    ]
    gets += [f"runs?source_id={twin}", f"documents?source_id={company.source_id}"]
    gets += [f"documents/{each}{more}" for each in waiting for more in ("", "/content")]
    for path in gets:
        yield path, http.get(f"/v1/{path}", headers=headers)
    for path in ("/metrics", "/readyz", "/v1/session"):
        yield path, http.get(path, headers=headers)
    yield "search", http.post("/v1/search", json={"question": words, "top_k": 50}, headers=headers)
    for sources in ([], ["handbook"]):
        yield "search", http.post("/v1/search", json={"question": words, "sources": sources}, headers=headers)
    for question in (f"What does {CANARY} serve?", LEAVE):
        yield "ask", http.post("/v1/ask", json={"question": question}, headers=headers)
        yield "stream", http.post("/v1/ask", json={"question": question, "stream": True}, headers=headers)
        chat = {"model": "metier", "messages": [{"role": "user", "content": question}]}
        yield "chat", http.post("/v1/chat/completions", json=chat, headers=headers)
        yield "chat stream", http.post("/v1/chat/completions", json=chat | {"stream": True}, headers=headers)


def keys_of(company):
    """Headers of the local user (an admin), and of a reader who may read the source."""
    from app import keys
    from app.auth import ROLES
    from indexing import grants, principals

    with company.parts.catalog.transaction() as session:
        ann = principals.add_principal(session, "user", "ann", role="operator")
        grants.set_readers(session, company.source_id, {1, ann.id})
        _, text = keys.create_key(session, ann, ROLES["operator"])
    return [{}, {"Authorization": f"Bearer {text}"}]


# --- what the gate decides ------------------------------------------------------------------------------------


def test_a_worse_candidate_is_not_served_and_the_report_names_the_questions(company):
    before = company.answer()
    company.write(WORSE)
    run = company.sync()

    assert "25 days" in before
    assert (run["state"], company.answer()) == ("held", before)
    gate = company.gate().json()
    (result,) = gate["specialists"]
    assert (gate["closes"], result["closes"], result["questions"]) == (True, True, 4)
    (worst,) = result["worse"]
    assert (worst["id"], worst["question"], worst["before"]) == ("leave", LEAVE, "right")
    assert worst["after"] == "wrong"
    assert worst["documents"] == [{"document": "leave.md", "before": 1, "after": 1}]
    assert result["better"] == []
    assert "Everyone has" not in company.gate().text  # neither answer is told: who operates need not be who reads


def test_a_good_candidate_is_served_and_answers_follow(company):
    parking = {
        "id": "parking",
        "question": "How many euros does the parking cost a month?",
        "documents": ["new.md"],
        "answers": ["30 euros"],
    }
    company.http.put("/v1/specialists/metier/golden", json={"questions": [*ASKED, parking]})
    company.write(BETTER | {"new.md": "# Parking\n\nThe parking costs 30 euros a month."})
    run = company.sync()

    assert run["state"] == "succeeded"
    assert "30 euros" in company.answer(parking["question"])
    gate = company.gate().json()
    assert (gate["closes"], gate["specialists"][0]["worse"]) == (False, [])
    (better,) = gate["specialists"][0]["better"]
    assert (better["id"], better["after"]) == ("parking", "right")
    assert better["documents"] == [{"document": "new.md", "before": None, "after": 1}]
    assert (
        "retrieval (nDCG@10) 0.00 → 1.00" in better["reasons"]
    )  # what only one of the two has is not found in the other


def test_what_would_be_lost_closes_the_gate_too(company):
    """A document whose new version cannot be read would be gone: the gate sees it, and it is served meanwhile."""
    before = company.answer()
    (company.folder / "leave.md").write_bytes(b"\xff\xfe\xff")
    run = company.sync()

    assert (run["state"], run["report"]["failed"], company.answer()) == ("held", 1, before)
    assert company.gate().json()["specialists"][0]["worse"][0]["documents"] == [
        {"document": "leave.md", "before": 1, "after": None}
    ]
    assert company.sync()["state"] == "held"  # though the bytes are not tried again


def test_a_floor_that_is_not_reached_holds_what_is_no_worse(company):
    asked = {"questions": ASKED, "floors": {"ndcg": 1.0, "p95_ms": 0.0001}}
    assert company.http.put("/v1/specialists/metier/golden", json=asked).status_code == 200
    company.write(BETTER)

    assert company.sync()["state"] == "held"
    floors = company.gate().json()["specialists"][0]["floors"]
    assert {each["name"]: each["holds"] for each in floors} == {"ndcg": True, "p95_ms": False}


def test_a_golden_set_guards_the_sources_of_its_specialist_and_no_others(company, tmp_path):
    assert company.http.delete("/v1/specialists/metier/golden").status_code == 204
    assert company.http.delete("/v1/specialists/metier/golden").status_code == 404
    other = company.face.add_source("other")
    assert other
    hr = {"name": "hr", "sources": ["other"]}
    assert company.http.post("/v1/specialists", json=hr).status_code == 201
    assert company.http.put("/v1/specialists/hr/golden", json={"questions": ASKED}).status_code == 200
    company.write(WORSE)

    assert company.sync()["state"] == "succeeded"
    assert company.gate().status_code == 404
    version = {"sources": ["handbook"]}
    assert company.http.post("/v1/specialists/hr/versions", json=version).status_code == 201
    company.write(BETTER)
    assert company.sync()["state"] == "succeeded"
    (result,) = company.gate().json()["specialists"]
    assert (result["specialist"], [each["id"] for each in result["better"]]) == ("hr", ["leave"])


def test_an_evaluation_that_cannot_be_made_holds_the_candidate(settings, sqlite_url, tmp_path):
    folder = tmp_path / "handbook"
    folder.mkdir()
    broken = ScriptedGenerator(("x",), fails_at=0, error=GeneratorError(f"The prompt was {CANARY}."))
    with face(settings(api_token="master"), generator=broken) as opened:
        company = Company(opened, folder)
        hr = {"name": "hr", "generator": "another"}
        assert company.http.post("/v1/specialists", json=hr).status_code == 201
        assert company.http.put("/v1/specialists/hr/golden", json={"questions": ASKED}).status_code == 200
        company.write(BETTER)

        assert company.sync()["state"] == "held"
        shown = company.gate()
    assert shown.json()["specialists"][0]["error"].startswith("It could not be measured")
    assert CANARY not in shown.text


def test_the_first_run_of_a_source_is_served_and_measured(company, tmp_path):
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nA has words.", encoding="utf-8")
    made = company.http.post("/v1/sources", json={"name": "second", "kind": "folder", "location": str(folder)})
    company.source_id = made.json()["id"]

    assert company.sync()["state"] == "succeeded"
    gate = company.gate().json()
    assert (gate["closes"], gate["specialists"][0]["worse"]) == (False, [])
    assert gate["specialists"][0]["measures"][0]["after"] is not None


# --- what is told ---------------------------------------------------------------------------------------------


def test_while_it_waits_nobody_gets_a_word_name_count_or_trace_of_a_candidate(company):
    headers = keys_of(company)
    company.write(WORSE)
    assert company.sync()["state"] == "held"
    twin, waiting = company.waiting()
    assert len(waiting) == 2

    asked = 0
    for own in headers:
        for name, answer in doors(company, own):
            asked += 1
            found = answer.text.replace(f"What does {CANARY} serve?", "")
            assert CANARY not in found.lower(), (name, answer.text)
            assert CANARY not in str(answer.headers)
        assert company.http.get(f"/v1/sources/{twin}", headers=own).status_code == 404
        listed = company.http.get("/v1/sources", headers=own).json()["sources"]
        assert [each["name"] for each in listed] == ["handbook"]
        assert len(company.http.get("/v1/documents", headers=own).json()["documents"]) == len(FILES)
        assert f"metier_documents {len(FILES)}.0" in company.http.get("/metrics", headers=own).text
        assert "metier_sources_held 1.0" in company.http.get("/metrics", headers=own).text
    assert asked > 60

    assert company.http.post(f"/v1/runs/{company.run_id}/publish").status_code == 200
    for own in headers:  # the same doors tell all of it now: it is not that they were asked the wrong things
        told = {
            name for name, answer in doors(company, own) if answer.status_code == 200 and CANARY in answer.text.lower()
        }
        assert told >= {"documents", "search", "ask", "stream", "chat", "chat stream"}


def test_no_answer_of_the_gate_is_kept_or_logged(company, log_lines):
    company.write(WORSE)
    company.sync()
    with company.parts.catalog.reading() as session:
        tables = {
            name: [str(row) for row in session.execute(table.select())]
            for name, table in Table.metadata.tables.items()
            if name not in {"document", "chunk", "embedding"}
        }

    assert not [name for name, rows in tables.items() if any(CANARY in row for row in rows)]
    assert tables["answer"] == []
    assert CANARY not in str(log_lines())


MASKED = re.compile(r'"(?:answer_id|id|seconds|created|indexed_through|permissions_synced_at)": ?("[^"]*"|[\d.]+)')


def test_a_held_candidate_changes_no_byte_of_any_answer(company):
    """Scores and all: BM25 counts words of what may be read only."""
    questions = [each["question"] for each in ASKED] + ["paid leave office pump canteen Mondays"]

    def replies():
        for question in questions:
            for path, body in (
                ("/v1/search", {"question": question, "top_k": 50}),
                ("/v1/ask", {"question": question}),
                ("/v1/ask", {"question": question, "stream": True}),
                ("/v1/chat/completions", {"model": "metier", "messages": [{"role": "user", "content": question}]}),
            ):
                yield MASKED.sub("", company.http.post(path, json=body).text)
        for path in ("/v1/documents", "/v1/sources", "/v1/specialists"):
            yield MASKED.sub("", company.http.get(path).text)

    before = list(replies())
    company.write(WORSE)
    assert company.sync()["state"] == "held"
    assert list(replies()) == before
    company.parts.index.publish(force=True)

    assert list(replies()) == before
    assert any("score" in reply for reply in before)


# --- publishing all the same ----------------------------------------------------------------------------------


def test_an_operator_publishes_what_is_held_once(company):
    company.write(WORSE)
    company.sync()
    published = company.http.post(f"/v1/runs/{company.run_id}/publish")

    assert (published.status_code, published.json()["documents"]) == (200, 2)
    assert CANARY in company.http.post("/v1/search", json={"question": CANARY}).text
    assert company.run()["state"] == "succeeded"
    assert company.http.post(f"/v1/runs/{company.run_id}/publish").status_code == 409
    lines = company.http.get("/v1/audit").json()
    assert "run.publish" in str(lines)
    assert company.http.post("/v1/runs/999/publish").status_code == 404
    assert company.http.get("/v1/runs/999/gate").status_code == 404


def test_a_forced_run_asks_no_gate(company):
    company.write(WORSE)

    assert company.sync(force=True)["state"] == "succeeded"
    assert company.gate().status_code == 404
    assert "source.force" in str(company.http.get("/v1/audit").json())
    assert CANARY in company.http.post("/v1/search", json={"question": CANARY}).text


def test_a_reader_of_the_source_may_neither_see_the_gate_nor_publish(company):
    from app import keys
    from app.auth import ROLES
    from indexing import grants, principals

    with company.parts.catalog.transaction() as session:
        bob = principals.add_principal(session, "user", "bob", role="reader")
        eve = principals.add_principal(session, "user", "eve", role="operator")
        grants.set_readers(session, company.source_id, {1, bob.id})
        reader, operator = (keys.create_key(session, who, ROLES[who.role])[1] for who in (bob, eve))
    company.write(WORSE)
    company.sync()

    for key, status in ((reader, 403), (operator, 404)):  # eve may operate, and may not read this source
        own = {"Authorization": f"Bearer {key}"}
        assert company.http.get(f"/v1/runs/{company.run_id}/gate", headers=own).status_code == status
        assert company.http.post(f"/v1/runs/{company.run_id}/publish", headers=own).status_code == status
    own = {"Authorization": f"Bearer {reader}"}
    assert company.http.get("/v1/specialists/metier/golden", headers=own).status_code == 403


# --- golden sets that are kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"questions": [{"question": "x"}]}, "nothing is expected"),
        ({"questions": [{"question": "x", "answers": ["y"], "answerable": False}]}, "it has no answer"),
        ({"questions": [ASKED[0], ASKED[0]]}, "there twice"),
        ({"questions": ASKED, "floors": {"nonsense": 1}}, "is no floor"),
    ],
)
def test_a_golden_set_that_cannot_be_used_is_refused_with_its_line(company, body, said):
    answer = company.http.put("/v1/specialists/metier/golden", json=body)

    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    kept = company.http.get("/v1/specialists/metier/golden").json()
    assert [each["id"] for each in kept["questions"]] == [each["id"] for each in ASKED]


def test_a_golden_set_goes_with_its_specialist(company):
    assert company.http.post("/v1/specialists", json={"name": "hr"}).status_code == 201
    assert company.http.put("/v1/specialists/hr/golden", json={"questions": ASKED}).status_code == 200
    assert company.http.delete("/v1/specialists/hr").status_code == 204

    assert company.http.get("/v1/specialists/hr/golden").status_code == 404
    assert company.http.put("/v1/specialists/hr/golden", json={"questions": ASKED}).status_code == 404
    company.write(BETTER)
    assert company.sync()["state"] == "succeeded"


# --- the command line -----------------------------------------------------------------------------------------


def test_the_command_line_keeps_shows_and_removes_golden_sets_and_shows_and_opens_gates(
    company, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("METIER_DATA_DIR", str(company.parts.settings.data_dir))
    for name, text in (
        ("set.jsonl", "\n".join(json.dumps(each) for each in ASKED)),
        ("set.csv", f"question;documents;answers;answerable\n{LEAVE};leave.md;25 days;\nWho is Zorg?;;;false\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        main_ok(["specialist", "golden", "metier", str(tmp_path / name), "--tolerance", "0.1", "--floor", "ndcg=0.1"])
        main_ok(["specialist", "golden", "metier"])
        assert (
            f"{name}: {4 if name.endswith('l') else 2} questions, tolerance 0.1, floors: ndcg=0.1"
            in capsys.readouterr().out
        )
    company.write(WORSE)
    assert company.sync()["state"] == "held"

    main_ok(["gate", str(company.run_id)])
    shown = capsys.readouterr().out
    assert LEAVE in shown
    assert "The gate is closed." in shown
    assert CANARY not in shown
    main_ok(["gate", str(company.run_id), "--json"])
    assert json.loads(capsys.readouterr().out)["closes"]
    assert main_fails(["publish", "handbook"])
    assert "--force" in capsys.readouterr().err
    main_ok(["runs"])
    assert "held" in capsys.readouterr().out
    main_ok(["publish", "handbook", "--force"])
    assert "2 documents changed" in capsys.readouterr().err
    assert main_fails(["publish", "handbook", "--force"])
    main_ok(["specialist", "golden", "metier", "--remove"])
    assert main_fails(["specialist", "golden", "metier"])


def main_ok(arguments):
    code: object = None
    try:
        main(arguments)
    except SystemExit as exc:
        code = exc.code
    assert not code, arguments


def main_fails(arguments):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    return raised.value.code


def test_every_face_runs_through_the_gate(company):
    """Server, schedules, command line and watching all take their indexing from one function."""
    assert indexing_of(company.parts).gate is not None
    company.write(WORSE)
    with company.parts.catalog.reading() as session:
        source = store.source_named(session, "handbook")
    assert source is not None
    assert sync_source(indexing_of(company.parts, None), source).state == runs.HELD
