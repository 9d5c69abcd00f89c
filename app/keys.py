"""API keys: ``metier_<public id>_<secret>``, 256 random bits that are shown once and kept as a hash.

The public id finds the row; the secret is compared in constant time. A SHA-256 is enough for what nobody can guess:
slow hashes protect passwords, which people choose. A key carries at most the permissions it was given, and never more
than its principal's role allows at that moment. Functions take a session and never commit.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from app.errors import BadRequest, NotFound
from app.tables import ApiKeyRow
from indexing.principals import principal_with_id
from indexing.tables import utc_now

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.orm import Session

    from indexing.principals import PrincipalRecord

PREFIX = "metier_"
_KEY = re.compile(r"metier_(?P<public>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})")
LABEL_CHARS = 100


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key without its secret, which nobody has but its bearer."""

    public_id: str
    principal_id: int
    label: str
    permissions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose key it is, and what the key allows at most."""

    principal: PrincipalRecord
    permissions: frozenset[str]


def create_key(
    session: Session,
    principal: PrincipalRecord,
    permissions: Collection[str],
    *,
    label: str = "",
    expires_at: datetime | None = None,
) -> tuple[KeyRecord, str]:
    """Return the key's record, and its text, which cannot be had again.

    Raises BadRequest for a group, a label that is too long, no permission, or an end that has passed.
    """
    if principal.kind not in ("user", "service"):
        raise BadRequest(f"{principal.name} is a {principal.kind}: keys are for users and services.")
    if len(label) > LABEL_CHARS:
        raise BadRequest(f"The label is longer than {LABEL_CHARS} characters.", remedy="Shorten it.")
    if not permissions:
        raise BadRequest("A key without a permission opens nothing.", remedy="Name one, such as ask.")
    if expires_at is not None and expires_at <= utc_now():
        raise BadRequest("The key would have expired already.", remedy="Choose a later end.")
    public, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    row = ApiKeyRow(
        public_id=public,
        secret_sha256=hashed(secret),
        principal_id=principal.id,
        label=label,
        permissions=sorted(permissions),
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return _record(row), f"{PREFIX}{public}_{secret}"


def bearer(session: Session, text: str) -> Bearer | None:
    """Return whose key *text* is; None for one that is unknown, revoked, expired, or whose principal is suspended.

    The four look the same, and take the same time: the secret is compared whether or not there is a row.
    """
    match = _KEY.fullmatch(text)
    public, secret = (match["public"], match["secret"]) if match else ("", "")
    row = session.scalars(select(ApiKeyRow).where(ApiKeyRow.public_id == public)).one_or_none()
    right = same(hashed(secret), row.secret_sha256 if row else hashed("nobody"))
    if row is None or not right or row.revoked_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= utc_now():
        return None
    principal = principal_with_id(session, row.principal_id)
    if principal is None or principal.state != "active":
        return None
    return Bearer(principal, frozenset(row.permissions))


def keys(session: Session, principal_id: int | None = None) -> list[KeyRecord]:
    """Return all keys, or one principal's, oldest first; revoked and expired ones too."""
    query = select(ApiKeyRow).order_by(ApiKeyRow.id)
    if principal_id is not None:
        query = query.where(ApiKeyRow.principal_id == principal_id)
    return [_record(row) for row in session.scalars(query)]


def revoke_key(session: Session, public_id: str) -> int:
    """End a key from the next request on and return whose it is. Raises NotFound; twice keeps the first moment."""
    owner_id = session.scalar(select(ApiKeyRow.principal_id).where(ApiKeyRow.public_id == public_id))
    if owner_id is None:
        raise NotFound(f"There is no key {public_id}.", remedy="`metier key list` shows them.")
    live = (ApiKeyRow.public_id == public_id) & ApiKeyRow.revoked_at.is_(None)
    session.execute(update(ApiKeyRow).where(live).values(revoked_at=utc_now()))
    return owner_id


def same(given: str, expected: str) -> bool:
    """Tell whether both are the same, in a time that does not tell how far they agree: benchmarks/key_timing.py."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


def hashed(secret: str) -> str:
    """Return what is kept of a key's secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _record(row: ApiKeyRow) -> KeyRecord:
    return KeyRecord(
        row.public_id,
        row.principal_id,
        row.label,
        tuple(row.permissions),
        row.created_at,
        row.expires_at,
        row.revoked_at,
    )
