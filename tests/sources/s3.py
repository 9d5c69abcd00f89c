"""A bucket on moto's server. An outage is a server that answers the first request and then fails."""

from __future__ import annotations

import contextlib

from tests.buckets import buckets, refused
from tests.sources.place import Place


class S3(Place):
    kind = "s3"

    def __init__(self, context, tmp_path, resources):
        self.buckets = resources.enter_context(buckets())
        self.source = self.buckets.source("team")

    def write(self, name, content):
        self.buckets.put(f"team/{name}", content)

    def remove(self, name):
        self.buckets.remove(f"team/{name}")

    def rename(self, name, new_name):
        content = self.buckets.backend.get_object("documents", f"team/{name}").value
        self.buckets.remove(f"team/{name}")
        self.buckets.put(f"team/{new_name}", content)

    @contextlib.contextmanager
    def outage(self):
        self.buckets.served.fault = lambda environ: refused("500 Internal Server Error", "InternalError")
        yield
        self.buckets.served.fault = lambda environ: None
