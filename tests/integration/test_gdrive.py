"""Google Drive against a server with its documented shapes: who may read what, and what a bad service cannot do."""

from __future__ import annotations

from functools import partial

import pytest
from joserfc.jwk import RSAKey

from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.sources import SourceContext
from indexing.sources.gdrive import drive_address
from indexing.sources.gdrive_access import SCOPE, Directory, readers_of
from indexing.sources.rest import Busy
from indexing.testing import listed
from tests.sources.gdrive import DRIVE, GOOGLE, drive, key_file, permission, refusal
from tests.sources.loopback import Answer
from tests.worlds import only, synchronised

pytestmark = pytest.mark.network

ANN = "ann@example.com"


@pytest.fixture
def waits():
    return []


@pytest.fixture
def world(sqlite_catalog, settings, waits):
    with drive(SourceContext(sqlite_catalog, settings()), waits) as found:
        yield found


@pytest.fixture
def run(sqlite_catalog, settings):
    """Return a function that synchronises a source into the catalog."""

    return partial(synchronised, sqlite_catalog, settings(), "gdrive")


# --- permissions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "readers"),
    [
        (permission(ANN), (ANN,)),
        (permission("Ann@Example.com"), (ANN,)),
        (permission(ANN, role="owner"), (ANN,)),
        (permission("staff@example.com", "group"), ("staff@example.com",)),
        (permission("example.com", "domain"), ()),
        (permission("", "anyone"), ()),
        (permission(ANN, role="publishedReader"), ()),
        (permission(ANN, role=None), ()),
        (permission(ANN, "robot"), ()),
        (permission(ANN, deleted=True), ()),
        (permission(ANN, pendingOwner=True), ()),
        (permission(ANN, view="metadata"), ()),
        (permission(ANN, expirationTime="2020-01-01T00:00:00Z"), ()),
        (permission(ANN, expirationTime="2999-01-01T00:00:00Z"), (ANN,)),
        (permission(ANN, expirationTime="soon"), ()),
        (permission("everyone"), ()),
        (permission("x|ann@example.com"), ()),
        ({"id": "1", "type": "user", "role": "reader"}, ()),
        ({"id": "1", "type": "user", "role": "reader", "emailAddress": [ANN]}, ()),
        (ANN, ()),
        (None, ()),
    ],
)
def test_only_what_is_understood_opens_a_file(told, readers):
    assert readers_of([told], Directory()) == readers


def test_shares_with_a_domain_or_by_link_are_for_everyone_only_where_that_is_said():
    domain, other = permission("Example.com", "domain"), permission("partner.com", "domain")
    by_link = permission("", "anyone")

    assert readers_of([domain], Directory(everyone=frozenset({"example.com"}))) == ("everyone",)
    assert readers_of([other, by_link], Directory(everyone=frozenset({"example.com"}))) == ()
    assert readers_of([by_link], Directory(everyone=frozenset({"anyone"}))) == ("everyone",)
    assert readers_of([permission("anyone", "domain", role="x")], Directory(everyone=frozenset({"anyone"}))) == ()


def test_names_of_an_identity_provider_are_marked_as_its():
    found = readers_of(
        [permission(ANN), permission("s@example.com", "group")], Directory("https://accounts.google.com")
    )

    assert found == (f"https://accounts.google.com|{ANN}", "https://accounts.google.com|group:s@example.com")


def test_permissions_that_came_with_the_list_are_not_asked_for(world):
    service, site, make = world
    service.shared = False
    service.put("a.txt", b"a", permissions=[permission(ANN)])

    assert only(make(drive="")).readers == (ANN,)
    assert not any(path.endswith("/permissions") for path in site.paths())


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_file_whose_permissions_cannot_be_read_is_for_nobody_and_that_is_told(world, status):
    service, _, make = world
    service.put("a.txt", b"a", permissions=[permission(ANN)])
    hidden = service.put("b.txt", b"b", permissions=[permission(ANN)])
    service.denied[hidden.number] = refusal(status, "insufficientFilePermissions")

    listing = listed(make())

    assert {item.readers for item in listing.items} == {(), (ANN,)}
    assert listing.notes == ("1 files whose permissions cannot be read: nobody may read them",)


@pytest.mark.parametrize("odd", [Answer({}), Answer({"permissions": {}}), Answer({"permissions": [1]}), Answer(b"<p>")])
def test_permissions_in_an_odd_shape_are_for_nobody(world, odd):
    service, _, make = world
    service.denied[service.put("a.txt", b"a", permissions=[permission(ANN)]).number] = odd

    assert only(make()).readers == ()


def test_a_file_of_somebody_that_comes_without_permissions_is_for_nobody(world):
    service, _, make = world
    service.shared = False
    service.put("a.txt", b"a", extra={"permissions": None})

    assert only(make(drive="")).readers == ()


# --- what is content ----------------------------------------------------------------------------------------------


def test_the_trash_shortcuts_and_forms_are_not_content(world):
    service, _, make = world
    kept = service.put("a.txt", b"a")
    service.put("b.txt", b"b", trashed=True)
    service.put("c.txt", b"c", extra={"trashed": True})  # listed all the same
    service.put("d.txt", b"d", extra={"trashed": None})  # not told
    service.put("s", mime=f"{GOOGLE}shortcut", extra={"shortcutDetails": {"targetId": kept.number}})
    service.put("f", mime=f"{GOOGLE}form")

    listing = listed(make())

    assert [item.uri for item in listing.items] == [f"https://drive.google.com/open?id={kept.number}"]
    assert listing.notes == ("2 shortcuts, forms and other things without a text left out",)


def test_what_went_to_the_trash_after_it_was_listed_is_gone(world, tmp_path):
    service, _, make = world
    service.put("a.txt", b"a")
    source = make()
    item = only(source)
    service.files["a.txt"].trashed = True

    with pytest.raises(ItemUnreadable, match="gone"):
        source.fetch(item, tmp_path)


def test_a_folder_is_walked_and_each_file_is_listed_once(world):
    service, _, make = world
    service.put("top", mime=f"{GOOGLE}folder", parent="top")  # a folder in itself
    top = service.files["top"] = service.files["top"].__class__("top", "top", b"", mime=f"{GOOGLE}folder", parent="top")
    inner = service.put("inner", mime=f"{GOOGLE}folder", parent=top.number)
    for number in range(7):
        service.put(f"{number}.txt", b"x", parent=inner.number)
    service.put("outside.txt", b"x", parent="elsewhere")

    listing = listed(make("https://drive.google.com/drive/folders/top"))

    assert len(listing.items) == 7
    assert listing.complete


@pytest.mark.parametrize(("kind", "ending"), [("document", "docx"), ("spreadsheet", "xlsx"), ("presentation", "pptx")])
def test_documents_of_google_are_exported_and_known_by_their_time(world, tmp_path, kind, ending):
    service, _, make = world
    service.put("Plan", b"text", mime=GOOGLE + kind)
    source = make()
    item = only(source)

    raw = source.fetch(item, tmp_path)

    assert raw.name == f"Plan.{ending}"
    assert raw.path.read_bytes().startswith(b"application/vnd.openxmlformats-officedocument.")
    assert raw.version_tag == item.version_tag == "modified 2026-03-01T08:30:00.001Z"
    service.put("Plan", b"other")
    assert only(source).version_tag != item.version_tag


def test_an_incomplete_search_is_an_incomplete_listing(world):
    service, _, make = world
    service.put("a.txt", b"a")
    service.incomplete = True

    assert not listed(make()).complete


@pytest.mark.parametrize("location", ["", "https://evil.example/", "http://drive.google.com/", "drive"])
def test_what_is_no_address_of_drive_is_refused(location):
    with pytest.raises(OutboundRefused):
        drive_address(location)


def test_an_id_that_would_change_the_search_is_refused(world):
    *_, make = world

    with pytest.raises(SourceError, match="no id"):
        make("https://drive.google.com/drive/folders/x'%20or%20trashed=true")


# --- outages and lies ---------------------------------------------------------------------------------------------


def test_the_grant_is_signed_and_names_scope_and_subject_and_goes_where_the_options_say(world):
    service, site, make = world
    service.put("a.txt", b"a")

    listed(make(subject="boss@example.com"))

    (claims,) = service.claims
    assert claims["scope"] == SCOPE
    assert claims["sub"] == "boss@example.com"
    assert claims["iss"] == "metier@p.iam.gserviceaccount.com"
    assert claims["aud"] == f"{site.url}/token"  # not where the key file says
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize(
    "secret", ["a password", "{}", "[1]", '{"client_email": "a", "private_key_id": "b", "private_key": "c"}']
)
def test_a_secret_that_is_no_key_is_the_state_of_the_run(sqlite_catalog, settings, run, secret):
    with drive(SourceContext(sqlite_catalog, settings()), secret=secret) as (_, _, make):
        report = run(make())

    assert report.state == "failed"
    assert "The secret google is no JSON key" in report.error


def test_a_key_that_is_not_accepted_is_the_state_of_the_run(sqlite_catalog, settings, run):
    foreign = key_file(RSAKey.generate_key(2048))
    with drive(SourceContext(sqlite_catalog, settings()), secret=foreign) as (_, _, make):
        report = run(make())

    assert report.state == "failed"
    assert "does not accept the secret google (invalid_grant)" in report.error


def test_a_token_that_ran_out_is_renewed_once(world, tmp_path):
    service, site, make = world
    for number in range(8):
        service.put(f"{number}.txt", b"x")
    source = make()
    parts = source.pages(None)
    first = next(parts)
    service.tokens.clear()
    assert len(next(parts).items) == 3
    service.tokens.clear()

    source.fetch(first.items[0], tmp_path)

    assert site.paths().count("/token") == 3


@pytest.mark.parametrize("answer", [refusal(403, "userRateLimitExceeded"), refusal(429, "rateLimitExceeded")])
def test_a_quota_is_waited_for(world, waits, answer):
    service, site, make = world
    service.put("a.txt", b"a")
    site.first["/drive/v3/files"] = [answer, answer]

    assert only(make())
    assert waits == [2.0, 4.0]


def test_a_quota_that_stays_used_up_changes_no_list(world, run):
    service, _, make = world
    file = service.put("a.txt", b"a", permissions=[permission(ANN)])
    run(make())
    service.denied[file.number] = refusal(403, "rateLimitExceeded")

    with pytest.raises(Busy):
        listed(make())
    report = run(make())
    assert (report.state, report.relisted, report.deleted) == ("failed", 0, 0)


@pytest.mark.parametrize("token", ["5", 7, {"a": 1}])
def test_a_listing_that_goes_in_circles_is_no_listing(world, token):
    service, _, make = world
    for number in range(15):
        service.put(f"{number}.txt", b"x")
    service.next_token = token

    with pytest.raises(OutboundError, match="circles"):
        listed(make())


def test_a_listing_goes_on_from_a_checkpoint_or_begins_anew_where_that_is_forgotten(world):
    service, site, make = world
    for number in range(8):
        service.put(f"{number}.txt", b"x")
    first, last = make().pages(None)

    assert list(make().pages(first.checkpoint)) == [last]
    assert last.checkpoint is None
    site.first["/drive/v3/files"] = [refusal(400, "invalid")]
    assert list(make().pages(first.checkpoint)) == [first, last]
    site.first["/drive/v3/files"] = [refusal(400, "invalid")]
    with pytest.raises(OutboundError):
        list(make().pages(None))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        [],
        {},
        {"files": None},
        {"files": [1]},
        {"files": [{"id": "../x", "mimeType": "a", "trashed": False}]},
    ],
)
def test_an_answer_in_an_odd_shape_ends_the_run_and_deletes_nothing(world, run, body):
    service, site, make = world
    service.put("a.txt", b"a")
    assert run(make()).added == 1
    site.first["/drive/v3/files"] = [Answer(body)]

    report = run(make())

    assert (report.state, report.deleted) == ("failed", 0)


def test_a_file_of_10_gb_is_refused_before_it_is_asked_for(world, tmp_path):
    service, site, make = world
    service.put("a.txt", b"a", extra={"size": str(10 << 30)})
    source = make()
    item = only(source)
    asked = len(site.asked)

    with pytest.raises(ParseLimit):
        source.fetch(item, tmp_path)
    assert len(site.asked) == asked + 1  # what it is, not its bytes


@pytest.mark.parametrize(
    "answer", [Answer(b"half", length=100), Answer(b"other"), refusal(403, "exportSizeLimitExceeded")]
)
def test_bytes_that_are_not_those_of_the_file_are_a_failure(world, tmp_path, answer):
    service, site, make = world
    file = service.put("a.txt", b"text")
    source = make()
    item = only(source)
    path = f"/drive/v3/files/{file.number}"
    site.first[path] = [Answer(service.entry(file)), answer]

    with pytest.raises(ItemUnreadable):
        source.fetch(item, tmp_path)


def test_one_shared_drive_is_all_that_is_asked_for(world):
    service, site, make = world
    service.put("a.txt", b"a")

    listed(make())

    (asked,) = [each for each in site.asked if each.path == "/drive/v3/files"]
    assert (asked.query["corpora"], asked.query["driveId"]) == ("drive", DRIVE)
    assert asked.query["q"] == "trashed = false"
