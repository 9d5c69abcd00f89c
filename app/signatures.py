"""Signatures of webhooks, both ways: HMAC-SHA256 of the bytes that are sent, by a secret that both sides know.

What Métier sends is signed as standardwebhooks.com says. What it is sent may be signed so, or as GitHub and Gitea do,
or carry GitLab's token. The library of that project takes signatures that were altered in base64's unused bits, and
times with fractions, so the few lines are here: texts are compared whole, in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from app.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "whsec_"
#: A secret that can be guessed is none.
LEAST_CHARACTERS = 24
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")  # without a dot: it would not be clear where the time begins
_TIME = re.compile(r"[0-9]{1,12}")


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_strength(secret: str) -> None:
    """Raise BadRequest for a secret that is too short to sign with."""
    if len(secret) < LEAST_CHARACTERS:
        raise BadRequest(
            f"The secret has fewer than {LEAST_CHARACTERS} characters.",
            remedy="Store a longer one with `metier sources secret`, or leave it out to have one made.",
        )


def _key(secret: str) -> bytes:
    """Return the key: what the text encodes where it begins with the prefix, else the text's own bytes."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def signed(secret: str, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign *body*, sent at *seconds* of the Unix epoch."""
    content = f"{message_id}.{seconds}.".encode() + body
    digest = hmac.new(_key(secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def checked(secret: str, headers: Mapping[str, str], body: bytes, seconds: float, window_s: int) -> str | None:
    """Return the id of a message that is signed with *secret*, "" where its format has none; None when it is not.

    *headers* have names in small letters. A message with a time is good for *window_s* around it.
    """
    if "webhook-signature" in headers:
        message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not (_ID.fullmatch(message_id) and _TIME.fullmatch(sent)):
            return None
        right = signed(secret, message_id, int(sent), body)["webhook-signature"]
        given = headers["webhook-signature"].split(" ")[:8]  # several, while a secret is being replaced
        fits = [_same(each, right) for each in given]  # all of them: a first that fits takes as long as a last
        fresh = abs(seconds - int(sent)) <= window_s and sent == str(int(sent))
        return message_id if any(fits) and fresh else None
    if "x-hub-signature-256" in headers:
        right = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return "" if _same(headers["x-hub-signature-256"], right) else None
    return "" if _same(headers.get("x-gitlab-token", ""), secret) else None


def _same(given: str, right: str) -> bool:
    """Compare in constant time, as bytes: a header may hold any character."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())
