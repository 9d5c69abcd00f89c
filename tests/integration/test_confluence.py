"""Confluence against a small server: who may read, what is listed, and what bad answers may not do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from indexing.documents import SourceRecord
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, SourceError
from indexing.outbound import Outbound
from indexing.parsing.blocks import Page
from indexing.parsing.html import add_html
from indexing.secrets import store_secret
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.atlassian import NOBODY, Directory, Gate
from indexing.sources.confluence import document
from indexing.sources.confluence_access import ConfluencePeople
from indexing.sources.rest import Denied, Rest
from indexing.testing import listed
from tests.sources.confluence import source_of
from tests.sources.confluence_server import ConfluenceServer
from tests.webs import serving

pytestmark = pytest.mark.network

SSO = "https://login.example"


@pytest.fixture
def server():
    with serving() as site:
        yield ConfluenceServer(site)


@pytest.fixture
def space(server):
    """Return a space that the group staff may view; ann and bob are in it."""
    server.groups |= {"g-staff": ("staff", ["ann", "bob", "carl"]), "g-hr": ("hr", ["bob", "dora"])}
    return server.space("HR", "People", ("group", "g-staff"))


def readers(server, *, listing=None, **options):
    """Return title → readers, as the source lists them."""
    titles = {number: content["title"] for number, content in server.contents.items()}
    listing = listing or listed(source_of(server, **({"issuer": SSO} | options)))
    return {
        titles[item.uri.partition("pageId=")[2].partition("&")[0]]: item.readers
        for item in listing.items
        if "pageId=" in item.uri
    }


# --- who may read -------------------------------------------------------------------------------------------------


def test_a_page_is_read_by_whom_the_space_lets_view_it(server, space):
    server.permit(space, "user", "zoe")
    server.permit(space, "user", "writer", key="create", target="page")  # not a right to view
    server.page(space, "Open")

    assert readers(server) == {"Open": ("staff", "zoe")}


def test_restrictions_of_every_ancestor_apply(server, space):
    top = server.page(space, "Top")
    folder = server.page(space, "Folder", parent=top, kind="folder")
    middle = server.page(space, "Middle", parent=folder)
    server.page(space, "Leaf", parent=middle)
    server.restrictions[top] = (["ann", "bob"], [])
    server.restrictions[folder] = (["bob", "carl"], [])

    assert readers(server) == {"Top": ("ann", "bob"), "Middle": ("bob",), "Leaf": ("bob",)}


def test_a_child_that_is_listed_before_its_parents_is_as_closed_as_they_are(server, space):
    child = server.page(space, "Child")
    parent = server.page(space, "Parent")
    server.contents[child] |= {"parentId": parent, "parentType": "page"}
    server.restrictions[parent] = (["ann"], [])

    assert readers(server, page_size=1) == {"Child": ("ann",), "Parent": ("ann",)}


def test_a_person_passes_a_condition_as_a_member_of_its_group(server, space):
    page = server.page(space, "Pay")
    server.restrictions[page] = (["ann", "dora"], ["g-hr"])  # dora may not view the space

    assert readers(server) == {"Pay": ("ann", "bob")}


def test_a_group_that_every_condition_names_stays_a_group(server, space):
    server.permit(space, "group", "g-hr")
    server.restrictions[server.page(space, "Pay")] = ([], ["g-hr"])

    found = readers(server)["Pay"]

    assert "hr" in found
    assert "staff" not in found


def test_members_that_may_not_be_read_let_nobody_pass(server, space):
    server.restrictions[server.page(space, "Pay")] = (["ann"], [])
    server.status["membersByGroupId"] = 403

    listing = listed(source_of(server, issuer=SSO))

    assert [item.readers for item in listing.items] == [()]
    assert any("members" in note for note in listing.notes)


def test_long_restrictions_are_read_to_their_end(server, space):
    server.groups["g-staff"] = ("staff", [f"u{number}" for number in range(8)])
    server.restrictions[server.page(space, "Pay")] = ([f"u{number}" for number in range(8)], [])

    assert readers(server)["Pay"] == tuple(f"u{number}" for number in range(8))


def test_a_restriction_whose_names_are_hidden_is_not_taken_for_none(server, space):
    page = server.page(space, "Pay")
    hidden = {"results": [], "start": 0, "limit": 200, "size": 1}
    shown = {"operation": "read", "restrictions": {"user": hidden, "group": {**hidden, "size": 0}}}
    before = server._v1
    server._v1 = lambda path, query: shown if path[:2] == ["content", page] else before(path, query)

    assert readers(server) == {"Pay": ()}


def test_what_is_open_to_visitors_is_for_nobody_unless_somebody_is_named(server):
    space = server.space("PUB", "Public", ("access-class", "anonymous-users"))
    server.page(space, "Open")
    server.restrictions[server.page(space, "Closed")] = (["ann"], [])

    assert readers(server) == {"Open": (), "Closed": ()}
    assert readers(server, anyone="employees") == {"Open": ("employees",), "Closed": ("ann",)}


def test_a_space_without_permissions_is_read_by_nobody(server):
    server.page(server.space("X", "X", ("role", "some"), ("access-class", "all-product-admins")), "Page")

    assert readers(server, anyone="employees") == {"Page": ()}


def test_blog_posts_and_attachments_have_readers_too(server, space):
    post = server.page(space, "Post", kind="blogpost")
    server.restrictions[post] = (["ann"], [])
    page = server.page(space, "Page")
    server.attach(page, "plan.pdf", b"%PDF-1.4")
    server.attach(page, "cat.png", b"png")
    server.attach(page, "old.txt", b"old", status="trashed")
    server.attach(post, "note.txt", b"note")
    server.ignores_status = True

    listing = listed(source_of(server, issuer=SSO))

    assert readers(server, listing=listing) == {"Post": ("ann",), "Page": ("staff",)}
    assert sorted(item.readers or () for item in listing.items if "/download" in item.uri) == [("ann",), ("staff",)]
    assert listing.notes == ("1 attachments of other types",)


def test_people_may_count_by_their_address(server, space):
    server.emails |= {"ann": "Ann@Example.com", "bob": ""}
    server.restrictions[server.page(space, "Pay")] = (["ann", "bob"], [])

    assert readers(server, names="email") == {"Pay": ("ann@example.com",)}


def test_names_that_would_speak_for_others_count_for_nobody_under_local(server, space):
    server.groups |= {"g1": ("everyone", []), "g2": ("https://login.example|boss", [])}
    server.permit(space, "group", "g1")
    server.permit(space, "group", "g2")
    server.page(space, "Page")

    assert readers(server, issuer="local") == {"Page": ("staff",)}


# --- what cannot be read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_restriction_that_cannot_be_read_closes_its_page_and_those_below_and_is_said(server, space, status):
    bad = server.page(space, "Bad")
    for number in range(4):
        server.page(space, f"Below {number}", parent=bad)
    server.page(space, "Good")
    server.status[f"content/{bad}/restriction"] = status

    listing = listed(source_of(server, issuer=SSO))

    below = {f"Below {number}": () for number in range(4)}
    assert readers(server, listing=listing) == {"Bad": (), **below, "Good": ("staff",)}
    assert any(f"page {bad}" in note and "nobody" in note for note in listing.notes)


def test_restrictions_that_fail_one_after_the_other_end_the_listing(server, space):
    for number in range(5):
        server.page(space, f"{number}")
    server.status["/restriction/"] = 500

    with pytest.raises(SourceError, match="Restrictions cannot be read"):
        listed(source_of(server))


@pytest.mark.parametrize(
    "above",
    [{"parentType": "page", "parentId": "999"}, {"parentType": "planet", "parentId": "7"}, {"parentId": "../x"}],
)
def test_a_page_below_something_unknown_is_read_by_nobody(server, space, above):
    page = server.page(space, "Page")
    server.contents[page] |= above

    assert readers(server) == {"Page": ()}


def test_a_page_below_itself_is_read_by_nobody(server, space):
    page = server.page(space, "Page")
    server.contents[page] |= {"parentId": page, "parentType": "page"}

    assert readers(server) == {"Page": ()}


def test_permissions_of_a_space_that_may_not_be_read_close_it(server, space):
    server.page(space, "Page")
    server.status["/permissions"] = 403

    listing = listed(source_of(server, anyone="employees"))

    assert [item.readers for item in listing.items] == [()]
    assert any(f"space {space}" in note for note in listing.notes)


# --- what is listed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["trashed", "archived", "draft"])
def test_what_is_not_current_is_no_content_whatever_the_server_lists(server, space, status):
    page = server.page(space, "Old", status=status)
    server.page(space, "New")
    server.ignores_status = True
    source = source_of(server, issuer=SSO)

    assert readers(server) == {"New": ("staff",)}
    item = listed(source).items[0]
    server.contents[page]["status"] = "current"
    (old,) = (each for each in listed(source).items if each != item)
    server.contents[page]["status"] = status
    with pytest.raises(ItemUnreadable, match=status):
        source.fetch(old, None)


def test_only_the_spaces_that_are_wanted_are_listed_and_a_missing_one_is_an_error(server, space):
    server.page(space, "Mine")
    server.page(server.space("IT"), "Theirs")

    assert readers(server, spaces="HR") == {"Mine": ("staff",)}
    with pytest.raises(SourceError, match="no space GONE"):
        listed(source_of(server, spaces="HR,GONE"))


def test_an_account_that_sees_no_space_empties_nothing(server):
    with pytest.raises(SourceError, match="no space"):
        listed(source_of(server))


def test_a_listing_goes_on_behind_the_last_space_that_was_done(server, space):
    server.page(space, "First")
    other = server.space("IT", "IT", ("user", "ann"))
    for number in range(3):
        server.page(other, f"Second {number}")
    source = source_of(server, page_size=2)
    pages = list(source.pages(None))
    done = next(page.checkpoint for page in pages if page.checkpoint)

    again = [item for page in source.pages(done) for item in page.items]

    assert done == space
    assert len(again) == 3
    assert max(len(page.items) for page in pages) == 2


def test_an_attachment_is_fetched_with_its_name_and_type(server, space, tmp_path):
    page = server.page(space, "Page")
    server.attach(page, "plan.txt", b"The plan.")
    source = source_of(server)
    item = next(item for item in listed(source).items if "/download" in item.uri)

    raw = source.fetch(item, tmp_path)

    assert raw.path.read_bytes() == b"The plan."
    assert (raw.name, raw.media_type, raw.version_tag) == ("plan.txt", "text/plain", item.version_tag)


def test_macros_leave_their_text_and_nothing_else():
    stored = (
        '<p>Caf&eacute;</p><ac:structured-macro ac:name="code"><ac:parameter ac:name="language">py</ac:parameter>'
        "<ac:plain-text-body><![CDATA[if a < b: </p>]]></ac:plain-text-body></ac:structured-macro>"
        '<ac:link><ri:page ri:content-title="Other"/><ac:plain-text-link-body><![CDATA[see there]]>'
        "</ac:plain-text-link-body></ac:link><ac:placeholder>Type here</ac:placeholder>"
        "<ac:rich-text-body><p>In a panel</p></ac:rich-text-body>"
    )
    page = Page(most_chars=10_000)

    title = add_html(page, document("A & B", "Pay <2026>", stored))

    text = "\n".join(block.text for block in page.blocks)
    assert title == "Pay <2026>"
    assert all(part in text for part in ("A & B > Pay <2026>", "Café", "if a < b: </p>", "see there", "In a panel"))
    assert "Type here" not in text
    assert "py" not in text.split()


# --- bad answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["https://evil.example", "//evil.example", "http://127.0.0.1:1"])
def test_a_next_page_on_another_machine_is_refused(server, space, other):
    for number in range(3):
        server.page(space, f"{number}")
    server.next_base = other

    with pytest.raises(OutboundRefused, match="another machine"):
        listed(source_of(server, page_size=2))


def test_pages_that_lead_in_a_circle_end_the_listing(server, space):
    for number in range(3):
        server.page(space, f"{number}")
    before = server._paged
    server._paged = lambda found, query, asked: (
        before(found, query, asked) | {"_links": {"next": "/wiki/api/v2/spaces/1/pages?cursor=c%2F1"}}
    )

    with pytest.raises(OutboundError, match="circle"):
        listed(source_of(server))


@pytest.mark.parametrize("answer", [{}, [], {"results": 5}, {"results": [{"id": "1"}]}, {"results": [None]}, "x", None])
def test_answers_in_another_shape_are_errors_of_ours(server, space, answer):
    server._paged = lambda found, query, asked: answer

    with pytest.raises(SourceError):
        listed(source_of(server))


def test_a_wrong_secret_is_named_and_not_shown(server, space):
    for token in ("wrong", ""):
        with pytest.raises(Denied, match=r"wiki") as caught:
            listed(source_of(server, token=token or "x", email="" if not token else "bot@example.com"))
        assert "wrong, ran out" in caught.value.message


def test_a_service_that_takes_us_for_a_visitor_is_an_error(server, space):
    server._v1 = lambda path, query: {"type": "anonymous", "displayName": "Anonymous"}

    with pytest.raises(Denied, match="visitor"):
        listed(source_of(server))


def test_a_busy_service_is_asked_again_when_it_says(server, space):
    server.page(space, "Page")
    pauses: list[float] = []
    server.status["/pages?"], server.headers["Retry-After"] = 429, "7"

    with pytest.raises(OutboundError, match="busy"):
        listed(source_of(server, pauses=pauses))
    assert pauses == [7.0, 7.0, 7.0]


def test_only_a_plain_address_with_https_is_a_location():
    kind = kind_called("confluence")
    assert kind.location(" https://a.atlassian.net/wiki/ ") == "https://a.atlassian.net/wiki"
    for bad in ("http://a.atlassian.net/wiki", "a.atlassian.net", "https://a.net/wiki?x=1", "https://u:p@a.net/wiki"):
        with pytest.raises(SourceError):
            kind.location(bad)


def test_an_option_or_a_token_of_no_use_is_an_error_that_names_it(sqlite_catalog, settings):
    context = SourceContext(sqlite_catalog, settings())
    store_secret(context.settings.data_dir, "wiki", "two words")
    record = SourceRecord(1, "w", "confluence", "https://a.atlassian.net/wiki", 1)

    for option, value in (("spaces", "HR,../x"), ("names", "nick"), ("attachments", "maybe")):
        with pytest.raises(SourceError, match=option):
            open_source(replace(record, options={option: value}), context)
    with pytest.raises(SourceError, match="secret wiki") as caught:
        open_source(replace(record, secret="wiki"), context)
    assert "two words" not in str(caught.value)


def test_a_source_is_opened_with_its_options_and_secret(server, space, sqlite_catalog, settings):
    server.page(space, "Mine")
    server.attach(server.page(server.space("IT"), "Theirs"), "a.txt", b"a")
    context = SourceContext(sqlite_catalog, settings(outbound_allow=(f"127.0.0.1:{server.site.port}",)))
    store_secret(context.settings.data_dir, "wiki", "token")
    options = {"email": "bot@example.com", "spaces": "HR", "issuer": SSO, "attachments": "no"}
    record = SourceRecord(1, "w", "confluence", server.base, 1, options=options, secret="wiki")

    listing = listed(open_source(record, context))

    assert readers(server, listing=listing) == {"Mine": ("staff",)}
    assert (listing.issuer, listing.complete) == (SSO, True)


# --- gates ---------------------------------------------------------------------------------------------------------


def test_no_gate_and_a_gate_for_nobody_let_nobody_pass():
    directory = Directory(ConfluencePeople(Rest(Outbound()), ""), anyone="employees")

    assert directory.readers([]) == ()
    assert directory.readers([Gate(open=True), NOBODY]) == ()
