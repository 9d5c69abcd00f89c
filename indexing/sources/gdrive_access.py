"""Who may read a file of Google Drive, by its permissions, and how a service account shows who it is.

Shapes: https://developers.google.com/workspace/drive/api/reference/rest/v3/permissions. Only what is understood counts.
The grant: https://developers.google.com/identity/protocols/oauth2/service-account (JWT, RFC 7523, RS256).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexing.errors import SourceError
from indexing.principals import LOCAL
from indexing.sources.answers import has_ended, reader
from indexing.sources.oauth import granted
from indexing.tables import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexing.sources.oauth import Token
    from indexing.sources.rest import Rest

SCOPE = "https://www.googleapis.com/auth/drive.readonly"
_ROLES = frozenset({"owner", "organizer", "fileOrganizer", "writer", "commenter", "reader"})
_LIFE_S = 3600


@dataclass(frozen=True, slots=True)
class Directory:
    """Whose the names are, and whose shares are for everyone here: domains, and "anyone" for shares by link."""

    issuer: str = LOCAL
    everyone: frozenset[str] = frozenset()


def readers_of(permissions: Sequence[Any], directory: Directory) -> tuple[str, ...]:
    """Return the names of who may read a file that has these *permissions*, sorted."""
    found = (_granted(each, directory) for each in permissions if isinstance(each, dict))
    return tuple(sorted({name for name in found if name is not None}))


def _granted(permission: dict[str, Any], directory: Directory) -> str | None:
    role, kind = permission.get("role"), permission.get("type")
    if not isinstance(role, str) or role not in _ROLES:
        return None
    if permission.get("deleted") or permission.get("pendingOwner") or "view" in permission:
        return None
    if has_ended(permission.get("expirationTime")):
        return None
    if kind in ("user", "group"):
        address = permission.get("emailAddress")
        return reader(address.lower() if isinstance(address, str) else None, directory.issuer, group=kind == "group")
    shared_with = permission.get("domain") if kind == "domain" else kind if kind == "anyone" else None
    return EVERYONE if isinstance(shared_with, str) and shared_with.lower() in directory.everyone else None


def account_token(rest: Rest, url: str, key: str, subject: str, secret: str) -> Token:
    """Return a token for the service account whose JSON key is *key*; for *subject*, where it may stand in for people.

    *secret* is the name of what *key* is in. Raises SourceError when it is no key, or is not accepted.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import RSAKey

    try:
        account = json.loads(key)
        now = int(time.time())
        claims = {"iss": account["client_email"], "scope": SCOPE, "aud": url, "iat": now, "exp": now + _LIFE_S}
        header = {"alg": "RS256", "typ": "JWT", "kid": account["private_key_id"]}
        signing = RSAKey.import_key(account["private_key"])
        assertion = jwt.encode(header, claims | ({"sub": subject} if subject else {}), signing)
    except (ValueError, KeyError, TypeError, AttributeError, JoseError) as exc:
        raise SourceError(
            f"The secret {secret} is no JSON key of a service account.",
            remedy=f"Make one in the Google Cloud console, and store it: `metier sources secret {secret} < key.json`.",
        ) from exc
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return granted(rest, url, form, secret)
