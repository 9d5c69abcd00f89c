"""Waiting because a server asked us to: the run that waits says so, and a run that is cancelled stops waiting."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Waits in the name of the run that goes on here; the threads that read for it inherit this.
waiting: ContextVar[Callable[[float], None] | None] = ContextVar("waiting", default=None)


def wait(seconds: float) -> None:
    """Return after so many seconds, or sooner when the run was cancelled; outside a run this only sleeps."""
    (waiting.get() or time.sleep)(seconds)
