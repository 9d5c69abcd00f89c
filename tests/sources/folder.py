"""A folder of this machine. An outage is a folder that was not mounted."""

from __future__ import annotations

import contextlib

from indexing import store
from indexing.sources import open_source
from tests.sources.place import Place


class Folder(Place):
    kind = "folder"
    has_lists = True

    def __init__(self, context, tmp_path, resources):
        self.root = tmp_path / "root"
        self.root.mkdir()
        with context.catalog.transaction() as session:
            self.record = store.add_source(session, "place", "folder", str(self.root))
        self.source = open_source(self.record, context)

    def write(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, name):
        (self.root / name).unlink()

    def rename(self, name, new_name):
        (self.root / name).rename(self.root / new_name)

    def let(self, name, readers):
        names = ", ".join(f'"{reader}"' for reader in readers)
        (self.root / name).parent.joinpath(".metier-access.toml").write_text(f"readers = [{names}]")

    @contextlib.contextmanager
    def outage(self):
        away = self.root.with_name("away")
        self.root.rename(away)
        yield
        away.rename(self.root)
