"""Whether a request comes from Slack: its signature over the raw body, checked before anything is parsed."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from slack_sdk.signature import Clock, SignatureVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMESTAMP, SIGNATURE = "x-slack-request-timestamp", "x-slack-signature"
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


class _At(Clock):
    """A clock that shows one moment."""

    def __init__(self, moment: float) -> None:
        self.moment = moment

    def now(self) -> float:
        """Return the moment."""
        return self.moment


def verified(secret: str, headers: Mapping[str, str], raw_body: bytes, now: float) -> str | None:
    """Return what identifies this signed request, for the replay store; None when it is not Slack's, or too old.

    *headers* have small letters. A request is good for five minutes before and after its own time. Compared in
    constant time; nothing in it, or missing in it, raises.
    """
    timestamp, signature = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not secret.strip() or not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return None
    try:
        good = SignatureVerifier(secret, _At(now)).is_valid(raw_body, timestamp, signature)
    except ValueError:  # a body that is not UTF-8: Slack sends none
        return None
    return hashlib.sha256(f"{timestamp}:{signature}".encode()).hexdigest() if good else None
