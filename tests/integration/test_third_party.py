"""A kind of source from somebody else's package: the example of docs/write-a-source.md, as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

#: Runs one command for each line of its input, and prints its code and what it printed.
COMMANDS = """
import contextlib, io, json, sys
from app.cli import main
for line in sys.stdin:
    code, said = 0, io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(json.loads(line))
        except SystemExit as exc:
            code = exc.code or 0
    print(json.dumps([code, said.getvalue()]), flush=True)
"""
PAGE = Path(__file__).parents[2] / "docs" / "write-a-source.md"


@pytest.fixture
def metier(tmp_path):
    """Return a function that runs the command in a process where the example is installed."""
    example = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "NOTES =" in block
    )
    entry = re.search(r"```toml\n\[project\.entry-points\.\"(.*?)\"\]\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert entry is not None
    site = tmp_path / "site"
    (site / "metier_notes-1.0.dist-info").mkdir(parents=True)
    (site / "metier_notes.py").write_text(example)
    (site / "metier_notes-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: metier-notes\nVersion: 1.0\n"
    )
    points = f"[{entry[1]}]\n" + entry[2].replace('"', "") + "broken = metier_notes:NOTHING\n"
    (site / "metier_notes-1.0.dist-info" / "entry_points.txt").write_text(points)
    environment = {**os.environ, "PYTHONPATH": str(site), "METIER_DATA_DIR": str(tmp_path / "data")}

    command = [sys.executable, "-c", COMMANDS]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asked, told = process.stdin, process.stdout
        assert asked is not None
        assert told is not None

        def run(*arguments, rc=0):
            asked.write(json.dumps(arguments) + "\n")
            asked.flush()
            code, said = json.loads(told.readline())
            assert code == rc, said
            return said

        yield run
        asked.close()


def test_a_kind_of_another_package_is_listed_added_synchronised_and_searched(metier, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("leave = Everyone has 25 days of leave.\npay = Salaries are paid on the 28th.\n")

    listed = metier("sources", "kinds")
    assert "notes: a text file, a document for each line" in listed
    assert "'broken' cannot be loaded" in listed  # and hides none of the others
    metier("sources", "add", "team", str(notes), "--kind", "notes", "--option", "separator==")
    assert "2 added" in metier("sync", "team")

    notes.write_text("leave = Everyone has 26 days of leave.\npay = Salaries are paid on the 28th.\n")
    assert "1 changed" in metier("sync", "team")
    assert "26 days" in metier("search", "how many days of leave")


def test_what_a_kind_does_not_take_and_a_package_that_is_broken_are_told(metier, tmp_path):
    assert "has no option colour" in metier("sources", "add", "x", "f", "--kind", "notes", "--option", "colour=1", rc=1)
    assert "takes no secret" in metier("sources", "add", "x", "f", "--kind", "notes", "--secret", "s", rc=1)
    assert "Give the path" in metier("sources", "add", "x", " ", "--kind", "notes", rc=1)
    assert "cannot be loaded" in metier("sources", "add", "x", "f", "--kind", "broken", rc=1)
