"""How fast this process asks Slack for things: no faster than Slack's tiers, and not before a Retry-After is over.

Slack counts for each method and workspace; posting is counted for each channel. The counts are in the memory of this
process: several replicas together may go over a tier, and then Slack's Retry-After tells each of them to wait.
"""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.errors import SlackError

_TIER_2, _TIER_3, _TIER_4 = RateLimitItemPerMinute(20), RateLimitItemPerMinute(50), RateLimitItemPerMinute(100)
#: Methods that Slack counts otherwise than in tier 3; posting allows short bursts over one message a second.
_TIERS = {
    "assistant.threads.setStatus": RateLimitItemPerMinute(600),
    "chat.appendStream": _TIER_4,
    "chat.postEphemeral": _TIER_4,
    "chat.postMessage": RateLimitItemPerSecond(5, 5),
    "chat.startStream": _TIER_2,
    "chat.stopStream": _TIER_2,
    "conversations.list": _TIER_2,
    "conversations.members": _TIER_4,
    "files.info": _TIER_4,
    "reactions.remove": _TIER_2,
    "users.info": _TIER_4,
    "users.list": _TIER_2,
    "views.open": _TIER_4,
    "views.publish": _TIER_4,
    "views.update": _TIER_4,
}
_BY_CHANNEL = {"chat.postMessage"}
_MARGIN_S = 0.01


class Pace:
    """The counts of one workspace in this process."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._closed_until: dict[tuple[str, str], float] = {}  # by method and channel, on the monotonic clock

    def wait(self, method: str, channel: str, until: float) -> None:
        """Return when *method* may be asked, and count it. Raises SlackError when that is after *until*, at once.

        *until* is on the monotonic clock. Nothing is counted for what is not allowed.
        """
        key = _key(method, channel)
        tier = _TIERS.get(method, _TIER_3)
        while True:
            wait_s = self._closed_until.get(key, 0.0) - time.monotonic()
            if wait_s <= 0:
                if self._window.hit(tier, *key):
                    return
                wait_s = self._window.get_window_stats(tier, *key).reset_time - time.time()
            wait_s = max(wait_s, 0) + _MARGIN_S
            if time.monotonic() + wait_s > until:
                raise too_fast(method, wait_s)
            time.sleep(wait_s)

    def closed(self, method: str, channel: str, retry_after_s: float) -> None:
        """Note that Slack takes no more of *method* for that long."""
        self._closed_until[_key(method, channel)] = time.monotonic() + retry_after_s


def too_fast(method: str, wait_s: float) -> SlackError:
    """Return the error for what would have to wait longer than the caller can."""
    after = max(1, math.ceil(wait_s))
    remedy = "It is tried again by itself; many at once take a while."
    return SlackError(
        f"Slack takes no more {method} for {after} s.", remedy=remedy, code="ratelimited", retry_after_s=after
    )


def _key(method: str, channel: str) -> tuple[str, str]:
    return method, channel if method in _BY_CHANNEL else ""
