"""The program as it is installed: real weights, real parsers, real processes; indexing and asking without a network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any

import httpx
import openai
import pytest

from tests.faces import CONGES, LEAVE, sse_events, wait_until

pytestmark = pytest.mark.network

#: Runs the command line in a process that cannot make an internet socket, and says if it tried.
OFFLINE = """
import socket, sys
def deny(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        raise SystemExit(f"denied: {event} {args}")
    if event == "socket.connect" and args[0].family != socket.AF_UNIX:
        raise SystemExit(f"denied: {event} {args[1]}")
sys.addaudithook(deny)
from app.cli import main
main(sys.argv[1:])
"""
QUESTION = "How many days of paid leave does every employee have?"
QUESTION_FR = "À combien de jours de congés payés chaque salarié a-t-il droit ?"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of documents in two languages and the environment of a fresh installation beside it."""
    root = tmp_path_factory.mktemp("program")
    folder = root / "handbook"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE, encoding="utf-8")
    (folder / "conges.md").write_text(CONGES, encoding="utf-8")
    (folder / "parking.txt").write_text("The car park in Lyon opens at six in the morning.", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 this is not a document")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "METIER_DATA_DIR": str(root / "data"),
        "HF_HUB_OFFLINE": "1",
        "METIER_PARSE_WORKERS": "1",
    }
    return root, folder, environment


@pytest.fixture(scope="module")
def first_run(place):
    """The output of ``metier quickstart``, in a process that cannot reach any network."""
    root, folder, environment = place
    return subprocess.run(
        [sys.executable, "-c", OFFLINE, "quickstart", str(folder), "--no-serve", "--question", QUESTION],
        capture_output=True,
        text=True,
        cwd=root,
        env=environment | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
        check=False,
        timeout=200,
    )


@pytest.fixture(scope="module")
def server(place, first_run):
    """Start ``metier serve`` on a free port and yield its address."""
    root, _, environment = place
    log = root / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", "0"],
            stderr=stderr,
            cwd=root,
            env=environment | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
        )
    try:
        wait_until(lambda: "serves on" in log.read_text() or process.poll() is not None, within_s=120)
        found = re.search(r"http://[^ ]+", log.read_text())
        assert found, log.read_text()
        wait_until(lambda: up(found[0]), within_s=120)
        yield found[0], log
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def up(url):
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_quickstart_prints_a_cited_answer_without_any_network(first_run):
    assert first_run.returncode == 0, first_run.stderr
    assert "denied" not in first_run.stderr
    assert "25 days of paid leave" in first_run.stdout
    assert "[1] Leave policy (handbook: leave.md)" in first_run.stdout
    assert "3 added" in first_run.stdout
    assert "1 failed" in first_run.stdout
    assert "broken.pdf" in first_run.stderr


@pytest.mark.parametrize(("question", "uri"), [(QUESTION, "leave.md"), (QUESTION_FR, "conges.md")], ids=["en", "fr"])
def test_the_server_answers_in_the_language_of_the_question(server, question, uri):
    answer = httpx.post(f"{server[0]}/v1/ask", json={"question": question}, timeout=60).json()

    assert "25" in answer["text"]
    assert [c["uri"] for c in answer["citations"]] == [uri]
    assert answer["language"] == ("fr" if uri == "conges.md" else "en")


def test_the_server_streams(server):
    with httpx.stream(
        "POST", f"{server[0]}/v1/ask", json={"question": QUESTION, "stream": True}, timeout=60
    ) as response:
        events = sse_events(response.read().decode())

    assert events[0][0] == "sources"
    assert json.loads(events[-1][1])["finish_reason"] == "stop"


def test_the_openai_client_is_served(server):
    with openai.OpenAI(base_url=f"{server[0]}/v1", api_key="unused", max_retries=0) as client:
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        whole = client.chat.completions.create(model="metier", messages=messages)
        streamed: Any = client.chat.completions.create(model="metier", messages=messages, stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in streamed if c.choices)

    assert whole.choices[0].message.content == text
    assert "[1] Leave policy" in text


def test_an_edited_file_is_answered_from_after_a_run_and_failures_are_listed(server, place):
    url, _ = server
    parking = place[1] / "parking.txt"
    parking.write_text("The car park in Lyon opens at seven in the morning.", encoding="utf-8")

    run = httpx.post(f"{url}/v1/sources/1/sync", timeout=60).json()
    with httpx.stream("GET", f"{url}/v1/runs/{run['id']}/events", timeout=120) as response:
        events = sse_events(response.read().decode())
    found = httpx.post(f"{url}/v1/search", json={"question": "When does the car park open?"}, timeout=60).json()
    failures = httpx.get(f"{url}/v1/failures").json()["failures"]

    report = json.loads(events[-1][1])["report"]
    assert (report["changed"], report["chunks_embedded"]) == (1, 1)
    assert "seven" in found["passages"][0]["text"]
    assert [f["uri"] for f in failures] == ["broken.pdf"]


def test_watching_indexes_an_edit_and_stops_at_ctrl_c(place, first_run):
    root, folder, environment = place
    log = root / "watch.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "sync", "--watch"],
            stdout=output,
            stderr=output,
            cwd=root,
            env=environment | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
        )
    try:
        wait_until(lambda: "Watching" in log.read_text() or process.poll() is not None, within_s=120)
        (folder / "new.txt").write_text("Badges are renewed at the front desk on Mondays.", encoding="utf-8")
        wait_until(lambda: "1 added" in log.read_text() or process.poll() is not None, within_s=120)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_the_log_holds_ids_and_no_text(server):
    url, log = server
    httpx.post(f"{url}/v1/ask", json={"question": QUESTION}, timeout=60)
    wait_until(lambda: '"action": "request"' in log.read_text())

    written = log.read_text(encoding="utf-8")
    assert "paid leave" not in written
    assert "leave.md" not in written
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert any(line.get("action") == "request" and line["status"] == 200 for line in lines)
    assert {line["level"] for line in lines} <= {"info", "warning"}
