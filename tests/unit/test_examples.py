"""The example handbook and its golden questions belong together: what a question expects is in the documents."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HANDBOOK = EXAMPLES / "handbook"
SOURCES = EXAMPLES / "sources"
PLAIN = {".csv", ".html", ".json", ".md", ".rst", ".txt"}
LINES = (EXAMPLES / "golden.jsonl").read_text("utf-8").splitlines()
GOLDEN: list[dict[str, Any]] = [json.loads(line) for line in LINES]
ANSWERABLE = [entry for entry in GOLDEN if entry["answerable"]]


def documents() -> list[Path]:
    return sorted(path for path in HANDBOOK.rglob("*") if path.is_file())


def readable(name: str) -> str:
    """Return the text of a document in one line: itself when it is plain, else the source that it is built from."""
    path = HANDBOOK / name
    if path.suffix in PLAIN:
        parts = [path]
    else:
        parts = [*SOURCES.glob(f"{name}.md"), *SOURCES.glob(f"{name}.txt")]
        attached = re.findall(r"^Attachment: (.+)$", parts[0].read_text("utf-8"), flags=re.MULTILINE)
        parts += [found for file in attached for found in (SOURCES / name).parent.glob(f"{file}*")]
    text = " ".join(part.read_text("utf-8") for part in parts)
    if path.suffix == ".html":
        text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    return " ".join(text.replace("*", "").split())


def test_sixty_questions_with_unique_ids() -> None:
    assert len(GOLDEN) == 60
    assert len({entry["id"] for entry in GOLDEN}) == 60
    assert len({entry["question"] for entry in GOLDEN}) == 60


def test_a_third_is_french_and_a_fifth_has_no_answer() -> None:
    assert {entry["language"] for entry in GOLDEN} == {"en", "fr"}
    assert sum(entry["language"] == "fr" for entry in GOLDEN) >= 20
    unanswerable = [entry for entry in GOLDEN if not entry["answerable"]]
    assert len(unanswerable) == 12
    assert {entry["language"] for entry in unanswerable} == {"en", "fr"}
    assert not any(entry["answers"] or entry["documents"] for entry in unanswerable)


def test_few_questions_cross_languages() -> None:
    assert sum(entry.get("cross_language", False) for entry in GOLDEN) <= 3


@pytest.mark.parametrize("entry", ANSWERABLE, ids=lambda entry: entry["id"])
def test_first_answer_stands_word_for_word_in_an_expected_document(entry: dict[str, Any]) -> None:
    assert entry["answers"]
    assert entry["documents"]
    assert [name for name in entry["documents"] if not (HANDBOOK / name).is_file()] == []
    answer = re.compile(rf"(?<!\w){re.escape(entry['answers'][0])}(?!\w)")
    assert any(answer.search(readable(name)) for name in entry["documents"])


def test_questions_cover_most_documents_and_every_format() -> None:
    asked = {name for entry in ANSWERABLE for name in entry["documents"]}
    assert len(asked) >= 0.7 * len(documents())
    assert {Path(name).suffix for name in asked} == {path.suffix for path in documents()}


def test_forty_documents_in_many_formats_and_little_space() -> None:
    assert len(documents()) >= 40
    assert len({path.suffix for path in documents()}) >= 8
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 3_000_000


def test_every_built_document_has_its_source_and_every_source_its_document() -> None:
    built = {path.relative_to(HANDBOOK).as_posix() for path in documents() if path.suffix not in PLAIN}
    named = {path.relative_to(SOURCES).with_suffix("").as_posix() for path in SOURCES.rglob("*.*.*")}
    assert built == named - {"mail/seal-examination-report.pdf"}  # is attached to a mail, not a document of its own


def test_readme_lists_every_document() -> None:
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    assert [name for path in documents() if (name := path.relative_to(HANDBOOK).as_posix()) not in readme] == []
