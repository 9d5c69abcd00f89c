"""Notion against a server with its documented shapes: what is text, what is gone, and what a bad service cannot do."""

from __future__ import annotations

import uuid

import pytest

from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.pipeline import Indexing, sync_source
from indexing.sources import SourceContext
from indexing.sources import notion as module
from indexing.sources.notion import workspace_address
from indexing.store import source_named
from indexing.testing import FakeParsers, HashEmbedder, kinds_of, listed
from tests.sources.loopback import Answer
from tests.sources.notion import block, refusal, rich, workspace

pytestmark = pytest.mark.network

OLD = "2024-05-01T10:00:00.000Z"


@pytest.fixture
def waits():
    return []


@pytest.fixture
def world(sqlite_catalog, settings, waits):
    with workspace(SourceContext(sqlite_catalog, settings()), waits) as found:
        yield found


@pytest.fixture
def run(sqlite_catalog, settings):
    """Return a function that synchronises the source into the catalog."""

    def synced(source):
        indexing = Indexing(sqlite_catalog, HashEmbedder(), FakeParsers(), settings(), kinds_of(notion=source))
        with sqlite_catalog.reading() as session:
            record = source_named(session, "place")
        assert record is not None
        return sync_source(indexing, record)

    return synced


@pytest.fixture
def text(world, tmp_path):
    """Return a function for the Markdown of the only page."""

    def fetched():
        source = world[2]
        (item,) = listed(source).items
        return source.fetch(item, tmp_path).path.read_text(encoding="utf-8")

    return fetched


def uris(source):
    return [item.uri for item in listed(source).items]


# --- text ---------------------------------------------------------------------------------------------------------


def test_blocks_are_markdown_in_their_order_and_nested_ones_too(world, text):
    row = [block("table_row", cells=[rich(cell) for cell in cells]) for cells in (("Site", "Days|h"), ("Lyon", "25"))]
    world[0].put(
        "Leave",
        block("heading_2", "Rules"),
        block("paragraph", "First."),
        block("bulleted_list_item", "one", block("bulleted_list_item", "below", block("to_do", "deep", checked=True))),
        block("divider"),
        block("toggle", "More", block("paragraph", "hidden in a toggle")),
        block("code", "a = 1", language="python"),
        block("table", "", *row, table_width=2),
        block("child_page", title="Another page"),
        block("image", caption=rich("A plan of the site")),
        block("equation", expression="e = mc^2"),
        block("column_list", "", block("column", "", block("paragraph", "in a column"))),
        block("invented", "by its text"),
    )

    assert text() == (
        "# Leave\n\n## Rules\n\nFirst.\n\n- one\n\n  - below\n\n    - [x] deep\n\nMore\n\nhidden in a toggle\n\n"
        "```\na = 1\n```\n\n| Site | Days\\|h |\n| --- | --- |\n| Lyon | 25 |\n\nA plan of the site\n\ne = mc^2\n\n"
        "in a column\n\nby its text\n"
    )


def test_a_row_of_a_database_has_its_properties(world, text):
    properties = {
        "Owner": {"type": "people", "people": [{"object": "user", "id": "u", "name": "Ann"}, {"object": "user"}]},
        "State": {"type": "status", "status": {"name": "Done"}},
        "Tags": {"type": "multi_select", "multi_select": [{"name": "a"}, {"name": "b"}]},
        "Due": {"type": "date", "date": {"start": "2026-01-01", "end": "2026-02-01"}},
        "Count": {"type": "number", "number": 0},
        "Paid": {"type": "checkbox", "checkbox": False},
        "Sum": {"type": "formula", "formula": {"type": "string", "string": "12 €"}},
        "All": {"type": "rollup", "rollup": {"type": "array", "array": [{"type": "number", "number": 3}]}},
        "Note": {"type": "rich_text", "rich_text": rich("two\nlines")},
        "Link": {"type": "url", "url": None},
        "Other": {"type": "relation", "relation": [{"id": "x"}]},
        "Odd": ["x"],
        "Odder": {"type": ["x"]},
    }
    world[0].put("Task", properties=properties)

    assert text() == (
        "# Task\n\n- Owner: Ann\n- State: Done\n- Tags: a, b\n- Due: 2026-01-01 – 2026-02-01\n- Count: 0\n- Paid: no\n"
        "- Sum: 12 €\n- All: 3\n- Note: two lines\n"
    )


def test_a_long_page_is_read_to_its_end_and_one_without_a_title_too(world, text):
    world[0].put("", *(block("paragraph", f"line {number}") for number in range(12)))

    assert text().split("\n\n") == ["# Untitled", *(f"line {number}" for number in range(11)), "line 11\n"]


def test_a_page_with_too_many_or_too_deep_blocks_is_a_failure_and_the_others_are_read(world, run, tmp_path):
    service, _, source = world
    nested = block("paragraph", "at the bottom")
    for _ in range(module.MOST_DEPTH + 2):
        nested = block("toggle", "x", nested)
    service.put("deep", nested)
    service.put("flat", block("paragraph", "x"))

    report = run(source)

    assert (report.state, report.added) == ("succeeded", 1)
    assert [failure.error for failure in report.failures] == ["ParseLimit"]
    with pytest.raises(ParseLimit, match="too many blocks"):
        source.fetch(next(item for item in listed(source).items if item.uri == report.failures[0].uri), tmp_path)


# --- what is gone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{"archived": True}, {"in_trash": True}, {"archived": None}])
def test_what_is_archived_or_in_the_trash_is_not_content(world, tmp_path, extra):
    service, _, source = world
    service.put("a", block("paragraph", "x"))
    (item,) = listed(source).items
    service.pages["a"].extra = extra

    assert uris(source) == []
    with pytest.raises(ItemUnreadable, match="gone"):
        source.fetch(item, tmp_path)


def test_a_page_that_the_search_leaves_out_is_gone_only_when_notion_says_so(world, run):
    service, site, source = world
    for name in ("a", "b", "c", "d"):
        service.put(name, block("paragraph", name))
    assert run(source).added == 4
    service.unfound = {"a", "b", "c", "d"}
    service.pages["b"].extra = {"in_trash": True}
    site.first[f"/v1/pages/{service.pages['d'].number.replace('-', '')}"] = [refusal(403, "restricted_resource")]
    del service.pages["c"]

    report = run(source)

    assert (report.state, report.deleted, report.unchanged) == ("succeeded", 3, 1)


def test_an_outage_while_stored_pages_are_asked_for_deletes_nothing(world, run):
    service, _, source = world
    service.put("a", block("paragraph", "a"))
    run(source)
    service.unfound, service.down = {"a"}, True

    report = run(source)

    assert (report.state, report.deleted) == ("failed", 0)


def test_a_second_edit_in_one_minute_is_seen_and_an_old_page_is_not_read_to_be_listed(world):
    service, site, source = world
    page = service.put("a", block("paragraph", "one"), edited=OLD)
    before = listed(source).items[0].version_tag
    assert before == OLD
    assert not any("/blocks/" in path for path in site.paths())

    service.put("a", block("paragraph", "two"))
    fresh = listed(source).items[0].version_tag
    service.put("a", block("paragraph", "three"), edited=service.pages["a"].edited)
    again = listed(source).items[0].version_tag

    assert len({before, fresh, again}) == 3
    assert service.pages["a"].number == page.number


# --- outages and lies ---------------------------------------------------------------------------------------------


def test_requests_keep_a_distance_and_a_busy_service_is_waited_for(world, waits):
    service, site, source = world
    service.put("a", edited=OLD)
    site.first["/v1/search"] = [refusal(429, "rate_limited", Retry_After="9")]

    assert len(uris(source)) == 1
    uris(source)

    assert waits[:2] == [0.0, 9.0]
    assert 0 < waits[2] <= module.PAUSE_S


def test_a_token_that_is_not_accepted_is_the_state_of_the_run(sqlite_catalog, settings, run):
    with workspace(SourceContext(sqlite_catalog, settings()), secret="ntn_wrong") as (_, _, source):
        report = run(source)

    assert report.state == "failed"
    assert "does not accept the secret notion" in report.error
    assert "ntn_wrong" not in report.error


def test_a_token_that_no_header_could_hold_is_refused(sqlite_catalog, settings):
    with (
        pytest.raises(SourceError, match="The secret notion is no token"),
        workspace(SourceContext(sqlite_catalog, settings()), secret="a\nb"),
    ):
        pass


def test_a_token_that_is_revoked_meanwhile_deletes_nothing(world, run):
    service, site, source = world
    page = service.put("a", block("paragraph", "a"))
    run(source)
    service.unfound = {"a"}
    site.first[f"/v1/pages/{page.number.replace('-', '')}"] = [refusal(401, "unauthorized")]

    report = run(source)

    assert (report.state, report.deleted) == ("failed", 0)
    assert "does not accept the secret notion" in report.error


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        [],
        {"results": None, "has_more": False},
        {"results": [1], "has_more": False},
        {"results": []},
        {"results": [{"object": "page", "id": "../x", "last_edited_time": OLD}], "has_more": False},
        {"results": [{"object": "page", "id": str(uuid.uuid4())}], "has_more": False},
    ],
)
def test_an_answer_in_an_odd_shape_ends_the_run_and_deletes_nothing(world, run, body):
    service, site, source = world
    service.put("a", block("paragraph", "a"))
    assert run(source).added == 1
    site.first["/v1/search"] = [Answer(body)]

    report = run(source)

    assert (report.state, report.deleted) == ("failed", 0)


def test_a_search_or_a_page_that_goes_in_circles_ends(world):
    service, site, source = world
    for number in range(8):
        service.put(f"{number}", edited=OLD)
    service.cursor = "0"
    with pytest.raises(OutboundError, match="circles"):
        uris(source)

    service.pages.clear()
    page = service.put("a", block("paragraph", "x"))
    endless = {"object": "list", "results": [], "next_cursor": "1", "has_more": True}
    site.first[f"/v1/blocks/{page.number.replace('-', '')}/children"] = [Answer(endless)]
    with pytest.raises(OutboundError, match="documented"):
        uris(source)


def test_there_is_one_notion():
    assert workspace_address("") == workspace_address("https://www.notion.so/team") == "https://www.notion.so/"
    with pytest.raises(OutboundRefused):
        workspace_address("https://evil.example/")
