"""A folder of this machine. An outage is a folder that was not mounted."""

from __future__ import annotations

import contextlib

from indexing import store
from indexing.sources import open_source
from tests.sources.place import OnDisk


class Folder(OnDisk):
    kind = "folder"
    has_lists = True

    def __init__(self, context, tmp_path, resources):
        super().__init__(context, tmp_path, resources)
        with context.catalog.transaction() as session:
            self.record = store.add_source(session, "place", "folder", str(self.root))
        self.source = open_source(self.record, context)

    def let(self, name, readers):
        names = ", ".join(f'"{reader}"' for reader in readers)
        (self.root / name).parent.joinpath(".metier-access.toml").write_text(f"readers = [{names}]")

    @contextlib.contextmanager
    def outage(self):
        away = self.root.with_name("away")
        self.root.rename(away)
        yield
        away.rename(self.root)
