"""Secrets of sources: passwords and tokens, each in a file of its own that only this program's user may read.

The catalog holds their names only. A name means a file in the folder ``secrets`` of the data directory, or in
METIER_SECRETS_DIR. Files that hold settings (``metier_…``) are no secrets of sources: who may add a source could send
them to a machine of theirs otherwise.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from indexing.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAME = r"(?!metier_)[a-z0-9][a-z0-9._-]{0,63}"
_NAME = re.compile(NAME)
_MOST_BYTES = 64 << 10


def check_secret_name(name: str) -> None:
    """Raise SourceError when *name* cannot name a secret."""
    if not _NAME.fullmatch(name):
        raise SourceError(
            f"{name!r} cannot name a secret.",
            remedy="Use up to 64 small letters, digits, dots, hyphens and underscores, not beginning with metier_.",
        )


def read_secret(folders: Iterable[Path], name: str) -> str:
    """Return the secret called *name*, without blanks at its ends. Raises SourceError when no folder has it."""
    check_secret_name(name)
    for folder in folders:
        try:
            with (folder / name).open(encoding="utf-8") as file:
                found = file.read(_MOST_BYTES).strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as exc:
            raise SourceError(f"The secret {name} cannot be read from {folder}: {exc}.", remedy="Correct it.") from exc
        if found:
            return found
        raise SourceError(f"The secret {name} in {folder} is empty.", remedy=f"Run `metier sources secret {name}`.")
    raise SourceError(
        f"There is no secret called {name}.",
        remedy=f"Run `metier sources secret {name}`, or put it into a file of that name in METIER_SECRETS_DIR.",
    )


def store_secret(data_dir: Path, name: str, secret: str) -> Path:
    """Write the secret to a file of the data directory, in place of any other of that name; return its path."""
    check_secret_name(name)
    folder = data_dir / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = folder / f".{name}.new"
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return made.replace(folder / name)
