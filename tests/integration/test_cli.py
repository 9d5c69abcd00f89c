"""The command line: what each command prints, and how each mistake ends. Mostly in this process, without models."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cli_serve import documents_of
from indexing import runs
from indexing.documents import Failure
from tests.commands import commands
from tests.faces import LEAVE

METIER = [sys.executable, "-m", "app.cli"]


@pytest.fixture
def metier(tmp_path, monkeypatch, capsys, sqlite_url):
    """Run one command beside a migrated, empty catalog."""
    return commands(tmp_path, monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "handbook"
    found.mkdir()
    (found / "leave.md").write_text(LEAVE, encoding="utf-8")
    return found


def error_of(result):
    """The one line that a mistake of the user gives."""
    code, out, err = result
    assert (code, out) == (1, "")
    assert err.count("\n") == 1, err
    assert err.startswith("Error: ")
    return err


def test_sources_are_added_listed_and_removed(metier, folder):
    assert metier("sources", "add", "handbook", folder)[0] == 0
    listed = json.loads(metier("sources", "list", "--json")[1])
    removed = metier("sources", "remove", "handbook")

    assert [(s["name"], s["location"], s["documents"]) for s in listed] == [("handbook", str(folder), 0)]
    assert removed[0] == 0
    assert "No sources yet" in metier("sources", "list")[2]


def test_retry_tries_a_parked_document_again_and_says_when_there_is_none(metier, folder, sqlite_catalog):
    metier("sources", "add", "handbook", folder)
    failure = Failure("odd.pdf", "parse", "ParseError", "It is broken.", "Mend it.", "0" * 64)
    with sqlite_catalog.transaction() as session:
        runs.record_failure(session, 1, None, failure, "v1", "pipeline")

    refused = error_of(metier("retry", "handbook", "other.pdf"))
    tried = metier("retry", "handbook")
    [after] = json.loads(metier("failures", "--json")[1])

    assert "metier failures handbook" in refused
    assert (tried[0], "tries 1 again" in tried[2]) == (0, True)
    assert (after["failure"]["uri"], after["attempts"]) == ("odd.pdf", 0)


def test_a_push_source_is_removed_only_after_a_yes(metier):
    metier("sources", "add", "inbox", "--kind", "push")

    assert "--yes" in error_of(metier("sources", "remove", "inbox"))
    assert metier("sources", "remove", "inbox", "--yes")[0] == 0


def test_a_missing_folder_is_named(metier):
    assert "/no/such/folder" in error_of(metier("sources", "add", "x", "/no/such/folder"))


def test_a_name_that_is_taken_is_said_to_be(metier, folder):
    metier("sources", "add", "handbook", folder)

    assert "already" in error_of(metier("sources", "add", "handbook", folder))


def test_an_unknown_setting_is_named(metier, monkeypatch):
    monkeypatch.setenv("METIER_DATADIR", "/tmp")

    assert "METIER_DATADIR" in error_of(metier("sources", "list"))


def test_an_unknown_setting_in_the_file_is_named(metier, tmp_path):
    (tmp_path / "metier.toml").write_text("prot = 1\n", encoding="utf-8")

    assert "prot" in error_of(metier("sources", "list"))


def test_an_address_that_others_reach_needs_a_token(metier):
    assert "api_token" in error_of(metier("serve", "--host", "0.0.0.0"))


def test_an_unknown_specialist_and_an_unknown_source_are_named(metier):
    assert "nobody" in error_of(metier("ask", "x", "--specialist", "nobody"))
    assert "nowhere" in error_of(metier("sync", "nowhere"))
    assert "nowhere" in error_of(metier("sources", "remove", "nowhere"))


def test_sync_without_sources_says_how_to_add_one(metier):
    assert "metier sources add" in error_of(metier("sync"))


@pytest.mark.parametrize("question", ["", "   ", "x" * 100_000], ids=["empty", "blank", "100,000 characters"])
def test_a_question_that_cannot_be_asked_is_refused_before_a_model_is_loaded(metier, question):
    started = time.monotonic()
    error_of(metier("ask", question))

    assert time.monotonic() - started < 5


def test_a_catalog_that_a_newer_version_wrote_is_left_alone(metier, tmp_path):
    with sqlite3.connect(tmp_path / "data" / "catalog.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from-the-future'")
    connection.close()
    before = (tmp_path / "data" / "catalog.db").read_bytes()

    assert "newer" in error_of(metier("sources", "list"))
    assert "newer" in error_of(metier("migrate"))
    assert (tmp_path / "data" / "catalog.db").read_bytes() == before


def test_a_database_that_cannot_be_reached_is_said_to_be(metier, monkeypatch):
    monkeypatch.setenv("METIER_DATABASE_URL", "postgresql+psycopg://user:sesame@127.0.0.1:1/x")

    assert "sesame" not in error_of(metier("sources", "list"))


def test_an_empty_data_directory_is_migrated_on_first_use(metier, tmp_path, monkeypatch):
    monkeypatch.setenv("METIER_DATA_DIR", str(tmp_path / "new" / "deep"))

    assert metier("sources", "list")[0] == 0
    assert (tmp_path / "new" / "deep" / "catalog.db").exists()


def test_a_data_directory_that_cannot_be_made_names_the_setting(metier, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("METIER_DATA_DIR", str(tmp_path / "file" / "data"))

    assert "METIER_DATA_DIR" in error_of(metier("sources", "list"))


def test_wrong_usage_is_exit_code_2(metier):
    assert metier("serve", "--port", "70000")[0] == 2
    assert metier("no-such-command")[0] == 2


def test_a_specialist_is_created_shown_and_deleted(metier, folder):
    metier("sources", "add", "handbook", folder)
    made = metier("specialist", "create", "hr", "--source", "handbook", "--instructions", "Be brief.")
    metier("specialist", "create", "hr", "--instructions", "Be long.", "--new-version")
    shown = json.loads(metier("specialist", "show", "hr", "--json")[1])
    names = [s["name"] for s in json.loads(metier("specialist", "list", "--json")[1])]

    assert made[0] == 0
    assert [s["version"] for s in shown] == [1, 2]
    assert names == ["metier", "hr"]
    assert metier("specialist", "delete", "hr")[0] == 0
    assert "hr" in error_of(metier("specialist", "show", "hr"))


def test_who_may_ask_a_specialist_is_granted_explained_and_revoked(metier):
    for name, kind in (("ann", "user"), ("bob", "user"), ("staff", "group")):
        metier("people", "add", name, "--kind", kind)
    metier("people", "join", "staff", "ann")
    assert metier("specialist", "create", "hr", "--asker", "bob")[0] == 0
    assert "bob may ask hr, through: bob." in metier("specialist", "explain", "bob", "hr")[1]
    assert (
        "ann may not ask hr. May ask it: bob, local. Curators: nobody."
        in metier("specialist", "explain", "ann", "hr")[1]
    )

    assert metier("specialist", "grant", "hr", "staff")[0] == 0
    assert "ann may ask hr, through: staff." in metier("specialist", "explain", "ann", "hr")[1]
    metier("specialist", "curator", "hr", "ann")
    metier("specialist", "audience", "hr", "public")
    assert "ann may ask and change hr, through: staff, ann." in metier("specialist", "explain", "ann", "hr")[1]
    told = metier("specialist", "access", "hr")[1]
    assert "May ask hr: bob, local, staff. Curators: ann." in told
    assert "It answers from what everyone may read, whoever asks." in told

    metier("specialist", "revoke", "hr", "staff")
    metier("specialist", "curator", "hr", "ann", "--remove")
    assert json.loads(metier("specialist", "access", "hr", "--json")[1]) == {
        "askers": ["bob", "local"],
        "curators": [],
        "audience": "public",
    }
    assert "Not on the list: staff" in error_of(metier("specialist", "revoke", "hr", "staff"))
    assert "audience belong to the specialist" in error_of(
        metier("specialist", "create", "hr", "--new-version", "--audience", "public")
    )


@pytest.mark.parametrize("command", [("ask", "x"), ("evaluate", "golden.jsonl")])
def test_a_local_user_who_is_no_operator_asks_only_the_specialists_that_are_granted(metier, tmp_path, command):
    (tmp_path / "golden.jsonl").write_text('{"question": "x", "documents": ["a.md"]}\n', encoding="utf-8")
    metier("specialist", "create", "hr")
    metier("specialist", "revoke", "hr", "local")
    metier("people", "role", "local", "reader")

    code, _, said = metier(*command, "--specialist", "hr")

    assert code != 0
    assert "There is no specialist called hr." in said


def test_runs_and_failures_are_empty_at_first(metier):
    assert json.loads(metier("runs", "--json")[1]) == []
    assert "No runs yet" in metier("runs")[2]
    assert "could be read" in metier("failures")[2]


def test_a_run_is_listed_shown_explained_and_what_has_ended_is_not_cancelled_or_resumed(metier, folder):
    metier("sources", "add", "handbook", folder)
    folder.rename(folder.with_name("elsewhere"))
    assert metier("sync")[0] == 1

    assert [run["id"] for run in json.loads(metier("runs", "list", "handbook", "--json")[1])] == [1]
    assert json.loads(metier("runs", "show", "1")[1])["holder"]
    explained = metier("runs", "explain", "1")[1]
    assert "failed: " in explained
    assert "`metier runs resume 1`" in explained
    assert "Run 1 has ended." in error_of(metier("runs", "cancel", "1"))
    assert metier("runs", "resume", "1")[0] == 1
    folder.with_name("elsewhere").rename(folder)
    (folder / "leave.md").unlink()
    assert metier("runs", "resume", "2")[0] == 0
    assert "nothing to go on with" in error_of(metier("runs", "resume", "3"))
    for command in ("show", "explain", "cancel", "resume"):
        assert "goes with its source" in error_of(metier("runs", command, "99"))


def test_a_run_of_another_process_is_cancelled_and_audited(metier, folder, sqlite_catalog):
    metier("sources", "add", "handbook", folder)
    with sqlite_catalog.transaction() as session:
        run_id = runs.start_run(session, 1)

    assert "ends after the documents" in metier("runs", "cancel", run_id)[2]
    assert "It was asked to stop" in metier("runs", "explain", run_id)[1]
    assert "run.cancel" in metier("audit", "list")[1]


def test_the_version_is_printed(metier):
    assert metier("--version")[1].startswith("metier 0.")


@pytest.mark.network
def test_a_port_in_use_is_named_before_models_are_loaded(metier):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        started = time.monotonic()
        error = error_of(metier("serve", "--port", port))

    assert str(port) in error
    assert "--port" in error
    assert "METIER_PORT" in error
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "command",
    [["--help"], ["sources", "list"], ["runs"], ["plan", "handbook"]],
    ids=["help", "sources", "runs", "plan"],
)
def test_commands_that_need_no_model_load_no_library_that_is_slow_to_load(command, metier, folder, tmp_path):
    metier("sources", "add", "handbook", folder)
    environment = {"METIER_DATA_DIR": str(tmp_path / "data"), "PATH": os.environ["PATH"]}
    probe = (
        "import sys; from app.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'faiss', 'unstructured', 'openai', 'fastapi'} & set(sys.modules)\n"
        "sys.stderr.write(f'\\n{sorted(heavy)}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, *command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path.cwd(),
        check=True,
    )

    assert done.stderr.splitlines()[-1] == "[]"


def test_a_plan_lists_what_a_run_would_do(metier, folder):
    metier("sources", "add", "handbook", folder)

    planned = metier("plan")[1]
    assert "1 new" in planned
    assert "Wh of the processor's" in planned
    assert "judging by measurements on two cores" in planned
    assert json.loads(metier("plan", "handbook", "--json")[1])[0]["new"] == ["leave.md"]
    assert json.loads(metier("sources", "list", "--json")[1])[0]["documents"] == 0


def test_doctor_finds_a_change_log_that_somebody_else_wrote_to(metier, tmp_path):
    healthy = metier("doctor", "--json")
    with sqlite3.connect(tmp_path / "data" / "catalog.db") as connection:
        connection.execute("UPDATE catalog SET log_hash = 'forged'")
    connection.close()
    ill = metier("doctor", "--json")

    states = {c["name"]: c["state"] for c in json.loads(healthy[1])}
    assert healthy[0] == 0, states
    assert {
        states[name] for name in ("settings", "catalog", "change log", "audit log", "model", "index", "generator")
    } == {"ok"}
    assert ill[0] == 1
    assert {c["name"]: c["state"] for c in json.loads(ill[1])}["change log"] == "failed"


def test_doctor_says_which_setting_is_wrong(metier, monkeypatch):
    monkeypatch.setenv("METIER_EMBED_MODEL", "./no-such-model")
    code, out, _ = metier("doctor")

    assert code == 1
    assert "METIER_EMBED_MODEL" in out


def test_quickstart_does_not_index_the_golden_set(tmp_path):
    (tmp_path / "handbook").mkdir()
    (tmp_path / "golden.jsonl").write_text("{}", encoding="utf-8")

    assert documents_of(tmp_path) == (tmp_path / "handbook", tmp_path / "golden.jsonl")
    assert documents_of(tmp_path / "handbook") == (tmp_path / "handbook", tmp_path / "golden.jsonl")
    assert documents_of(tmp_path.parent) == (tmp_path.parent, None)
