"""How much one principal may ask for: requests a minute, and answers at the same time.

Both are counted in the memory of this process: several processes allow that many each, and a new start forgets them.
They are per principal, not per key, so that more keys give nobody more. Off unless they are set.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Iterator


class Quotas:
    """The counts of one application. None for a limit means: without one."""

    def __init__(self, requests_per_minute: int | None, answers_at_once: int | None) -> None:
        self._rate = None if requests_per_minute is None else RateLimitItemPerMinute(requests_per_minute)
        self._window = None if self._rate is None else MovingWindowRateLimiter(MemoryStorage())
        self._answers_at_once = answers_at_once
        self._answering: Counter[int] = Counter()
        self._lock = threading.Lock()

    def admit(self, principal_id: int) -> None:
        """Count one request. Raises TooManyRequests, which says when the next one is let in; it is not counted then."""
        if self._rate is None or self._window is None or self._window.hit(self._rate, str(principal_id)):
            return
        free_at = self._window.get_window_stats(self._rate, str(principal_id)).reset_time
        raise TooManyRequests(
            f"More than {self._rate.amount} requests within a minute.",
            retry_after_s=max(1, math.ceil(free_at - time.time())),
        )

    @contextmanager
    def answering(self, principal_id: int) -> Iterator[None]:
        """Hold a place for one answer. Raises TooManyRequests when this principal has none left."""
        with self._lock:
            if self._answers_at_once is not None and self._answering[principal_id] >= self._answers_at_once:
                raise TooManyRequests(f"{self._answers_at_once} answers are being made for you already.")
            self._answering[principal_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._answering[principal_id] -= 1
                if not self._answering[principal_id]:
                    del self._answering[principal_id]
