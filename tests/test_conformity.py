"""The page for buyers claims nothing without a file that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "conformite.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| Thème", "| Principe", "| Obligation"))
]
_FILE = re.compile(r"`((?:app|indexing|tests|docs)/[\w./]+)`")


def test_the_page_has_its_four_tables():
    assert len(ROWS) > 20
    assert {len(row) for row in ROWS} == {4}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_what_is_said_to_be_done_names_files_that_exist(row):
    _, state, proof, _ = row
    named = _FILE.findall(proof)

    assert re.match(r"fait|partiel|non fait|à votre charge", state)
    assert named or not state.startswith(("fait", "partiel"))
    assert [name for name in named if not (ROOT / name).exists()] == []
