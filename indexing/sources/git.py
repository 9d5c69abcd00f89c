"""A git repository: the files of one branch, as they are in its newest commit.

The version of a file is its blob id. The library is dulwich, which is Python and runs nothing: no hook, no filter, no
program that a repository's settings name. It brings no connection of its own either: requests go through
``indexing/outbound.py``. Symbolic links, submodules and pointers of Git LFS are no documents.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from indexing.errors import SourceError
from indexing.outbound import Limits, parsed_url
from indexing.sources import Kind, needing
from indexing.sources.rest import basic_auth

if TYPE_CHECKING:
    from indexing.documents import SourceRecord
    from indexing.sources import Source, SourceContext

_REMEDY = "Write https://host/path of the repository, or the absolute path of one on this machine."
#: The parts of a branch's name that git itself allows (git check-ref-format), more strictly.
_BRANCH = re.compile(r"(?![./-])(?!.*(\.\.|//|/\.|\.lock(/|$)|@\{))[^\x00-\x20\x7f~^:?*\[\\]{1,250}(?<![./])")
#: A repository is fetched in one answer, which takes longer than a page.
LIMITS = Limits(seconds=3600.0, silent_s=120.0)


def git_location(location: str) -> str:
    """Return the address or path of a repository as it is stored. Raises SourceError; nothing is asked."""
    text = location.strip()
    if text.startswith("/"):
        path = PurePosixPath(text)
        if ".." in path.parts or not text.isprintable():
            raise SourceError(f"The path {text!r} is not written plainly.", remedy=_REMEDY)
        return "/" + str(path).lstrip("/")
    if not text.lower().startswith("https://"):
        raise SourceError(f"{text!r} is no address of a repository that can be read.", remedy=_REMEDY)
    url = parsed_url(text)
    if url.query or not url.path.strip("/"):
        raise SourceError(f"{text!r} names no repository.", remedy=_REMEDY)
    return str(url).rstrip("/")


def branch_name(text: str) -> str:
    """Return the name of a branch; "" means the one that the repository names. Raises SourceError."""
    if text and not _BRANCH.fullmatch(text):
        raise SourceError(f"{text!r} cannot be the name of a branch.", remedy="Write it as git branch shows it.")
    return text


def basic(user: str, token: str) -> dict[str, str]:
    """Return the header that says who we are; none without a token."""
    if not token:
        return {}
    return basic_auth(user, token)


def _opened(record: SourceRecord, context: SourceContext) -> Source:
    with needing("git", "git needs"):
        from indexing.sources.git_client import Clone, LocalRepository
        from indexing.sources.git_files import GitSource
    location = git_location(record.location)
    branch = branch_name(record.options.get("branch", ""))
    repository: Clone | LocalRepository
    if location.startswith("/"):
        repository = LocalRepository(Path(location), branch)
    else:
        repository = Clone(
            context.settings.data_dir / "git" / str(record.id),
            location,
            branch,
            headers=basic(record.options.get("user", "x-access-token"), context.secret(record)),
            outbound=replace(context.outbound, limits=LIMITS),
        )
    return GitSource(repository, pattern=record.options.get("path", ""), most_bytes=context.most_bytes)


GIT = Kind(
    _opened,
    git_location,
    "the https address of a repository, or the absolute path of one on this machine",
    {
        "branch": "the branch to read; without it the one that the repository names (HEAD)",
        "path": "which files, as a pattern: docs/**/*.md",
        "user": "the user whose token the secret is; x-access-token without it",
    },
    "a token that may read the repository",
)
