"""A git repository, and git's own server program (http-backend) on loopback, for a user with a token."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from tests.wsgi import serving_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.wsgi import Served

TOKEN = "a-token"
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
}


class Repository:
    """A bare repository that is written to without a working tree: any name and mode can be committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heads: dict[str, str] = {}  # branch → its newest commit
        self.git("init", "-q", "--bare", "--template=", "-b", "main", str(path), inside=False)
        self.commit()

    def git(self, *arguments, content=b"", inside=True):
        where = ["--git-dir", str(self.path)] if inside else []
        done = subprocess.run(
            ["git", *where, *arguments],
            input=content, capture_output=True, check=True, timeout=20, env={**os.environ, **_ENVIRONMENT},
        )  # fmt: skip
        return done.stdout.strip()

    def blob(self, content: bytes):
        return self.git("hash-object", "-w", "--stdin", content=content).decode()

    def change(self, *lines: str, branch="main"):
        """Write lines of ``git update-index --index-info`` and commit."""
        self.git("update-index", "-z", "--index-info", content=b"".join(line.encode() + b"\0" for line in lines))
        self.commit(branch)

    def write(self, name: str, content: bytes, mode="100644"):
        self.change(f"{mode} {self.blob(content)}\t{name}")

    def drop(self, branch: str):
        self.git("update-ref", "-d", f"refs/heads/{branch}")
        del self.heads[branch]

    def remove(self, name: str):
        self.change(f"0 {'0' * 40}\t{name}")

    def commit(self, branch="main", tree=""):
        tree = tree or self.git("write-tree").decode()
        before = self.heads.get(branch)
        made = self.git("commit-tree", tree, "-m", "x", *(["-p", before] if before else [])).decode()
        self.git("update-ref", f"refs/heads/{branch}", made)
        self.heads[branch] = made
        return made


def _backend(root: Path):
    def app(environ, start_response):
        expected = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        if environ.get("HTTP_AUTHORIZATION") != expected:
            start_response("401 Unauthorized", [("WWW-Authenticate", "Basic"), ("Content-Length", "0")])
            return [b""]
        told = {
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": environ.get("HTTP_GIT_PROTOCOL", ""),
            "REMOTE_USER": "ann",
            **{
                name: environ.get(name, "")
                for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")
            },
        }
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        done = subprocess.run(
            ["git", "http-backend"],
            input=body, capture_output=True, check=True, timeout=20, env={**os.environ, **_ENVIRONMENT, **told},
        )  # fmt: skip
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = headers.pop("Status", "200 OK")
        start_response(status, [*headers.items(), ("Content-Length", str(len(content)))])
        return [content]

    return app


@contextlib.contextmanager
def git_server(root: Path) -> Iterator[Served]:
    """Yield a server of the repositories below *root*."""
    with serving_app(_backend(root)) as served:
        yield served
