"""The fake that the package ships."""

from __future__ import annotations

import contextlib

from indexing.errors import SourceError
from indexing.testing import FakeSource
from tests.sources.place import Place


class Fake(Place):
    kind = "fake"
    has_lists = True

    def __init__(self, context, tmp_path, resources):
        self.source = FakeSource()

    def write(self, name, content):
        self.source.write(name, content)

    def remove(self, name):
        self.source.remove(name)

    def rename(self, name, new_name):
        self.source.rename(name, new_name)

    def let(self, name, readers):
        self.source.readers[name] = tuple(readers)

    @contextlib.contextmanager
    def outage(self):
        self.source.error = SourceError("The source is away.")
        self.source.unreadable = set(self.source._files)
        yield
        self.source.error = None
        self.source.unreadable = set()
