"""git on git's own server program: what is no document, damage, hostile trees, and servers that refuse, hang or lie."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import stat
import time

import pytest

from indexing import store
from indexing.errors import OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.git import basic, branch_name
from indexing.sources.rest import Denied, Gone
from indexing.testing import listed
from tests.gits import TOKEN, Repository, git_server

pytestmark = pytest.mark.network


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "served").mkdir()
    return Repository(tmp_path / "served" / "docs.git")


@pytest.fixture
def server(repository):
    with git_server(repository.path.parent) as found:
        yield found


@pytest.fixture
def source(server, tmp_path):
    """Return a function that makes a source of the repository; keyword names replace what is right."""

    def made(branch="", token=TOKEN, url="", allowed=(), **told):
        from indexing.sources.git_client import Clone
        from indexing.sources.git_files import GitSource

        clone = Clone(
            tmp_path / "clone",
            url or f"{server.url}/docs.git",
            branch,
            headers=basic("x-access-token", token),
            outbound=Outbound(parse_allowed([f"127.0.0.1:{server.port}", *allowed]), Limits(silent_s=30)),
        )
        return GitSource(clone, **({"fresh_s": 0.0} | told))

    return made


def uris(source):
    return sorted(item.uri for item in listed(source).items)


def fetched(source, item, tmp_path):
    into = tmp_path / f"into{time.monotonic_ns()}"
    into.mkdir()
    return source.fetch(item, into)


# --- what is a document --------------------------------------------------------------------------------------------


def test_links_submodules_and_lfs_pointers_are_no_documents_and_are_said(repository, source):
    repository.write("a.txt", b"text")
    repository.write("link", b"/etc/passwd", mode="120000")
    repository.write("film.mp4", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    repository.change(f"160000 {'1' * 40}\tmodule")

    listing = listed(source())

    assert [item.uri for item in listing.items] == ["a.txt"]
    assert " ".join(listing.notes) == (
        "1 pointers of Git LFS skipped: film.mp4 1 submodules skipped: module 1 symbolic links skipped: link"
    )


def test_only_what_the_pattern_names_is_listed(repository, source):
    for name in ("docs/a.md", "docs/deep/er/b.md", "docs/c.txt", "d.md"):
        repository.write(name, name.encode())

    assert uris(source(pattern="docs/**/*.md")) == ["docs/a.md", "docs/deep/er/b.md"]


def test_the_branch_that_is_named_is_read(repository, source):
    repository.write("a.txt", b"text")
    repository.commit("old")
    repository.write("b.txt", b"text")

    assert uris(source("old")) == ["a.txt"]
    assert uris(source()) == ["a.txt", "b.txt"]


def test_a_branch_that_vanished_is_an_error(repository, source):
    repository.write("a.txt", b"text")
    repository.commit("old")
    opened = source("old")
    assert uris(opened) == ["a.txt"]
    repository.drop("old")

    with pytest.raises(SourceError, match="no branch old"):
        listed(opened)


def test_history_that_was_rewritten_is_followed(repository, source):
    repository.write("a.txt", b"text")
    opened = source()
    listed(opened)
    repository.drop("main")
    repository.write("b.txt", b"other")

    assert uris(opened) == ["a.txt", "b.txt"]


def test_names_of_hostile_trees_lead_nowhere_and_hide_nothing(repository, source, tmp_path):
    blob = repository.blob(b"text")
    raw = bytes.fromhex(blob)
    names = [b"..", b".", b".git", b"a/b", b"caf\xe9", b"line\nbreak", b"plain", b"plain", b"x\\x2e"]
    tree = b"".join(b"100644 " + name + b"\0" + raw for name in names)
    key = repository.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", content=tree).decode()
    repository.commit(tree=key)
    opened = source()

    items = listed(opened).items

    assert sorted(item.uri for item in items) == sorted(["caf\\xe9", "line\\x0abreak", "plain", "x\\x5cx2e"])
    assert all(fetched(opened, item, tmp_path).path.read_bytes() == b"text" for item in items)


def test_a_tree_that_holds_itself_many_times_over_is_given_up(repository, source):
    blob = repository.blob(b"text")
    content = b"100644 f\0" + bytes.fromhex(blob)
    for _ in range(9):
        key = repository.git("hash-object", "-w", "-t", "tree", "--stdin", content=content)
        content = b"".join(b"40000 d%d\0" % n + bytes.fromhex(key.decode()) for n in range(10))
    repository.commit(tree=repository.git("hash-object", "-w", "-t", "tree", "--stdin", content=content).decode())

    with pytest.raises(SourceError, match="more than 1000 files"):
        listed(source(most_entries=1000))


# --- sizes ---------------------------------------------------------------------------------------------------------


def test_a_long_file_is_refused_by_its_size_and_the_others_are_read(repository, source, tmp_path):
    repository.write("long", os.urandom(300_000))
    repository.write("short", b"text")
    opened = source(most_bytes=200_000)
    long, short = sorted(listed(opened).items, key=lambda item: item.uri)

    assert (long.size_bytes, short.size_bytes) == (300_000, 4)
    with pytest.raises(ParseLimit, match="long"):
        fetched(opened, long, tmp_path)
    assert fetched(opened, short, tmp_path).path.read_bytes() == b"text"


def test_a_file_that_is_stored_as_a_difference_has_its_own_size(repository, source, tmp_path):
    content = os.urandom(50_000)
    repository.write("a", content)
    repository.write("b", content + b"and more")
    repository.git("repack", "-adfq")
    opened = source()

    sizes = {item.uri: item.size_bytes for item in listed(opened).items}

    assert sizes == {"a": 50_000, "b": 50_008}
    for item in listed(opened).items:
        assert fetched(opened, item, tmp_path).size_bytes == sizes[item.uri]


# --- the clone -----------------------------------------------------------------------------------------------------


def test_what_is_known_is_not_fetched_again(repository, server, source):
    repository.write("a.txt", os.urandom(100_000))
    opened = source()
    listed(opened)
    server.asked.clear()

    listed(opened)

    assert [method for method, *_ in server.asked] == ["GET", "POST"]  # what there is, and the branch's commit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves damaged files open
@pytest.mark.parametrize("damage", ["pack", "index", "HEAD", "all"])
def test_a_damaged_clone_is_fetched_anew(damage, repository, source, tmp_path):
    repository.write("docs/a.txt", os.urandom(5_000))
    listed(source())
    for path in sorted((tmp_path / "clone").rglob("*")):
        suffix = {"pack": ".pack", "index": ".idx"}.get(damage)
        if path.is_file() and (path.name == "HEAD" if damage == "HEAD" else path.suffix == suffix or damage == "all"):
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] + b"\0" * (len(content) - len(content) // 2))
    opened = source()

    (item,) = listed(opened).items

    assert item.uri == "docs/a.txt"
    assert fetched(opened, item, tmp_path).size_bytes == 5_000
    gc.collect()


# --- servers that refuse, hang or lie ------------------------------------------------------------------------------


def test_a_wrong_token_is_said(source):
    with pytest.raises(Denied, match="401"):
        listed(source(token="wrong"))


def test_a_repository_that_is_not_there_is_said(server, source):
    with pytest.raises(Gone):
        listed(source(url=f"{server.url}/other.git"))


def test_a_server_that_hangs_is_given_up(tmp_path):
    from indexing.sources.git_client import Clone
    from indexing.sources.git_files import GitSource

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        outbound = Outbound(parse_allowed([f"127.0.0.1:{port}"]), Limits(silent_s=0.3))
        clone = Clone(tmp_path / "clone", f"http://127.0.0.1:{port}/x", "", headers={}, outbound=outbound)
        with pytest.raises(OutboundError, match="does not answer"):
            listed(GitSource(clone))


def test_a_pack_that_is_cut_off_is_an_outage_and_the_next_run_reads_it(repository, server, source):
    repository.write("a.txt", os.urandom(100_000))
    app = server.app

    def cut(environ, start_response):
        def answer(status, headers):
            return start_response(status, [told for told in headers if told[0] != "Content-Length"])

        content = b"".join(app(environ, answer))
        return [content[: len(content) // 2] if len(content) > 50_000 else content]

    server.app = cut
    opened = source()
    with pytest.raises(OutboundError):
        listed(opened)
    server.app = app

    assert uris(opened) == ["a.txt"]


@pytest.mark.parametrize("answer", [b"", b"<html>", b"0000", b"001e# service=git-upload-pack\n0000zzzz", b"\xff" * 100])
def test_what_is_no_answer_of_git_is_an_outage(answer, server, source):
    kind = "application/x-git-upload-pack-advertisement"
    server.fault = lambda environ: ("200 OK", {"Content-Type": kind}, answer)

    with pytest.raises(SourceError):
        listed(source())


def test_the_token_is_not_carried_to_where_a_redirect_leads(repository, server, source):
    with git_server(repository.path.parent) as other:
        target = f"http://127.0.0.1:{other.port}/docs.git/info/refs?service=git-upload-pack"
        server.fault = lambda environ: ("302 Found", {"Location": target}, b"")
        with pytest.raises(OutboundRefused):
            listed(source(allowed=[f"127.0.0.1:{other.port}"]))
        assert other.asked == []


# --- repositories of this machine ----------------------------------------------------------------------------------


def test_a_repository_of_this_machine_is_read_where_it_is_and_none_of_its_programs_run(
    repository, sqlite_catalog, settings, tmp_path
):
    for name in ("a.txt", ".gitattributes"):
        repository.write(name, b"*.txt filter=evil\n")
    evil = f"touch {tmp_path}/ran"
    for key in ("filter.evil.smudge", "core.fsmonitor", "core.sshCommand", "uploadpack.packObjectsHook"):
        repository.git("config", key, evil)
    location = kind_called("git").location(str(repository.path))
    with sqlite_catalog.transaction() as session:
        record = store.add_source(session, "docs", "git", location)
    opened = open_source(record, SourceContext(sqlite_catalog, settings()))

    (item,) = listed(opened).items

    assert fetched(opened, item, tmp_path).path.read_bytes() == b"*.txt filter=evil\n"
    assert not (tmp_path / "ran").exists()
    assert not (settings().data_dir / "git").exists()


def test_bytes_that_are_not_those_of_their_id_are_no_document(repository, tmp_path):
    from indexing.sources.git_client import LocalRepository
    from indexing.sources.git_files import GitSource

    repository.write("a.txt", b"true")
    right, wrong = (repository.blob(content) for content in (b"true", b"evil"))
    path = repository.path / "objects" / right[:2] / right[2:]
    path.chmod(0o600)
    shutil.copy(repository.path / "objects" / wrong[:2] / wrong[2:], path)

    with pytest.raises(SourceError, match="damaged"):
        listed(GitSource(LocalRepository(repository.path, "")))


def test_a_folder_that_is_no_repository_is_said(tmp_path):
    from indexing.sources.git_client import LocalRepository
    from indexing.sources.git_files import GitSource

    with pytest.raises(Gone):
        listed(GitSource(LocalRepository(tmp_path, "")))


# --- the kind ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    ["", "docs", "-u", "--upload-pack=/bin/sh", "ext::sh -c id", "ssh://git@git.example/docs", "git@git.example:docs",
     "http://git.example/docs", "file:///srv/git", "git://git.example/docs", "https://ann:pass@git.example/docs",
     "https://git.example/", "https://git.example/docs?x=1", "/srv/../etc", "/srv/a\nb", "https://127.1/docs"],
)  # fmt: skip
def test_what_is_no_place_is_refused(given):
    with pytest.raises(SourceError) as caught:
        kind_called("git").location(given)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("given", ["-x", "a..b", "a b", "/a", "a/", "a.lock", "a@{1}", "a\n", "a:b", ".a", "a/.b"])
def test_what_cannot_be_a_branch_is_refused(given):
    with pytest.raises(SourceError):
        branch_name(given)
