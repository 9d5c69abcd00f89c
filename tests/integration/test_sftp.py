"""SFTP on OpenSSH's own server: host keys, links, changes, and servers that hang or refuse."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import paramiko
import pytest

from indexing import store
from indexing.errors import ItemUnreadable, OutboundError, OutboundRefused, ParseLimit, SourceError
from indexing.outbound import Limits, Outbound
from indexing.outbound_rules import parse_allowed
from indexing.secrets import store_secret
from indexing.sources import SourceContext, kind_called, open_source
from indexing.sources.files import FilesSource
from indexing.sources.rest import Denied
from indexing.sources.sftp import host_key
from indexing.testing import listed
from tests.sources.place import aged, fetched, settled_files_are_told_by_time
from tests.sshd import sshd

pytestmark = pytest.mark.network


@pytest.fixture
def fetch(tmp_path):
    return partial(fetched, tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def source(server, root):
    """Return a function that makes a source for the folder; keyword names replace what is right."""

    def made(most_bytes=1 << 20, **told):
        from indexing.sources.sftp_client import SftpFiles

        right = {
            "server": ("127.0.0.1", server.port),
            "root": str(root),
            "user": server.user,
            "secret": server.private_key,
            "key": host_key(server.host_key),
            "outbound": Outbound(parse_allowed([f"127.0.0.1:{server.port}"]), Limits(silent_s=30)),
        }
        return FilesSource(SftpFiles(**(right | told)), most_bytes=most_bytes, sleep=lambda seconds: None)

    return made


class OpenFile(paramiko.SFTPHandle):  # type: ignore[misc]
    """A file of *size* bytes, as its server says; *read* is what it sends from an offset, up to a length."""

    def __init__(self, size, read):
        super().__init__()
        self._size = size
        self.read = read

    def stat(self):
        found = paramiko.SFTPAttributes()
        found.filename, found.st_mode, found.st_size = "a.bin", 0o100644, self._size
        found.st_atime = found.st_mtime = 1
        return found


class OneFile(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """A folder with the file a.bin, which is sent twice, as if the folder was written to meanwhile."""

    def __init__(self, server, size, read):
        super().__init__(server)
        self._file = OpenFile(size, read)

    def canonicalize(self, path):
        return f"/{path.strip('/')}"

    def list_folder(self, path):
        return [self._file.stat(), self._file.stat()]

    def lstat(self, path):
        return self._file.stat()

    def open(self, path, flags, attr):
        return self._file


class OnePassword(paramiko.ServerInterface):  # type: ignore[misc]
    def check_auth_password(self, username, password):
        good = (username, password) == ("ann", "secret")
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


@contextlib.contextmanager
def small_server(server, size=0, read=lambda offset, length: b"", **limits):
    """Yield how a source reaches a server of paramiko's own for one connection: it does what OpenSSH's never does."""

    def serve():
        transport = paramiko.Transport(listening.accept()[0])
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(server.folder / "host")))
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, OneFile, size, read)
        transport.start_server(server=OnePassword())
        served.append(transport)

    served: list[paramiko.Transport] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        outbound = Outbound(parse_allowed([f"127.0.0.1:{port}"]), Limits(silent_s=30, **limits))
        try:
            yield {"server": ("127.0.0.1", port), "user": "ann", "secret": "secret", "outbound": outbound}
        finally:
            thread.join(5)
            for transport in served:
                transport.close()


def sent(server, source, fetch, size, read, **limits):
    """Return what is fetched from a server of paramiko's own, which sends a file of *size* bytes by *read*."""
    with small_server(server, size, read, **limits) as place:
        opened = source(**place)
        (item,) = listed(opened).items
        return fetch(opened, item)


class Edited:
    """The files of another one; each time that one has begun to be read, the next edit is done."""

    def __init__(self, files, edits):
        self.entries = files.entries
        self._files = files
        self._edits = edits

    def read(self, parts, take):
        def pieces(found):
            for number, piece in enumerate(found.pieces):
                yield piece
                if number == 0 and self._edits:
                    self._edits.pop(0)()

        return self._files.read(parts, lambda found: take(replace(found, pieces=pieces(found))))


def names(source):
    return [item.uri for item in listed(source).items]


# --- who the server is ---------------------------------------------------------------------------------------------


def test_without_a_host_key_nothing_is_read_and_the_fingerprint_is_told(server, source):
    told = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]

    with pytest.raises(SourceError) as caught:
        names(source(key=None))
    assert told in caught.value.message
    assert f"host_key='{server.host_key}'" in caught.value.remedy


def test_a_server_with_another_key_hears_no_name_and_no_secret(server, source):
    log = server.folder / "log"
    before = len(log.read_text())
    other = host_key((server.folder / "user.pub").read_text())

    with pytest.raises(SourceError, match="not the one that the source names"):
        names(source(key=other, user="nobody-at-all"))
    time.sleep(0.1)
    assert "nobody-at-all" not in log.read_text()[before:]


def test_a_server_without_a_key_of_the_named_type_is_refused(server, source, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "other"], check=True, timeout=20)

    with pytest.raises(SourceError):
        names(source(key=host_key((tmp_path / "other.pub").read_text())))


@pytest.mark.parametrize("form", ["{key}", "{key} root@host", "[127.0.0.1]:22 {key}", "host,192.0.2.1 {key} comment"])
def test_a_host_key_may_be_a_line_of_known_hosts(server, form):
    kind, key = host_key(form.format(key=server.host_key))

    assert kind == "ssh-ed25519"
    assert host_key(server.host_key) == (kind, key)


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa !!!", "SHA256:abc", "ssh-rsa c3NoLXJzYQ=="]
)
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(SourceError, match="no public key"):
        host_key(text)


# --- who we are ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["wrong password", "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n", ""])
def test_wrong_credentials_are_said(source, secret):
    with pytest.raises(Denied):
        names(source(secret=secret))


def test_a_key_that_the_server_does_not_know_is_denied(server, source):
    with pytest.raises(Denied, match=server.user):
        names(source(secret=(server.folder / "host").read_text()))


def test_a_password_lets_in_and_a_name_that_is_sent_twice_is_one_file(server, source):
    """OpenSSH asks the machine's own passwords; a small server stands in for it."""

    with small_server(server) as place:
        opened = source(**place)
        assert [item.uri for page in opened.pages(None) for item in page.items] == ["a.bin"]


# --- which machines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1", "10.0.0.1"])
def test_a_machine_that_is_not_allowed_is_not_asked(source, host, server):
    with pytest.raises(OutboundRefused):
        names(source(server=(host, server.port), outbound=Outbound()))


def test_a_name_is_looked_up_once_and_the_address_is_what_counts(source, server):
    asked = []

    def changing(host, port):
        asked.append(host)
        return ["169.254.169.254"] if len(asked) == 1 else ["127.0.0.1"]

    allowed = parse_allowed([f"127.0.0.1:{server.port}", f"files.example:{server.port}"])
    outbound = Outbound(allowed, Limits(), changing)

    with pytest.raises(OutboundRefused, match=r"169\.254"):
        names(source(server=("files.example", server.port), outbound=outbound))
    assert asked == ["files.example"]
    assert names(source(server=("files.example", server.port), outbound=outbound)) == []


def test_a_server_that_says_nothing_ends_by_the_limit(source):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        outbound = Outbound(parse_allowed([f"127.0.0.1:{port}"]), Limits(silent_s=0.3, connect_s=0.3))
        began = time.monotonic()

        with pytest.raises(OutboundError):
            names(source(server=("127.0.0.1", port), outbound=outbound))
        assert time.monotonic() - began < 6


# --- what is in the folder -----------------------------------------------------------------------------------------


def test_links_hidden_names_and_special_files_are_skipped(source, root, tmp_path):
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "b.txt").write_text("secret")
    (root / "a.txt").write_text("a")
    (root / ".hidden").write_text("x")
    (root / "~$a.docx").write_text("x")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "inner.txt").symlink_to("a.txt")
    (root / "folder").symlink_to(tmp_path / "away")
    os.mkfifo(root / "pipe")

    found = listed(source())

    assert [item.uri for item in found.items] == ["a.txt"]
    assert {note.split(" skipped")[0] for note in found.notes} == {
        "3 symbolic links", "1 hidden", "1 left behind by programs", "1 special files",
    }  # fmt: skip


def test_a_folder_that_becomes_a_link_after_it_was_listed_leads_nowhere(source, root, tmp_path, fetch):
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "a.txt").write_text("secret")
    (root / "sub").mkdir()
    (root / "sub" / "a.txt").write_text("mine")
    opened = source()
    (item,) = listed(opened).items
    (root / "sub").rename(tmp_path / "sub")
    (root / "sub").symlink_to(tmp_path / "away")

    with pytest.raises(ItemUnreadable, match="link"):
        fetch(opened, item)


@pytest.mark.parametrize("uri", ["../outside.txt", "/etc/passwd", "a/../../outside.txt", "./a", ""])
def test_a_uri_that_leads_out_is_refused(source, root, tmp_path, fetch, uri):
    from indexing.documents import Item

    (tmp_path / "outside.txt").write_text("secret")

    with pytest.raises(ItemUnreadable):
        fetch(source(), Item(uri, "v"))


def test_a_name_that_is_no_utf8_hides_no_other(source, root, fetch):
    (root / "a.txt").write_text("a")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt")).write_text("latin")
    opened = source()

    found = {item.uri: item for item in listed(opened).items}

    assert set(found) == {"a.txt", "caf\\xe9.txt"}
    assert fetch(opened, found["caf\\xe9.txt"]).path.read_text() == "latin"


def test_a_folder_that_may_not_be_listed_deletes_nothing(source, root):
    (root / "a.txt").write_text("a")
    (root / "sub").mkdir()
    opened = source()
    pages = opened.pages(None)
    (root / "sub").rmdir()  # root may list everything, so the folder is gone when it is asked for

    class AsListed:
        """The files, of which a folder was listed that is not there any more."""

        def __init__(self, files):
            self.read = files.read
            self._files = files

        def entries(self, parts):
            from indexing.sources.files import Entry

            yield from self._files.entries(parts)
            if not parts:
                yield Entry("sub", is_folder=True)

    assert next(pages).complete
    found = listed(FilesSource(AsListed(opened._files)))
    assert not found.complete
    assert [failure.uri for failure in found.failures] == ["sub/"]


def test_a_folder_that_is_not_there_is_said(source, root):
    with pytest.raises(SourceError, match="not there"):
        names(source(root=str(root / "absent")))


# --- versions and sizes --------------------------------------------------------------------------------------------


def test_a_settled_file_is_told_by_time_and_size_and_a_new_one_by_its_bytes(source, root, fetch):
    settled_files_are_told_by_time(root, source(), fetch)


def test_ten_gigabytes_are_refused_before_they_are_read(source, root, fetch):
    with (root / "big.bin").open("wb") as file:
        file.truncate(10 << 30)
    opened = source()
    (item,) = listed(opened).items

    with pytest.raises(ParseLimit, match="10240 MB"):
        fetch(opened, item)


def test_a_file_that_grew_past_the_limit_is_not_read(source, root, fetch):
    (root / "a.bin").write_bytes(b"x")
    opened = source(most_bytes=1000)
    (item,) = listed(opened).items
    (root / "a.bin").write_bytes(b"x" * 2000)

    with pytest.raises(ParseLimit):
        fetch(opened, item)


def test_a_file_that_is_written_while_it_is_read_is_read_again_whole(source, root, fetch):
    path = root / "a.bin"
    path.write_bytes(b"1" * 600_000)
    opened = source()
    (item,) = listed(opened).items

    def written(content, seconds):
        path.write_bytes(content)
        aged(path, seconds)

    edits = [partial(written, b"2" * 500_000, 7200), partial(written, b"3" * 600_000, 3600)]
    raw = fetch(FilesSource(Edited(opened._files, edits), sleep=lambda seconds: None), item)

    assert raw.path.read_bytes() == b"3" * 600_000 == path.read_bytes()
    assert raw.version_tag == listed(opened).items[0].version_tag
    assert edits == []


@pytest.mark.parametrize("kept", [199, 150, 100, 1, 0])
def test_a_file_that_shrinks_while_it_is_read_is_read_again_at_once_and_leaves_no_thread(source, root, fetch, kept):
    """However many of the requests under way meet the new end; paramiko's own prefetch waits for those for ever."""
    path, request = root / "a.bin", 1 << 15
    path.write_bytes(b"1" * 200 * request)
    aged(path)
    opened = source(most_bytes=200 * request)
    (item,) = listed(opened).items
    threads = set(threading.enumerate())

    edits = [partial(os.truncate, path, kept * request)]
    raw = fetch(FilesSource(Edited(opened._files, edits), most_bytes=200 * request, sleep=lambda seconds: None), item)

    assert raw.path.read_bytes() == b"1" * kept * request
    assert edits == []
    assert set(threading.enumerate()) <= threads


@pytest.mark.parametrize("size", [0, 1, 1 << 15, (1 << 15) + 1, 300_000])
def test_a_server_that_sends_less_than_is_asked_for_is_asked_for_the_rest(server, source, fetch, size):
    content = os.urandom(size)

    raw = sent(server, source, fetch, size, lambda offset, length: content[offset : offset + min(length, 10_000)])

    assert raw.path.read_bytes() == content


@pytest.mark.parametrize("size", [0, 1 << 15])
def test_a_file_that_is_longer_than_its_server_says_is_not_taken_for_whole(server, source, fetch, size):
    content = b"1" * (size + 1)

    with pytest.raises(ItemUnreadable, match="being written to"):
        sent(server, source, fetch, size, lambda offset, length: content[offset : offset + length])


def test_a_server_that_sends_a_file_ever_so_slowly_ends_by_the_limit(server, source, fetch):
    def dripping(offset, length):
        time.sleep(0.02)
        return b"1"

    with pytest.raises(ItemUnreadable, match="slowly"):
        sent(server, source, fetch, 1000, dripping, seconds=0.5)


def test_a_server_that_refuses_in_the_middle_of_a_file_is_said_to(server, source, fetch):
    def refusing(offset, length):
        return b"1" * length if offset == 0 else paramiko.SFTP_PERMISSION_DENIED

    with pytest.raises(ItemUnreadable, match="does not let us in"):
        sent(server, source, fetch, 1 << 16, refusing)


# --- the kind ------------------------------------------------------------------------------------------------------


def test_a_source_is_opened_from_its_record_with_its_secret(server, root, sqlite_catalog, settings):
    (root / "a b.txt").write_text("x")
    told = settings(outbound_allow=[f"127.0.0.1:{server.port}"])
    store_secret(told.data_dir, "files", server.private_key.strip())
    location = kind_called("sftp").location(f"sftp://{server.user}@127.0.0.1:{server.port}{root}")
    with sqlite_catalog.transaction() as session:
        record = store.add_source(
            session, "docs", "sftp", location, options={"host_key": server.host_key}, secret="files"
        )

    assert names(open_source(record, SourceContext(sqlite_catalog, told))) == ["a b.txt"]


@pytest.mark.parametrize(
    "given",
    ["", "files.example", "ssh://ann@files.example/", "sftp://files.example/", "sftp://ann:pass@files.example/",
     "sftp://ann@files.example/../etc", "sftp://ann@/docs", "sftp://ann@127.1/", "sftp://ann@0x7f000001/",
     "sftp://ann@files.example:99999/", "sftp://ann@files.example/%2e%2e/etc", "sftp://ann@files.example\\@evil/",
     "sftp://ann@files.example::file:///etc"],
)  # fmt: skip
def test_what_is_no_place_is_refused(given):
    with pytest.raises(SourceError) as caught:
        kind_called("sftp").location(given)
    assert "pass@" not in str(caught.value)
