"""REST: sources, runs, failures, pushed documents."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from indexing.errors import EncryptedDocument
from tests.faces import CONGES, LEAVE, QUESTION, face, sse_events, wait_until


@pytest.fixture
def open_face(settings, sqlite_url):
    with face(settings(max_file_mb=1)) as found:
        yield found


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "documents"
    (found / "hr").mkdir(parents=True)
    (found / "hr" / "leave.md").write_text(LEAVE, encoding="utf-8")
    (found / "hr" / "congés.md").write_text(CONGES, encoding="utf-8")
    return found


def finished(open_face, run_id):
    wait_until(lambda: open_face.http.get(f"/v1/runs/{run_id}").json()["state"] != "running")
    return open_face.http.get(f"/v1/runs/{run_id}").json()


def test_a_folder_is_planned_synchronised_and_planned_again(open_face, folder):
    http = open_face.http
    source_id = open_face.add_source("handbook", "folder", str(folder))

    before = http.post(f"/v1/sources/{source_id}/plan").json()
    started = http.post(f"/v1/sources/{source_id}/sync")
    run = finished(open_face, started.json()["id"])
    after = http.post(f"/v1/sources/{source_id}/plan").json()

    assert sorted(before["new"]) == ["hr/congés.md", "hr/leave.md"]
    assert started.status_code == 202
    assert (run["state"], run["report"]["added"]) == ("succeeded", 2)
    assert (after["new"], after["unchanged"]) == ([], 2)
    assert http.post("/v1/search", json={"question": "congés payés"}).json()["passages"][0]["uri"] == "hr/congés.md"


def test_a_run_is_watched_until_it_is_done(open_face, folder):
    source_id = open_face.add_source("handbook", "folder", str(folder))
    run_id = open_face.http.post(f"/v1/sources/{source_id}/sync").json()["id"]

    events = sse_events(open_face.http.get(f"/v1/runs/{run_id}/events").text)

    assert events[-1][0] == "done"
    assert '"state": "succeeded"' in events[-1][1]


def test_a_second_run_of_a_source_is_refused_while_the_first_goes_on(open_face, folder):
    source_id = open_face.add_source("handbook", "folder", str(folder))

    def slow(path, _workdir):
        wait_until(lambda: release)
        raise EncryptedDocument

    release: list[bool] = []
    open_face.parsers.answers["leave.md"] = slow
    open_face.parsers.answers["hr/leave.md"] = slow
    first = open_face.http.post(f"/v1/sources/{source_id}/sync")
    second = open_face.http.post(f"/v1/sources/{source_id}/sync")
    removed = open_face.http.delete(f"/v1/sources/{source_id}")
    release.append(True)

    assert (first.status_code, second.status_code, removed.status_code) == (202, 409, 409)
    assert finished(open_face, first.json()["id"])["report"]["failed"] == 1


def test_what_could_not_be_read_is_a_failure_with_a_remedy(open_face, folder):
    open_face.parsers.answers["leave.md"] = EncryptedDocument()
    open_face.parsers.answers["hr/leave.md"] = EncryptedDocument()
    source_id = open_face.add_source("handbook", "folder", str(folder))

    run = finished(open_face, open_face.http.post(f"/v1/sources/{source_id}/sync").json()["id"])
    failures = open_face.http.get("/v1/failures", params={"source_id": source_id}).json()["failures"]

    assert run["report"]["failed"] == 1
    assert [(f["uri"], f["error"], f["stage"]) for f in failures] == [("hr/leave.md", "EncryptedDocument", "parse")]
    assert failures[0]["remedy"]


def test_a_run_of_a_folder_that_went_away_fails_and_deletes_nothing(open_face, folder):
    source_id = open_face.add_source("handbook", "folder", str(folder))
    finished(open_face, open_face.http.post(f"/v1/sources/{source_id}/sync").json()["id"])
    folder.rename(folder.with_name("elsewhere"))

    started = open_face.http.post(f"/v1/sources/{source_id}/sync")
    run = finished(open_face, started.json()["id"])

    assert run["state"] == "failed"
    assert str(folder) in run["error"]
    assert len(open_face.http.get("/v1/documents").json()["documents"]) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x", "kind": "folder", "location": "/no/such/folder"}, 409),
        ({"name": "x", "kind": "folder"}, 409),
        ({"name": "x", "kind": "bucket"}, 400),
        ({"name": "../x", "kind": "push"}, 422),
        ({"name": "x", "kind": "push", "acl_id": 1}, 422),
        ({"name": "taken", "kind": "push"}, 409),
    ],
    ids=["missing folder", "no folder", "kind", "name", "mass assignment", "taken"],
)
def test_a_source_that_cannot_be_is_refused(open_face, body, status):
    open_face.add_source("taken")

    response = open_face.http.post("/v1/sources", json=body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_a_pushed_document_is_found_by_the_next_question_and_gone_after_its_deletion(open_face):
    source_id = open_face.add_source()

    first = open_face.push(source_id, "hr/leave.md")
    found = open_face.http.post("/v1/search", json={"question": QUESTION}).json()["passages"]
    again = open_face.push(source_id, "hr/leave.md", LEAVE.replace("25", "30"))
    changed = open_face.http.post("/v1/search", json={"question": QUESTION}).json()["passages"]
    gone = open_face.http.delete(f"/v1/sources/{source_id}/documents/hr/leave.md")
    after = open_face.http.post("/v1/search", json={"question": QUESTION}).json()["passages"]

    assert (first.status_code, again.status_code, gone.status_code) == (201, 200, 204)
    assert first.json()["document_id"] == again.json()["document_id"]
    assert "25 days" in found[0]["text"]
    assert "30 days" in changed[0]["text"]
    assert after == []
    assert open_face.http.get(f"/v1/sources/{source_id}/documents/hr/leave.md").status_code == 404


def test_a_document_larger_than_the_limit_is_refused_and_nothing_is_kept(open_face, settings):
    source_id = open_face.add_source()

    def endless():
        for _ in range(40):
            yield b"x" * 65_536

    declared = open_face.http.put(f"/v1/sources/{source_id}/documents/big.txt", content=b"x" * (2 << 20))
    chunked = open_face.http.put(f"/v1/sources/{source_id}/documents/big.txt", content=endless())

    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert "METIER_MAX_FILE_MB" in declared.json()["remedy"]
    assert open_face.http.get("/v1/documents").json()["documents"] == []
    assert list((open_face.parts.settings.data_dir / "incoming").iterdir()) == []


@pytest.mark.parametrize("uri", ["%00", "a%00b", "a//b", "..%2Fx", "%20", "mail.eml!/x.pdf", "a%0Ab", "x" * 1100])
def test_a_name_that_cannot_name_a_document_is_refused(open_face, uri):
    source_id = open_face.add_source()

    response = open_face.http.put(f"/v1/sources/{source_id}/documents/{uri}", content=b"text")

    assert response.status_code in {400, 404, 422}


def test_an_empty_document_and_one_without_text_are_refused(open_face):
    source_id = open_face.add_source()

    empty = open_face.http.put(f"/v1/sources/{source_id}/documents/empty.txt", content=b"")
    blank = open_face.http.put(f"/v1/sources/{source_id}/documents/blank.txt", content=b"  \n ")

    assert (empty.status_code, blank.status_code) == (400, 422)
    assert blank.json()["remedy"]


def test_a_folder_s_documents_are_not_pushed_or_deleted_here(open_face, folder):
    source_id = open_face.add_source("handbook", "folder", str(folder))

    pushed = open_face.push(source_id, "x.md")
    deleted = open_face.http.delete(f"/v1/sources/{source_id}/documents/hr/leave.md")

    assert (pushed.status_code, deleted.status_code) == (409, 409)


def test_documents_are_listed_a_page_at_a_time(open_face):
    source_id = open_face.add_source()
    for number in range(3):
        open_face.push(source_id, f"{number}.md", f"# Document {number}\n\nText number {number}.")

    first = open_face.http.get("/v1/documents", params={"limit": 2}).json()
    second = open_face.http.get("/v1/documents", params={"limit": 2, "after": first["next_after"]}).json()

    assert [d["uri"] for d in first["documents"]] == ["0.md", "1.md"]
    assert ([d["uri"] for d in second["documents"]], second["next_after"]) == (["2.md"], None)


def test_a_document_s_text_is_a_download_that_no_browser_renders(open_face):
    source_id = open_face.add_source()
    document_id = open_face.push(source_id, 'ré "x".html', "<script>alert(1)</script>").json()["document_id"]

    response = open_face.http.get(f"/v1/documents/{document_id}/content")

    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


def test_of_a_document_s_text_what_a_citation_points_at_can_be_read_alone(open_face):
    source_id = open_face.add_source()
    document_id = open_face.push(source_id, "leave.md", "Everyone has 25 days. Ask in time.").json()["document_id"]

    def read(**where):
        return open_face.http.get(f"/v1/documents/{document_id}/content", params=where).text

    assert read(start=13, end=20) == "25 days"
    assert read(start=22) == "Ask in time."
    assert read(start=9999) == ""
    assert open_face.http.get(f"/v1/documents/{document_id}/content", params={"start": -1}).status_code == 422


@pytest.mark.parametrize("number", ["0", "-1", "x", str(2**63), "9" * 30, "7"])
@pytest.mark.parametrize(
    "path", ["/v1/sources/{}", "/v1/documents/{}", "/v1/documents/{}/content", "/v1/runs/{}", "/v1/runs/{}/events"]
)
def test_an_id_of_nothing_is_not_found_or_not_an_id(open_face, path, number):
    response = open_face.http.get(path.format(number))

    assert response.status_code == (404 if number == "7" else 422)


def test_a_removed_source_takes_its_documents_along(open_face):
    source_id = open_face.filled()

    removed = open_face.http.delete(f"/v1/sources/{source_id}")

    assert removed.status_code == 204
    assert open_face.http.get("/v1/documents").json()["documents"] == []
    assert open_face.http.post("/v1/search", json={"question": QUESTION}).json()["passages"] == []


def test_a_full_disk_is_507_loses_nothing_and_passes_by_itself(open_face):
    source_id = open_face.filled()
    engine = open_face.parts.catalog.engine
    full = [True]

    @event.listens_for(engine, "connect")
    def limit(connection, _record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages if full[0] else 1_000_000}")

    engine.dispose()
    refused = open_face.push(source_id, "big.md", "# Big\n\n" + "Many words about leave. " * 800)
    still = open_face.http.post("/v1/search", json={"question": QUESTION})
    full[0] = False
    engine.dispose()
    stored = open_face.push(source_id, "big.md", "# Big\n\nMany words about leave.")

    assert refused.status_code == 507
    assert refused.json()["type"] == "urn:metier:problem:storage-full"
    assert still.json()["passages"][0]["uri"] == "hr/leave.md"
    assert stored.status_code == 201
