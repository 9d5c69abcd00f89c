"""S3: what a bucket holds, and what a server that fails, lies or leads away may do to us."""

from __future__ import annotations

import time
from functools import partial

import pytest

from indexing import store
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError, SourceMissing
from indexing.secrets import store_secret
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.rest import Denied
from indexing.testing import listed
from tests.buckets import buckets, refused
from tests.sources.place import fetched
from tests.webs import serving

pytestmark = pytest.mark.network

LIST = (
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>documents</Name><IsTruncated>{more}'
    "</IsTruncated>{token}{rows}</ListBucketResult>"
)
ROW = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;v1&quot;</ETag>"
    "<Size>{size}</Size></Contents>"
)


@pytest.fixture
def fetch(tmp_path):
    return partial(fetched, tmp_path)


@pytest.fixture
def server():
    with buckets() as found:
        yield found


def is_list(environ):
    return "list-type=2" in environ["QUERY_STRING"]


def listing(*rows, more="false", token=""):
    body = LIST.format(more=more, token=token, rows="".join(ROW.format(key=key, size=size) for key, size in rows))
    return "200 OK", {"Content-Type": "application/xml"}, body.encode()


def answering(server, *rows, status="200 OK", body=b"12345", **headers):
    """Let the server list *rows*, and answer whatever else is asked with *body*."""
    told = {"ETag": '"v1"', "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT", **headers}
    told = {name.replace("_", "-"): value for name, value in told.items()}
    server.served.fault = lambda environ: listing(*rows) if is_list(environ) else (status, told, body)


# --- what is a document --------------------------------------------------------------------------------------------


def test_folder_keys_deleted_versions_hidden_names_and_other_prefixes_are_no_documents(server):
    server.backend.put_bucket_versioning("documents", "Enabled")
    for key in ("team/a.txt", "team/sub/b.txt", "team/gone.txt", "team/empty/", "team/.git/config", "team/~$a.docx"):
        server.put(key, b"" if key.endswith("/") else b"text")
    server.put("team-secret/c.txt", b"text")
    server.put("team/../d.txt", b"text")
    server.put("team//e.txt", b"text")
    server.remove("team/gone.txt")

    found = listed(server.source("team"))

    assert [item.uri for item in found.items] == ["a.txt", "sub/b.txt"]
    assert found.complete
    assert any("hidden" in note for note in found.notes)


def test_names_with_signs_of_every_kind_lead_back_to_their_bytes(server, fetch):
    names = ("é à+b.txt", "100%.txt", "a&b?c#d.txt", "back\\slash", "tab\there", "mail.eml!/x", "日本.txt")
    for name in names:
        server.put(f"team/{name}", name.encode())
    source = server.source("team")

    found = listed(source).items

    assert {fetch(source, item).path.read_bytes().decode() for item in found} == set(names)


def test_five_thousand_keys_come_in_pages_as_they_are_asked_for(server):
    for number in range(5000):
        server.put(f"f/{number:05}.txt", b"x")
    source = server.source("f")
    sizes, asked = [], []
    before = len(server.served.asked)

    for page in source.pages(None):
        sizes.append(len(page.items))
        asked.append(len(server.served.asked) - before)

    assert sum(sizes) == 5000
    assert max(sizes) <= 1000
    assert asked[:5] == [1, 2, 3, 4, 5]  # nothing was asked ahead, nor kept


# --- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
def test_wrong_credentials_are_said(server, code):
    server.served.fault = lambda environ: refused("403 Forbidden", code)

    with pytest.raises(Denied, match=code) as caught:
        listed(server.source())
    assert "secret" in caught.value.remedy


def test_a_bucket_that_vanishes_before_the_second_page_ends_the_listing(server):
    for number in range(1100):
        server.put(f"{number:05}.txt", b"x")
    pages = server.source().pages(None)

    assert len(next(pages).items) == 1000
    server.served.fault = lambda environ: refused("404 Not Found", "NoSuchBucket")
    with pytest.raises(SourceMissing, match="no bucket documents"):
        next(pages)


def test_a_server_that_hangs_ends_by_the_limit(server):
    server.served.fault = lambda environ: time.sleep(8)
    began = time.monotonic()

    with pytest.raises(OutboundError, match="does not answer"):
        listed(server.source(silent_s=0.3))
    assert time.monotonic() - began < 6


def test_a_busy_server_is_asked_again_and_not_for_ever(server):
    server.put("a.txt", b"x")
    busy = [refused("503 Slow Down", "SlowDown")]
    server.served.fault = lambda environ: busy.pop() if busy else None
    assert [item.uri for item in listed(server.source(attempts=2)).items] == ["a.txt"]

    server.served.fault = lambda environ: refused("503 Slow Down", "SlowDown")
    before = len(server.served.asked)
    with pytest.raises(OutboundError, match="SlowDown"):
        listed(server.source(attempts=2))
    assert len(server.served.asked) - before == 2


def test_a_redirect_loop_ends(server):
    where = {"Location": f"{server.served.url}/documents?again"}
    server.served.fault = lambda environ: ("307 Temporary Redirect", where, b"")

    with pytest.raises(OutboundError):
        listed(server.source())
    assert len(server.served.asked) <= 20


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254"])
def test_a_redirect_leads_to_no_machine_that_is_not_allowed(server, host):
    with serving() as inside:
        inside.page("*", "keys")
        port = 80 if host.startswith("169") else inside.port
        where = {"Location": f"http://{host}:{port}/latest/meta-data/"}
        server.served.fault = lambda environ: ("307 Temporary Redirect", where, b"")

        with pytest.raises(OutboundRefused):
            listed(server.source())
        assert inside.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        ("200 OK", {}, b"<html>Welcome</html>"),
        ("200 OK", {}, b""),
        ("200 OK", {}, b"\x00\xff" * 100),
        listing(("a", "many")),
        ("200 OK", {}, listing(("a", 1))[2].replace(b"2026-01", b"spring")),
        ("200 OK", {}, listing(("a", 1))[2].replace(b"<Key>a</Key>", b"")),
        listing(("b", 1), ("a", 1)),
        listing(more="true", token="<NextContinuationToken>x</NextContinuationToken>"),
        listing(("a", 1), more="true"),
        listing(("a", 1), more="true", token="<NextContinuationToken>x</NextContinuationToken>"),
    ],
)
def test_an_answer_that_is_no_listing_or_one_without_end_deletes_nothing(server, answer):
    server.served.fault = lambda environ: answer

    with pytest.raises(SourceError):
        listed(server.source())


# --- lies about lengths --------------------------------------------------------------------------------------------


def test_less_than_was_announced_is_an_error(server, fetch):
    answering(server, ("a.txt", 5), Content_Length="50")
    source = server.source()

    with pytest.raises(ItemUnreadable, match=r"a\.txt"):
        fetch(source, listed(source).items[0])


def test_another_length_than_the_listed_one_for_the_same_version_is_an_error(server, fetch):
    answering(server, ("a.txt", 50))
    source = server.source()

    with pytest.raises(ItemUnreadable, match="50 bytes as it is listed, and 5 were sent"):
        fetch(source, listed(source).items[0])


def test_ten_gigabytes_are_refused_before_they_are_asked_for(server, fetch):
    answering(server, ("big.bin", 10 << 30))
    source = server.source()
    (item,) = listed(source).items
    before = len(server.served.asked)

    with pytest.raises(ParseLimit, match="10240 MB"):
        fetch(source, item)
    assert len(server.served.asked) == before


@pytest.mark.parametrize("length", ["", None])
def test_a_file_that_is_longer_than_it_said_is_cut_at_the_limit(server, fetch, length):
    body = b"x" * (3 << 20)
    answering(server, ("a.txt", 5), body=body, Content_Length=str(len(body)) if length is None else length)
    source = server.source(most_bytes=1 << 20)

    with pytest.raises(ParseLimit):
        fetch(source, listed(source).items[0])


# --- which machines, and whose keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    ["http://169.254.169.254", "http://[fd00:ec2::254]", "http://10.1.2.3", "http://[::ffff:169.254.169.254]"],
)
def test_a_metadata_address_as_endpoint_is_refused(server, endpoint):
    began = time.monotonic()

    with pytest.raises(OutboundRefused, match="not allowed"):
        listed(server.source(endpoint=endpoint))
    assert time.monotonic() - began < 8


def test_a_server_that_is_not_allowed_hears_nothing(server):
    with pytest.raises(OutboundRefused):
        listed(server.source(allow=[]))
    with pytest.raises(OutboundRefused):
        listed(server.source(allow=["localhost"], endpoint=server.served.url.replace("127.0.0.1", "localhost")))
    assert server.served.asked == []


def test_a_name_is_looked_up_once_for_a_connection_and_the_address_is_what_counts(server):
    server.served.fault = lambda environ: listing(("a.txt", 1))
    asked = []

    def changing(host, port):
        asked.append(host)
        return ["169.254.169.254"] if len(asked) == 1 else ["127.0.0.1"]

    port = server.served.port
    told = {"allow": [f"127.0.0.1:{port}", f"s3.example:{port}"], "endpoint": f"http://s3.example:{port}"}

    with pytest.raises(OutboundRefused, match=r"169\.254"):
        listed(server.source(resolve=changing, **told))
    assert len(listed(server.source(resolve=changing, **told)).items) == 1
    assert asked == ["s3.example"] * 2


def test_without_an_endpoint_amazon_is_asked_whatever_the_environment_says(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.served.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.served.url)
    asked = []

    def nowhere(host, port):
        asked.append((host, port))
        raise OSError("no such name")

    with pytest.raises(OutboundError):
        listed(server.source(endpoint="", resolve=nowhere))
    assert asked == [("documents.s3.eu-west-3.amazonaws.com", 443)]
    assert server.served.asked == []


def test_nothing_of_this_machine_but_the_secret_is_used(server, monkeypatch, tmp_path):
    (tmp_path / "aws").write_text("[default]\naws_access_key_id = machines\naws_secret_access_key = own\n[p]\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "machines", "AWS_SECRET_ACCESS_KEY": "own", "AWS_SESSION_TOKEN": "own",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws"), "AWS_CONFIG_FILE": str(tmp_path / "aws"),
        "AWS_PROFILE": "absent", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "AWS_CA_BUNDLE": "/nowhere",
        "AWS_MAX_ATTEMPTS": "nonsense",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    sent = []

    def remembered(environ):
        sent.append((environ.get("HTTP_AUTHORIZATION", ""), environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")))

    server.served.fault = remembered

    listed(server.source(keys=("an-id", "a-key")))
    listed(server.source(keys=("", "")))

    assert sent[0][0].startswith("AWS4-HMAC-SHA256 Credential=an-id/")
    assert sent == [(sent[0][0], ""), ("", "")]
    assert "a-key" not in str(sent)


# --- the kind ------------------------------------------------------------------------------------------------------


def test_a_source_is_opened_from_its_record_with_its_secret(server, sqlite_catalog, settings):
    server.put("team/a.txt", b"x")
    told = settings(outbound_allow=[f"127.0.0.1:{server.served.port}"])
    store_secret(told.data_dir, "bucket", "an-id:a-key")
    with sqlite_catalog.transaction() as session:
        options = {"endpoint": server.served.url, "region": "eu-west-3"}
        record = store.add_source(session, "docs", "s3", "s3://documents/team", options=options, secret="bucket")

    found = listed(open_source(record, SourceContext(sqlite_catalog, told)))

    assert [item.uri for item in found.items] == ["a.txt"]


@pytest.mark.parametrize(
    "given",
    ["", "documents", "https://documents", "s3:/documents", "s3://Documents", "s3://a", "s3://documents/../other",
     "s3://id:key@documents", "s3://documents::file:///etc", "file:///etc", "memory://x", "reference://x"],
)  # fmt: skip
def test_what_is_no_bucket_is_refused(given):
    with pytest.raises(SourceError):
        kind_called("s3").location(given)
