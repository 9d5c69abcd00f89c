"""Jira against a small server: who may read, which comments are left out, and what bad answers may not do."""

from __future__ import annotations

import pytest

from indexing.errors import OutboundError, ParseLimit, SourceError
from indexing.sources import kind_called
from indexing.sources.jira import query_of
from indexing.sources.rest import Denied
from indexing.testing import listed
from tests.sources.jira import source_of
from tests.sources.jira_server import JiraServer
from tests.webs import serving

pytestmark = pytest.mark.network

SSO = "https://login.example"


def holder(kind, value=None):
    return {"type": kind} | ({} if value is None else {"parameter": f"name of {value}", "value": value})


@pytest.fixture
def server():
    with serving() as site:
        served = JiraServer(site)
        served.groups |= {"g-staff": ("staff", ["ann", "bob", "carl"]), "g-hr": ("hr", ["bob", "dora"])}
        served.browse["1"] = [holder("group", "g-staff")]
        yield served


def readers(server, **options):
    """Return summary → readers, as the source lists them."""
    found = listed(source_of(server, **({"issuer": SSO} | options))).items
    return {server.issues[item.uri.rpartition("=")[2]]["fields"]["summary"]: item.readers for item in found}


def text_of(server, tmp_path):
    source = source_of(server)
    (item,) = listed(source).items
    return source.fetch(item, tmp_path).path.read_text()


# --- who may read -------------------------------------------------------------------------------------------------


def test_an_issue_is_read_by_who_may_browse_its_project(server):
    server.browse["1"] += [holder("user", "zoe"), holder("projectLead"), holder("projectRole", "10002")]
    server.roles["1", "10002"] = (["rob"], ["g-hr"])
    server.issue("Open")

    assert readers(server) == {"Open": ("boss", "hr", "rob", "staff", "zoe")}


def test_the_level_of_security_bounds_who_may_browse(server):
    server.levels["77"] = [holder("user", "ann"), holder("user", "dora"), holder("group", "g-hr")]
    server.issue("Secret", security={"id": "77", "name": "Secret"})
    server.issue("Sealed", security={"id": "78", "name": "Sealed"})
    server.issue("Open")

    assert readers(server) == {"Secret": ("ann", "bob"), "Sealed": (), "Open": ("staff",)}


def test_reporter_and_assignee_count_for_their_own_issues_only(server):
    server.levels["77"] = [holder("reporter"), holder("assignee")]
    level = {"id": "77", "name": "Secret"}
    server.issue("A", security=level, reporter={"accountId": "ann"}, assignee={"accountId": "dora"})
    server.issue("B", security=level, reporter={"accountId": "bob"})

    assert readers(server) == {"A": ("ann",), "B": ("bob",)}


def test_what_is_open_to_all_is_for_nobody_unless_somebody_is_named(server):
    server.browse["1"] = [holder("anyone")]
    server.browse["2"] = [{"type": "applicationRole"}]
    server.issue("Visitors")
    server.issue("Accounts", project="2")

    assert readers(server) == {"Visitors": (), "Accounts": ()}
    assert readers(server, anyone="employees") == {"Visitors": ("employees",), "Accounts": ("employees",)}


@pytest.mark.parametrize(
    "unknown",
    [
        holder("userCustomField", "customfield_1"),
        holder("groupCustomField", "customfield_2"),
        {"type": "applicationRole", "parameter": "jira-software", "value": "jira-software"},
        {"type": "group", "parameter": "g-staff"},
        holder("sd.customer.portal.only"),
    ],
)
def test_a_holder_that_is_not_understood_lets_nobody_in(server, unknown):
    server.browse["1"] = [unknown]
    server.issue("Closed")

    assert readers(server, anyone="employees") == {"Closed": ()}


@pytest.mark.parametrize("part", ["/permissionscheme", "/role/", "level/member"])
def test_permissions_that_may_not_be_read_close_the_issue_and_are_said(server, part):
    server.browse["1"] = [holder("projectRole", "10002")]
    server.roles["1", "10002"] = (["ann"], [])
    server.levels["77"] = [holder("user", "ann")]
    server.issue("Secret", security={"id": "77", "name": "Secret"})
    assert readers(server) == {"Secret": ("ann",)}
    server.status[part] = 403

    listing = listed(source_of(server))

    assert [item.readers for item in listing.items] == [()]
    assert any("nobody may read" in note for note in listing.notes)


def test_people_may_count_by_their_address(server):
    server.browse["1"] = [holder("user", "ann"), holder("user", "bob")]
    server.emails["ann"] = "Ann@Example.com"
    server.issue("Open")

    assert readers(server, names="email") == {"Open": ("ann@example.com",)}


# --- the document --------------------------------------------------------------------------------------------------


def test_a_document_holds_the_issue_and_the_comments_that_all_its_readers_may_see(server, tmp_path):
    number = server.issue("Cut <off>", "<p>The printer cuts pages off.</p>")
    for count in range(5):
        server.comment(number, f"<p>comment {count}</p>")
    server.comment(number, "hidden-role", visibility={"type": "role", "value": "Administrators"})
    server.comment(number, "hidden-group", visibility={"type": "group", "value": "hr", "identifier": "g-hr"})
    server.comment(number, "hidden-agents", jsdPublic=False)

    text = text_of(server, tmp_path)

    assert f"<title>P1-{number}: Cut &lt;off&gt;</title>" in text
    assert all(part in text for part in ("Status: Open", "cuts pages off", "Ann, 2026-01-02", "comment 0", "comment 4"))
    assert "hidden" not in text


def test_a_comment_changes_the_version(server):
    number = server.issue("Open")
    (before,) = listed(source_of(server)).items
    server.comment(number, "New")

    assert listed(source_of(server)).items[0].version_tag != before.version_tag


def test_an_issue_that_is_too_long_is_a_failure_of_its_own(server, tmp_path):
    from dataclasses import replace

    number = server.issue("Long")
    server.comment(number, "x" * 2000)
    source = replace(source_of(server), max_bytes=1000)

    with pytest.raises(ParseLimit, match="too long"):
        source.fetch(listed(source).items[0], tmp_path)


# --- listing -------------------------------------------------------------------------------------------------------


def test_a_listing_is_asked_for_in_pages_and_goes_on_from_a_checkpoint(server):
    for number in range(5):
        server.issue(f"{number}")
    source = source_of(server, page_size=2)
    pages = list(source.pages(None))
    server.searched.clear()

    again = [item for page in source.pages(pages[0].checkpoint) for item in page.items]

    assert [len(page.items) for page in pages] == [2, 2, 1, 0]
    assert len(again) == 3
    assert server.searched[0]["nextPageToken"] == "t2"


def test_a_checkpoint_that_ran_out_or_is_of_another_search_lists_all(server):
    for number in range(3):
        server.issue(f"{number}")
    checkpoint = next(source_of(server, page_size=2).pages(None)).checkpoint
    server.expired.add("t2")

    other = source_of(server, page_size=5, jql="project = P1")
    for source in (source_of(server, page_size=5), other):
        assert len([item for page in source.pages(checkpoint) for item in page.items]) == 3


def test_what_to_search_for_comes_from_one_option(server):
    assert query_of(" assignee = x ", "") == "assignee = x"
    assert query_of("", "IT, OPS") == 'project in ("IT", "OPS") ORDER BY created ASC, key ASC'
    for jql, projects in (("", ""), ("a = b", "IT"), ("", 'IT") OR project in ("HR')):
        with pytest.raises(SourceError):
            query_of(jql, projects)
    kind = kind_called("jira")
    assert kind.location("https://a.atlassian.net/") == "https://a.atlassian.net"
    with pytest.raises(SourceError):
        kind.location("http://a.atlassian.net")


# --- bad answers ---------------------------------------------------------------------------------------------------


def test_pages_that_lead_in_a_circle_end_the_listing(server):
    before = server._search
    server._search = lambda body: before(body | {"nextPageToken": "t0"}) | {"nextPageToken": "t1"}

    with pytest.raises(OutboundError, match="circle"):
        listed(source_of(server))


@pytest.mark.parametrize(
    "answer", [{}, [], {"issues": 5}, {"issues": [{"id": "../1"}]}, {"issues": [], "isLast": False}, "x", None]
)
def test_answers_in_another_shape_are_errors_of_ours(server, answer):
    server._search = lambda body: answer

    with pytest.raises(SourceError):
        listed(source_of(server))


def test_a_wrong_secret_is_named(server):
    with pytest.raises(Denied, match="secret tracker is wrong"):
        listed(source_of(server, token="wrong"))


def test_a_busy_service_is_asked_again_when_it_says(server):
    pauses: list[float] = []
    server.status["search/jql"], server.headers["Retry-After"] = 429, "3"

    with pytest.raises(OutboundError, match="busy"):
        listed(source_of(server, pauses=pauses))
    assert pauses == [3.0, 3.0, 3.0]
