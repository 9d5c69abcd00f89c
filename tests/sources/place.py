"""What the contract tests of sources work on: a place that the test writes to, and the source that reads it."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from indexing.testing import listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexing.sources import SourceContext


class Place:
    """A place of one kind of source. ``tests/sources/<kind>.py`` has one for each, on a real server where there is one.

    Documents have names, which tests choose, and uris, which the source chooses.
    """

    kind = ""
    knows_sizes = True  # items come with their exact size
    keeps_identity = False  # a renamed document keeps its uri: it is known by an id
    has_lists = False  # the place says who may read a document
    issuer = "local"  # whose the names of readers are
    source: Any  # a Source; tests know more of theirs

    def __init__(self, context: SourceContext, tmp_path: Path, resources: contextlib.ExitStack) -> None:
        """Start what is needed; *resources* ends it."""

    def uri(self, name: str) -> str:
        """Return the uri under which the source lists what is called *name*."""
        return name

    def write(self, name: str, content: bytes) -> None:
        """Add the document, or edit it."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Delete the document, into the trash where there is one."""
        raise NotImplementedError

    def rename(self, name: str, new_name: str) -> None:
        """Give the document another name."""
        raise NotImplementedError

    def holds(self, found: bytes, content: bytes) -> bool:
        """Return whether *found*, which the source handed out, is the document with this content."""
        return found == content

    def let(self, name: str, readers: list[str]) -> None:
        """Make *readers* the ones who may read the document; only with ``has_lists``."""
        raise NotImplementedError

    def outage(self) -> contextlib.AbstractContextManager[None]:
        """Fail in the middle of a listing, and when something is fetched, as long as the body goes on."""
        raise NotImplementedError


class OnDisk(Place):
    """Files of a folder of this machine, which the source may see through a server."""

    root: Path

    def __init__(self, context: SourceContext, tmp_path: Path, resources: contextlib.ExitStack) -> None:
        super().__init__(context, tmp_path, resources)
        self.root = tmp_path / "root"
        self.root.mkdir()

    def write(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def rename(self, name: str, new_name: str) -> None:
        (self.root / name).rename(self.root / new_name)


class Ended:
    """An outage that ends the server and its connections."""

    server: Any

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        self.server.end()
        yield
        self.server.begin()


def fetched(tmp_path: Path, source: Any, item: Any) -> Any:
    """Fetch the item into a new folder."""
    into = tmp_path / f"into{len(list(tmp_path.iterdir()))}"
    into.mkdir()
    return source.fetch(item, into)


def aged(path: Path, seconds: float = 3600) -> None:
    """Let the file look as if it was written long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def settled_files_are_told_by_time(root: Path, source: Any, fetch: Any) -> None:
    """Check that an old file is told by time and size, a new one by its bytes, and both the same when fetched."""
    (root / "old.txt").write_text("old")
    aged(root / "old.txt")
    (root / "new.txt").write_text("new")

    found = {item.uri: item for item in listed(source).items}

    assert found["old.txt"].version_tag.startswith("modified ")
    assert found["new.txt"].version_tag.startswith("sha256 ")
    for item in found.values():
        assert fetch(source, item).version_tag == item.version_tag
