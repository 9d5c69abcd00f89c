"""Requests to other machines: which are made at all, and what an answer may do to us."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import time

import pytest

from indexing.errors import OutboundError, OutboundRefused, OutboundTooLong, SettingsError
from indexing.outbound import Limits, Outbound, gunzipped
from indexing.outbound_rules import Allowed, is_public, parse_allowed, permitted
from indexing.settings import IndexingSettings
from tests.spellings import spellings
from tests.webs import serving

pytestmark = pytest.mark.network


@pytest.fixture
def canary():
    """A server inside, on a port that is allowed: only its address can save it."""
    with serving() as site:
        site.page("*", "secret")
        yield site


@pytest.fixture
def site():
    """A server that may be asked."""
    with serving() as served:
        yield served


def to_this_machine(host, port):
    """Resolve every name, number and nonsense to this machine: the worst that a resolver can do."""
    return ["127.0.0.1"]


def outbound(canary, *entries, resolve=to_this_machine, **limits):
    allowed = parse_allowed(entries)
    return Outbound(Allowed(allowed.networks, allowed.hosts, frozenset({canary.port})), Limits(**limits), resolve)


def text_of(asking, url, most_bytes=1000):
    with asking.ask(url) as reply:
        return b"".join(reply.body(most_bytes)).decode()


def test_no_spelling_of_an_inside_address_is_fetched(canary):
    asking = outbound(canary)
    tried = list(spellings(canary.port))
    accepted = []
    for url in tried:
        try:
            with asking.ask(url):
                accepted.append(url)
        except OutboundRefused:
            pass

    assert len(tried) >= 200
    assert accepted == []
    assert canary.asked == []


def test_no_redirect_leads_inside_however_it_is_spelled(canary, site):
    asking = outbound(canary, f"127.0.0.1:{site.port}")
    accepted = []
    tried = [url for url in spellings(canary.port) if url and "\r" not in url and "\n" not in url and "\0" not in url]
    for url in tried:

        def leads_on(request, url=url):
            request.send_response(302)
            request.wfile.flush()
            request._headers_buffer.append(b"Location: " + url.encode("utf-8", "replace") + b"\r\n")
            request.send_header("Content-Length", "0")
            request.end_headers()

        site.answers["/"] = leads_on
        try:
            with asking.ask(site.url) as reply:
                if f":{site.port}/" not in reply.url:  # a relative one leads to the same server, which is fine
                    accepted.append(url)
        except OutboundError:
            pass

    assert len(tried) >= 200
    assert accepted == []
    assert canary.asked == []


def test_a_name_that_changes_its_answer_gains_nothing(canary, site):
    answers = iter([["127.0.0.1"], ["::1"]])
    lookups = []

    def changing(host, port):
        lookups.append(host)
        return next(answers)

    site.redirect("/", "/again")
    site.page("/again", "secret")
    asking = outbound(canary, f"127.0.0.1:{site.port}", resolve=changing)

    with pytest.raises(OutboundRefused):  # the second answer is checked as the first one was
        text_of(asking, f"http://rebound.example:{site.port}/")
    assert site.asked == [("GET", "/")]
    assert lookups == ["rebound.example"] * 2  # one for each connection: none is left to lie to


def test_of_a_name_with_addresses_inside_and_listed_only_the_listed_one_is_connected_to(canary, site):
    asking = outbound(canary, f"127.0.0.1:{site.port}", resolve=lambda *_: ["10.0.0.1", "::1", "127.0.0.1"])
    site.page("/", "listed")

    assert text_of(asking, f"http://wiki.example:{site.port}/") == "listed"


def test_what_is_listed_is_reached_by_address_and_by_name(canary):
    entry = f"127.0.0.0/8:{canary.port}"

    assert text_of(outbound(canary, entry), canary.url) == "secret"
    assert text_of(outbound(canary, entry), f"http://anything.example:{canary.port}/") == "secret"
    assert canary.asked == [("GET", "/"), ("GET", "/")]


def test_a_refusal_names_the_setting(canary):
    with pytest.raises(OutboundRefused, match="METIER_OUTBOUND_ALLOW"):
        text_of(outbound(canary), canary.url)


def test_the_environment_sends_nothing_through_a_proxy(canary, site, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, canary.url)
    site.page("/", "direct")

    assert text_of(outbound(canary, f"127.0.0.1:{site.port}"), site.url) == "direct"
    assert canary.asked == []


def test_a_host_entry_allows_private_addresses_but_not_this_machine_nor_a_clouds_keys():
    allowed = parse_allowed(["intranet.example"])

    def may(host, address, port=80):
        return permitted(host, ipaddress.ip_address(address), port, allowed)

    assert may("intranet.example", "10.1.2.3")
    assert may("Intranet.Example.", "fd12::1")
    assert not may("other.example", "10.1.2.3")
    assert not may("intranet.example", "10.1.2.3", 9000)
    for inside in ("127.0.0.1", "::1", "169.254.169.254", "fe80::1", "100.100.100.200", "fd00:ec2::254", "0.0.0.0"):
        assert not may("intranet.example", inside), inside


@pytest.mark.parametrize(
    ("entry", "host", "address", "port"),
    [
        ("10.0.0.0/8", "x.example", "10.9.9.9", 443),
        ("10.0.0.5", "x.example", "10.0.0.5", 8080),
        ("10.0.0.5:9000", "x.example", "10.0.0.5", 9000),
        ("fd00::/8", "x.example", "fd00::5", 443),
        ("[fd00::/8]:9000", "x.example", "fd00::5", 9000),
        ("Wiki.Example:9000", "wiki.example", "8.8.8.8", 9000),
    ],
)
def test_every_form_of_an_entry_allows_what_it_says_and_no_more(entry, host, address, port):
    allowed = parse_allowed([entry])

    assert permitted(host, ipaddress.ip_address(address), port, allowed)
    assert not permitted("other.example", ipaddress.ip_address("192.168.0.1"), port, allowed)
    assert not permitted(host, ipaddress.ip_address(address), port + 1, allowed)


@pytest.mark.parametrize(
    "entry", ["", "*", "10.0.0.0/33", "http://x.example", "x.example:0", "x.example/", "10.1", "a b"]
)
def test_an_entry_that_means_nothing_is_an_error_of_the_settings(entry, tmp_path):
    with pytest.raises(SettingsError, match="outbound_allow"):
        IndexingSettings.load(data_dir=tmp_path, outbound_allow=(entry,))


def test_ordinary_public_addresses_are_public():
    for address in ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4007:80e::200e"):
        assert is_public(ipaddress.ip_address(address)), address
        assert permitted("x.example", ipaddress.ip_address(address), 443, Allowed())


# --- what an answer may do --------------------------------------------------------------------------------------


@pytest.fixture
def asked(site):
    """Return a function that asks the site, within limits."""

    def ask(path="/", most_bytes=1000, **limits):
        return text_of(outbound(site, "127.0.0.1", **limits), f"{site.url}{path}", most_bytes)

    return ask


def test_a_body_is_decompressed(site, asked):
    site.page("/", gzip.compress(b"hello") + gzip.compress(b" again"), Content_Encoding="gzip")

    assert asked() == "hello again"


def test_redirects_are_followed_and_end(site, asked):
    site.page("/end", "here")
    site.redirect("/one", "/two", 301)
    site.redirect("/two", f"{site.url}/end", 308)
    site.redirect("/loop", "/loop")

    assert asked("/one") == "here"
    with pytest.raises(OutboundError, match="redirect to redirect"):
        asked("/loop")
    assert site.asked.count(("GET", "/loop")) == 6


def test_a_bomb_is_cut_off_early(site, asked):
    site.page("/", gzip.compress(bytes(50 << 20)), Content_Encoding="gzip")

    with pytest.raises(OutboundError, match="trap"):
        asked(most_bytes=1 << 40)


def test_a_body_without_end_is_cut_at_the_limit(site, asked):
    def endless(request):
        request.send_response(200)
        request.end_headers()
        while not site.stopping.is_set():
            request.wfile.write(b"x" * 65536)

    site.answers["/"] = endless

    with pytest.raises(OutboundTooLong):
        asked(most_bytes=1 << 20)


def test_a_body_announced_as_too_long_is_not_read(site, asked):
    def announced(request):
        request.send_response(200)
        request.send_header("Content-Length", str(10 << 30))
        request.end_headers()
        site.stopping.wait(60)

    site.answers["/"] = announced
    started = time.monotonic()

    with pytest.raises(OutboundTooLong):
        asked(most_bytes=1 << 20)
    assert time.monotonic() - started < 20


def test_a_body_shorter_than_announced_is_an_error(site, asked):
    site.page("/", "short", Content_Length="500")
    served = site.answers["/"]

    def hung_up(request):
        served(request)
        request.close_connection = True

    site.answers["/"] = hung_up

    with pytest.raises(OutboundError, match="cannot be read"):
        asked()


@pytest.mark.parametrize("dripping", ["silent", "headers", "body"])
def test_a_server_that_hangs_or_drips_is_given_up(site, asked, dripping):
    def slow(request):
        if dripping == "body":
            request.send_response(200)
            request.end_headers()
        line = {"silent": b"", "headers": b"HTTP/1.1 200 OK\r\n", "body": b"x"}[dripping]
        while not site.stopping.wait(0.05):
            request.wfile.write(line)
            line = b"X: y\r\n" if dripping == "headers" else line

    site.answers["/"] = slow
    started = time.monotonic()

    with pytest.raises(OutboundError, match="slowly"):
        asked(seconds=0.6, silent_s=0.5)
    assert time.monotonic() - started < 20


def test_what_is_no_http_is_an_error(site, asked):
    site.answers["/"] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    with pytest.raises(OutboundError, match="cannot be read"):
        asked()


def test_a_closed_port_and_an_unknown_name_are_errors_of_the_source(site):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def unknown(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(OutboundError, match="cannot be read"):
        text_of(Outbound(parse_allowed([f"127.0.0.1:{port}"])), f"http://127.0.0.1:{port}/")
    with pytest.raises(OutboundError, match=r"nowhere\.example"):
        text_of(Outbound(resolve=unknown), "http://nowhere.example/")


def test_a_self_made_certificate_is_not_accepted(site, asked):
    with pytest.raises(OutboundError):  # the site speaks no TLS at all: there is no way round the handshake
        text_of(outbound(site, "127.0.0.1"), f"https://127.0.0.1:{site.port}/")


def test_a_gzip_that_ends_early_is_an_error():
    with pytest.raises(OutboundError, match="cut off"):
        list(gunzipped([gzip.compress(b"x" * 1000)[:-9]], "it", 200))
