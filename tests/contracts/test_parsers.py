"""What synchronisation relies on in whatever reads files, the fake included."""

from __future__ import annotations

import pytest

from indexing.errors import EmptyDocument, ParseError
from indexing.parse import ParserPool
from indexing.testing import FakeParsers


@pytest.fixture(params=["ParserPool", "FakeParsers"], scope="module")
def parsers(request, tmp_path_factory):
    if request.param == "FakeParsers":
        yield FakeParsers()
        return
    from indexing.settings import IndexingSettings

    with ParserPool(IndexingSettings(data_dir=tmp_path_factory.mktemp("data"))) as pool:
        yield pool


@pytest.fixture
def parse(parsers, tmp_path):
    """Return a function that parses text under a name."""

    def parsed(name, content):
        (tmp_path / "content").write_bytes(content)
        (tmp_path / "attachments").mkdir(exist_ok=True)
        return parsers.parse(tmp_path / "content", name, None, tmp_path / "attachments")

    return parsed


def test_headings_and_paragraphs_come_in_order_with_their_path(parse):
    parsed = parse("a.md", "# Congés\n\nVingt-cinq jours.\n\n## RTT\n\nOnze jours.\n".encode())

    assert [block.text for block in parsed.blocks] == ["Congés", "Vingt-cinq jours.", "RTT", "Onze jours."]
    assert [block.kind == "title" for block in parsed.blocks] == [True, False, True, False]
    assert [block.heading_path for block in parsed.blocks] == [(), ("Congés",), ("Congés",), ("Congés", "RTT")]
    assert parsed.title == "Congés"


@pytest.mark.parametrize("content", [b"", b" \n\n "])
def test_a_file_without_text_is_an_error_and_no_empty_success(parse, content):
    with pytest.raises(EmptyDocument):
        parse("a.md", content)


def test_what_cannot_be_read_is_a_parse_error_with_a_remedy(parse):
    with pytest.raises(ParseError) as caught:
        parse("a.xyz", bytes(range(256)) * 4)
    assert caught.value.remedy
