"""The version of the program, as it was installed."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version that ``pyproject.toml`` gave to the installed package."""
    return metadata.version("metier")
