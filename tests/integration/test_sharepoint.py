"""SharePoint against a server with Graph's documented shapes: who may read what, and what a bad service cannot do."""

from __future__ import annotations

from functools import partial

import pytest

from indexing import store
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.pipeline import Indexing, sync_source
from indexing.sources import SourceContext
from indexing.sources.rest import Denied
from indexing.sources.sharepoint import _site, site_address
from indexing.sources.sharepoint_access import Directory, readers_of
from indexing.testing import FakeParsers, HashEmbedder, kinds_of, listed
from tests.sources.loopback import Answer
from tests.sources.sharepoint import CHANGES, SITE, error, group, library, link, user
from tests.worlds import only, synchronised

pytestmark = pytest.mark.network

ENTRA = "https://login.microsoftonline.com/0000/v2.0"


@pytest.fixture
def waits():
    return []


@pytest.fixture
def world(sqlite_catalog, settings, waits):
    with library(SourceContext(sqlite_catalog, settings()), waits) as found:
        yield found


@pytest.fixture
def run(sqlite_catalog, settings):
    """Return a function that synchronises a source into the catalog."""

    return partial(synchronised, sqlite_catalog, settings(), "sharepoint")


# --- permissions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permission", "readers"),
    [
        (user("ann"), ("ann",)),
        (user("ann", "write"), ("ann",)),
        (user("ann", inheritedFrom={"driveId": "d", "id": "i", "path": "/drive/root:/hr"}), ("ann",)),
        (group("staff"), ("staff",)),
        (group("5", "siteGroup"), (f"{SITE}:5",)),
        (group("guid-of-group", "sharePointGroup"), ("guid-of-group",)),
        (link("users", "ann", "bob"), ("ann", "bob")),
        (link(None, "ann"), ("ann",)),
        (link("organization"), ()),
        (link("organization", "ann"), ("ann",)),
        (link("anonymous"), ()),
        (link("anonymous", "ann"), ()),
        (link("existingAccess", "ann"), ()),
        (link("everything", "ann"), ()),
        (link({"odd": 1}, "ann"), ()),
        (user("ann", "sp.something"), ()),
        (user("ann", roles=[]), ()),
        (user("ann", roles="read"), ()),
        (user("ann", roles=None), ()),
        (user("ann", expirationDateTime="0001-01-01T00:00:00Z"), ("ann",)),
        (user("ann", expirationDateTime="2020-01-01T00:00:00Z"), ()),
        (user("ann", expirationDateTime="soon"), ()),
        (user("ann", expirationDateTime=17), ()),
        (user("everyone"), ()),
        (user("x|ann"), ()),
        (user(""), ()),
        (user(None), ()),
        (user(["ann"]), ()),
        (group("app", "application"), ()),
        ({"id": "1", "roles": ["read"], "invitation": {"email": "ann@contoso.com", "signInRequired": True}}, ()),
        ({"id": "1", "roles": ["read"], "grantedToV2": "ann"}, ()),
        ({"id": "1", "roles": ["read"], "link": "organization", "grantedToV2": {"user": {"id": "ann"}}}, ()),
        ("ann", ()),
        (None, ()),
    ],
)
def test_only_what_is_understood_opens_an_item(permission, readers):
    assert readers_of([permission], SITE, Directory()) == readers


def test_a_link_for_the_organization_is_for_everyone_only_where_that_is_said():
    links = [link("organization"), link("anonymous")]

    assert readers_of(links, SITE, Directory(org_links=True)) == ("everyone",)
    assert readers_of(links[1:], SITE, Directory(org_links=True)) == ()
    assert readers_of([link("organization", roles=[])], SITE, Directory(org_links=True)) == ()


def test_names_of_an_identity_provider_are_those_of_people_who_signed_in_there():
    permissions = [user("ann"), group("staff"), group("5", "siteGroup"), link("organization")]

    found = readers_of(permissions, SITE, Directory(ENTRA, org_links=True))

    assert found == ("everyone", f"{ENTRA}|ann", f"{ENTRA}|group:{SITE}:5", f"{ENTRA}|group:staff")


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_an_item_whose_permissions_cannot_be_read_is_for_nobody_and_that_is_told(world, status):
    graph, _, _, make = world
    kept = graph.put("a.txt", b"a", permissions=[user("ann")])
    hidden = graph.put("b.txt", b"b", permissions=[user("ann")])
    graph.denied[hidden.number] = status

    listing = listed(make())

    assert {item.uri.rpartition("/")[2]: item.readers for item in listing.items} == {
        kept.number: ("ann",),
        hidden.number: (),
    }
    assert listing.complete
    assert listing.notes == ("1 items whose permissions cannot be read: nobody may read them",)


@pytest.mark.parametrize("permissions", [None, "x", [1], {"a": 1}])
def test_permissions_in_an_odd_shape_are_for_nobody(world, permissions):
    graph, _, _, make = world
    graph.put("a.txt", b"a", permissions=permissions)

    assert only(make()).readers == ()


def test_permissions_are_asked_twenty_at_a_time_and_an_item_in_doubt_is_asked_again(world, waits):
    graph, site, _, make = world
    for number in range(4):
        graph.put(f"{number}.txt", b"x", permissions=[user("ann")])
    graph.throttled = 3

    assert [item.readers for item in listed(make()).items] == [("ann",)] * 4
    assert site.paths().count("/v1.0/$batch") == 2
    assert waits == [7.0]


def test_a_service_that_stays_busy_changes_no_list(world, run):
    graph, _, _, make = world
    graph.put("a.txt", b"a", permissions=[user("ann")])
    run(make())
    graph.throttled = 1000

    report = run(make())

    assert report.state == "failed"
    assert "busy" in report.error
    assert report.relisted == report.deleted == 0


# --- what is content ----------------------------------------------------------------------------------------------


def test_what_is_deleted_a_folder_a_notebook_or_a_shortcut_is_not_content(world):
    graph, _, _, make = world
    file = graph.put("a.txt", b"a")
    graph.delta = [
        {"id": "d", "name": "gone.txt", "file": {}, "deleted": {"state": "deleted"}},
        {"id": "f", "name": "folder", "folder": {"childCount": 1}},
        {"id": "n", "name": "Notes", "package": {"type": "oneNote"}},
        {"id": "s", "name": "Elsewhere", "remoteItem": {"id": "r"}, "file": {}},
        graph.entry(file, delta=True),  # once more: it changed meanwhile
    ]

    listing = listed(make())

    assert [item.uri.rpartition("/")[2] for item in listing.items] == [file.number]
    assert listing.notes == ("2 entries that are no files, or shortcuts to other places, left out",)


def test_what_was_deleted_after_it_was_listed_is_gone(world, tmp_path):
    graph, _, _, make = world
    file = graph.put("a.txt", b"a")
    source = make()
    item = only(source)
    file.extra["deleted"] = {"state": "deleted"}

    with pytest.raises(ItemUnreadable, match="gone"):
        source.fetch(item, tmp_path)


def test_the_name_of_a_document_is_its_path_and_its_version_the_same_in_listing_and_item(world, tmp_path):
    graph, _, _, make = world
    graph.put("hr/é à/pay.txt", b"text")
    source = make()
    item = only(source)

    raw = source.fetch(item, tmp_path)

    assert raw.name == "hr/é à/pay.txt"
    assert raw.version_tag == item.version_tag
    assert item.version_tag.startswith("quickXorHash ")  # delta leaves the cTag out


def test_a_document_is_titled_by_its_path_and_read_by_its_name(world, sqlite_catalog, settings):
    graph, _, _, make = world
    graph.put("hr/pay.txt", b"The pay.")
    parsers = FakeParsers()
    indexing = Indexing(sqlite_catalog, HashEmbedder(), parsers, settings(), kinds_of(sharepoint=make()))
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "hr", "sharepoint", "")

    sync_source(indexing, record)

    with sqlite_catalog.reading() as session:
        (document,) = store.known_documents(session, record.id).values()
    assert document.title == "hr/pay.txt"
    assert parsers.parsed == ["pay.txt"]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"drive": "Documents"}, f"/v1.0/sites/{SITE}/drives"),
        ({"user": "ann@contoso.com"}, "/v1.0/users/ann@contoso.com/drive"),
    ],
)
def test_a_library_is_found_by_name_and_a_onedrive_by_its_owner(world, options, asked):
    graph, site, _, make = world
    graph.put("a.txt", b"a")

    assert only(make(**options))
    assert asked in site.paths()
    with pytest.raises(SourceError, match="no document library called Missing"):
        listed(make(drive="Missing"))


@pytest.mark.parametrize(
    ("location", "site"),
    [
        ("https://contoso.sharepoint.com/", "contoso.sharepoint.com"),
        ("https://contoso.sharepoint.com/sites/hr/", "contoso.sharepoint.com:/sites/hr"),
        ("https://contoso-my.sharepoint.com/personal/ann", "contoso-my.sharepoint.com:/personal/ann"),
        ("https://graph.microsoft.com/sites/c.sharepoint.com:/sites/hr", "c.sharepoint.com:/sites/hr"),
        ("https://graph.microsoft.com/v1.0/sites/c.sharepoint.com", "c.sharepoint.com"),
    ],
)
def test_the_address_of_a_site_is_understood(location, site):
    assert _site(site_address(location)) == site


@pytest.mark.parametrize("location", ["", "hr", "http://contoso.sharepoint.com/", "https://u:p@contoso.com/"])
def test_what_is_no_address_of_a_site_is_refused(location):
    with pytest.raises(OutboundRefused):
        site_address(location)


# --- outages and lies ---------------------------------------------------------------------------------------------


def test_the_token_does_not_go_to_the_host_that_has_the_bytes(world, tmp_path):
    graph, site, bytes_of, make = world
    graph.put("a.txt", b"text")
    source = make()

    assert source.fetch(only(source), tmp_path).path.read_bytes() == b"text"
    assert [asked.headers.get("authorization") for asked in bytes_of.asked] == [None]
    assert all(asked.token for asked in site.asked if "oauth2" not in asked.path)


def test_a_token_that_ran_out_is_renewed_once(world, tmp_path):
    graph, site, _, make = world
    for number in range(8):
        graph.put(f"{number}.txt", b"x")
    source = make()
    parts = source.pages(None)
    next(parts)
    graph.tokens.clear()
    assert len(next(parts).items) == 4
    graph.tokens.clear()

    source.fetch(listed(source).items[0], tmp_path)

    assert sum("oauth2" in path for path in site.paths()) == 3


def test_a_token_that_is_never_accepted_is_not_renewed_for_ever(world):
    _, site, _, make = world
    site.first[f"/v1.0/sites/{SITE}/drive"] = [error(401, "InvalidAuthenticationToken")] * 5

    with pytest.raises(Denied):
        listed(make())
    assert sum("oauth2" in path for path in site.paths()) == 2


def test_a_wrong_secret_is_the_state_of_the_run_and_is_named_not_shown(sqlite_catalog, settings, run):
    with library(SourceContext(sqlite_catalog, settings()), secret="hunter2") as (graph, _, _, make):
        graph.put("a.txt", b"a")
        report = run(make())

    assert report.state == "failed"
    assert "does not accept the secret graph (invalid_client, AADSTS7000215)" in report.error
    assert "hunter2" not in report.error


@pytest.mark.parametrize("missing", ["tenant", "client_id"])
def test_an_option_that_is_missing_is_named(world, missing):
    *_, make = world

    with pytest.raises(SourceError, match=missing):
        make(**{missing: ""})
    with pytest.raises(SourceError, match="no tenant"):
        make(tenant="../common")
    with pytest.raises(OutboundRefused, match="not encrypted"):
        make(graph="http://graph.example")


def test_a_busy_service_is_waited_for_as_it_asks(world, waits):
    graph, site, _, make = world
    graph.put("a.txt", b"a")
    site.first[f"/v1.0/drives/{graph.drive}/{CHANGES}"] = [
        Answer(error(429, "tooManyRequests").body, 429, {"Retry-After": "11"})
    ]

    assert only(make())
    assert waits == [11.0]


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/v1.0/drives/x", "http://127.0.0.1:1/v1.0/x", "/v1.0/relative", "file:///etc/passwd", 7],
)
def test_a_next_link_that_leads_elsewhere_is_refused(world, elsewhere):
    graph, _, bytes_of, make = world
    for number in range(8):
        graph.put(f"{number}.txt", b"x")
    graph.next_link = elsewhere

    with pytest.raises(OutboundRefused):
        listed(make())
    assert not bytes_of.asked


def test_a_listing_that_goes_in_circles_or_breaks_off_is_no_listing(world):
    graph, site, _, make = world
    for number in range(8):
        graph.put(f"{number}.txt", b"x")
    graph.next_link = f"{site.url}/v1.0/drives/{graph.drive}/{CHANGES}"
    with pytest.raises(OutboundError, match="circles"):
        listed(make())

    graph.next_link = None
    site.first[f"/v1.0/drives/{graph.drive}/{CHANGES}"] = [Answer({"value": []})]
    with pytest.raises(OutboundError, match="documented"):
        listed(make())


def test_a_listing_goes_on_from_a_checkpoint_or_begins_anew_where_that_is_forgotten(world):
    graph, site, _, make = world
    for number in range(8):
        graph.put(f"{number}.txt", b"x")
    first, last = make().pages(None)

    assert list(make().pages(first.checkpoint)) == [last]
    assert last.checkpoint is None
    with pytest.raises(OutboundRefused):
        list(make().pages("https://evil.example/v1.0/x"))
    site.first[f"/v1.0/drives/{graph.drive}/{CHANGES}"] = [error(410, "resyncRequired")]
    assert list(make().pages(first.checkpoint)) == [first, last]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        [],
        {"value": None},
        {"value": [1]},
        {"value": [{"id": "../..", "file": {}, "parentReference": {"driveId": "d"}}]},
        {"value": [{"id": "a", "file": None, "parentReference": {"driveId": "d"}}]},
        {"value": [{"id": "a", "file": {}}]},
    ],
)
def test_an_answer_in_an_odd_shape_ends_the_run_and_deletes_nothing(world, run, body):
    graph, site, _, make = world
    graph.put("a.txt", b"a")
    assert run(make()).added == 1
    told = body | {"@odata.deltaLink": "x"} if isinstance(body, dict) else body
    site.first[f"/v1.0/drives/{graph.drive}/{CHANGES}"] = [Answer(told)]

    report = run(make())

    assert (report.state, report.deleted) == ("failed", 0)


def test_a_file_of_10_gb_is_refused_before_it_is_asked_for(world, run, tmp_path):
    graph, _, bytes_of, make = world
    graph.put("a.txt", b"a", extra={"size": 10 << 30})
    source = make()

    with pytest.raises(ParseLimit):
        source.fetch(only(source), tmp_path)
    report = run(source)
    assert [failure.error for failure in report.failures] == ["ParseLimit"]
    assert not bytes_of.asked


@pytest.mark.parametrize("answer", [Answer(b"half", length=100), Answer(b"x", 500), Answer(b"x" * 100, length=1 << 40)])
def test_bytes_that_are_cut_off_are_a_failure(world, tmp_path, answer):
    graph, _, _, make = world
    file = graph.put("a.txt", b"a")
    graph.content[file.number] = answer
    source = make()

    with pytest.raises((ItemUnreadable, ParseLimit)):
        source.fetch(only(source), tmp_path)
