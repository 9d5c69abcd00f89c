"""The folder source on a real disk, with everything that can lie in a folder."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing.documents import Item
from indexing.errors import ItemUnreadable, SourceMissing
from indexing.sources.folder import FolderSource, parts_of, uri_of
from indexing.testing import listed


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def test_a_file_in_a_folder_says_who_may_read_it_and_what_is_below(root):
    (root / "hr" / "pay" / "old").mkdir(parents=True)
    (root / "open").mkdir()
    for name in ("a.txt", "hr/b.txt", "hr/pay/c.txt", "hr/pay/old/d.txt", "open/e.txt"):
        (root / name).write_text("x")
    (root / "hr" / ".metier-access.toml").write_text('readers = ["staff", "ann", "ann"]')
    (root / "hr" / "pay" / ".metier-access.toml").write_text("readers = []")

    listing = listed(FolderSource(root))

    assert {item.uri: item.readers for item in listing.items} == {
        "a.txt": None,
        "hr/b.txt": ("ann", "staff"),
        "hr/pay/c.txt": (),
        "hr/pay/old/d.txt": (),
        "open/e.txt": None,
    }
    assert (listing.complete, listing.failures, listing.notes) == (True, (), ())


BAD: dict[str, str | bytes] = {
    "empty": "",
    "no value": "readers",
    "one name": 'readers = "ann"',
    "numbers": "readers = [1]",
    "blank": 'readers = [" "]',
    "typo": 'reader = ["ann"]',
    "more": 'readers = ["ann"]\nwriters = ["bob"]',
    "no text": b"\xff",
    "long": "readers = []\n" + "#" * (1 << 20),
}


@pytest.mark.parametrize("what", [*BAD, "link", "folder", "fifo"])
def test_a_file_that_cannot_be_understood_means_nobody_and_says_so(root, what):
    (root / "hr").mkdir()
    (root / "hr" / "a.txt").write_text("x")
    (root / ".metier-access.toml").write_text('readers = ["boss"]')
    file = root / "hr" / ".metier-access.toml"
    if what == "link":
        file.symlink_to(root / ".metier-access.toml")
    elif what == "folder":
        file.mkdir()
    elif what == "fifo":
        os.mkfifo(file)
    else:
        content = BAD[what]
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    listing = listed(FolderSource(root))

    assert [(item.uri, item.readers) for item in listing.items] == [("hr/a.txt", ())]
    [failure] = listing.failures
    assert (failure.uri, failure.stage, failure.readers) == ("hr/.metier-access.toml", "list", ("boss",))
    assert "Nobody may." in failure.reason
    assert listing.complete, "nothing is missing"


def uris(root):
    return [item.uri for item in listed(FolderSource(root)).items]


def test_a_missing_folder_or_a_file_in_its_place_is_an_error(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(SourceMissing, match=path.name):
            listed(FolderSource(path))


def test_symbolic_links_are_never_followed(root, tmp_path, into):
    (tmp_path / "outside.txt").write_text("canary")
    (root / "inside.txt").write_text("inside")
    (root / "out.txt").symlink_to(tmp_path / "outside.txt")
    (root / "in.txt").symlink_to(root / "inside.txt")
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to(root)

    listing = listed(FolderSource(root))

    assert [item.uri for item in listing.items] == ["inside.txt"]
    assert listing.complete
    assert [note for note in listing.notes if note.startswith("4 symbolic links")]
    for uri in ("out.txt", "up/outside.txt", "../outside.txt", "/etc/passwd", "loop/inside.txt", "a/../../x", ""):
        with pytest.raises(ItemUnreadable):
            FolderSource(root).fetch(Item(uri, ""), into)


def test_a_link_swapped_in_while_reading_never_leads_outside(root, tmp_path):
    """A second thread swaps a folder for a link to the outside, over and over; the canary is never read."""
    outside, inside = tmp_path / "outside", root / "d"
    for folder, text in ((outside, "canary"), (inside, "inside")):
        folder.mkdir()
        (folder / "f.txt").write_text(text)
    spare, link = tmp_path / "spare", tmp_path / "link"
    link.symlink_to(outside)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            inside.rename(spare)
            link.rename(inside)
            inside.rename(link)
            spare.rename(inside)

    swapper = threading.Thread(target=swap)
    swapper.start()
    read = refused = 0
    try:
        until = time.monotonic() + 60  # on a busy machine the threads may take turns so that none finds the folder
        for number in itertools.count():
            if (number >= 400 and read) or time.monotonic() > until:
                break
            into = tmp_path / f"into{number}"
            into.mkdir()
            try:
                raw = FolderSource(root).fetch(Item("d/f.txt", ""), into)
            except ItemUnreadable:
                refused += 1
            else:
                assert raw.path.read_text() == "inside"
                read += 1
    finally:
        stop.set()
        swapper.join()
    assert read
    assert refused


def test_fifos_and_sockets_hang_nobody(root, into):
    os.mkfifo(root / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    working = os.open(".", os.O_RDONLY)
    try:
        os.chdir(root)  # the address of a socket is short
        listener.bind("socket")
    finally:
        os.fchdir(working)
        os.close(working)

    listing = listed(FolderSource(root))
    listener.close()

    assert listing.items == ()
    assert listing.notes == ("2 special files skipped: fifo, socket",) or "2 special files" in listing.notes[0]
    for uri in ("fifo", "socket"):
        with pytest.raises(ItemUnreadable, match="not a regular file"):
            FolderSource(root).fetch(Item(uri, ""), into)


def test_hidden_and_left_behind_files_are_skipped_and_noted(root):
    (root / ".git").mkdir()
    (root / ".git" / "config").touch()
    (root / "~$report.docx").touch()
    (root / "Thumbs.db").touch()
    (root / "report.docx").touch()

    listing = listed(FolderSource(root))

    assert [item.uri for item in listing.items] == ["report.docx"]
    assert len(listing.notes) == 2


@pytest.fixture
def unprivileged():
    """Return a folder that everybody may read, and take root's rights away, if we have them, for the test."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        mine = os.geteuid()
        yield Path(folder), lambda: os.seteuid(65534 if mine == 0 else mine)
        os.seteuid(mine)


def test_a_folder_that_cannot_be_looked_into_makes_the_listing_incomplete(unprivileged):
    root, drop_rights = unprivileged
    (root / "open.txt").write_text("x")
    (root / "locked").mkdir()
    (root / "locked" / "secret.txt").write_text("x")
    (root / "locked").chmod(0)
    drop_rights()

    listing = listed(FolderSource(root))

    assert [item.uri for item in listing.items] == ["open.txt"]
    assert not listing.complete
    assert [(failure.uri, failure.stage) for failure in listing.failures] == [("locked/", "list")]


def test_names_that_are_no_text_become_readable_uris_and_lead_back(root, into):
    names = [b"caf\xe9.txt", b"new\nline.txt", b"back\\slash.txt", "nfd e\u0301.txt".encode(), b"bang!"]
    folder = os.fsencode(root)
    for number, name in enumerate(names):
        with open(os.path.join(folder, name), "wb") as file:  # noqa: PTH123, PTH118 -- names that pathlib cannot hold
            file.write(str(number).encode())

    seen = uris(root)

    assert set(seen) == {"caf\\xe9.txt", "new\\x0aline.txt", "back\\x5cslash.txt", "nfd e\u0301.txt", "bang!"}
    source = FolderSource(root)
    read = set()
    for item in listed(source).items:
        read.add(source.fetch(item, into).path.read_text())
        (into / "content").unlink()
    assert read == {"0", "1", "2", "3", "4"}


def test_a_folder_named_like_a_mail_cannot_be_taken_for_attachments(root):
    (root / "mail!").mkdir()
    (root / "mail!" / "a.txt").touch()

    assert uris(root) == ["mail\\x21/a.txt"]
    assert parts_of("mail\\x21/a.txt") == ("mail!", "a.txt")


file_names = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & set(b"/\0") and name not in {b".", b".."}
)


@given(st.lists(file_names, min_size=1, max_size=4))
def test_every_path_has_one_uri_that_can_be_stored_and_leads_back(names):
    parts = tuple(os.fsdecode(name) for name in names)
    uri = uri_of(parts)

    assert parts_of(uri) == parts
    assert uri.encode()
    assert "\n" not in uri
    assert "!/" not in uri


def test_an_edit_of_equal_length_with_its_time_set_back_is_still_seen(root):
    file = root / "a.txt"
    file.write_text("one")
    before = listed(FolderSource(root)).items[0].version_tag
    times = file.stat()
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert listed(FolderSource(root)).items[0].version_tag != before


def test_a_file_that_is_replaced_while_it_is_read_gives_bytes_of_one_moment(root, tmp_path):
    """A second thread rewrites the file all the time; each copy is all of one version."""
    file = root / "a.bin"
    size = 3 << 20
    file.write_bytes(b"a" * size)
    stop = threading.Event()

    def rewrite():
        letters = b"bcdefgh"
        number = 0
        while not stop.is_set():
            with file.open("r+b") as target:
                target.write(letters[number % 7 : number % 7 + 1] * size)
            number += 1
            stop.wait(0.03)

    writer = threading.Thread(target=rewrite)
    writer.start()
    whole = given_up = 0
    try:
        for number in range(12):
            into = tmp_path / f"into{number}"
            into.mkdir()
            try:
                raw = FolderSource(root).fetch(Item("a.bin", ""), into)
            except ItemUnreadable:
                given_up += 1  # it never held still
            else:
                content = raw.path.read_bytes()
                assert len(set(content)) == 1
                assert len(content) == raw.size_bytes == size
                whole += 1
    finally:
        stop.set()
        writer.join()
    assert whole + given_up == 12


def test_a_file_with_an_impossible_time_stamp_is_listed_without_one(root):
    file = root / "a.txt"
    file.write_text("x")
    try:
        os.utime(file, (2**55, 2**55))
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.EOVERFLOW}:
            raise
    except OverflowError:
        pytest.skip("this file system keeps no such time")

    [item] = listed(FolderSource(root)).items
    assert item.uri == "a.txt"


def test_very_deep_folders_are_listed(root):
    deep = os.open(root, os.O_RDONLY)
    for _ in range(300):  # deeper than a path may be long
        os.mkdir("a-long-folder-name", dir_fd=deep)
        below = os.open("a-long-folder-name", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(os.open("end.txt", os.O_CREAT | os.O_WRONLY, dir_fd=deep))
    os.close(deep)

    [uri] = uris(root)
    assert uri.endswith("/end.txt")
    assert uri.count("/") == 300
