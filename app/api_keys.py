"""Routes about API keys: ``/v1/keys``. People, groups and access lists are changed on the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path

from app import audit, keys, people
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.auth import MayAdminister, PartsHere, checked_permissions
from app.wire_keys import KeyIn, KeyMadeOut, KeyOut, KeysOut
from indexing.principals import principal_with_id
from indexing.tables import utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["keys"])


@router.post("/keys", operation_id="create_key", status_code=201, summary="Make a key", responses=may_fail(404))
def create_key(body: KeyIn, parts: PartsHere, who: MayAdminister) -> KeyMadeOut:
    """Make a key for a user or service. Its text is in this response and nowhere else."""
    with parts.catalog.transaction() as session:
        owner = people.principal(session, body.principal)
        end = utc_now() + timedelta(days=body.expires_days)
        wanted = checked_permissions(body.permissions)
        record, text = keys.create_key(session, owner, wanted, label=body.label, expires_at=end)
        audit.record(session, who.id, "key.create", record.public_id, about=owner.id)
        return KeyMadeOut(key=text, **_out(session, record).model_dump())


@router.get("/keys", operation_id="list_keys", summary="List keys")
def list_keys(parts: PartsHere, _who: MayAdminister) -> KeysOut:
    """Return all keys without their secrets, revoked and expired ones too."""
    with parts.catalog.reading() as session:
        return KeysOut(keys=tuple(_out(session, each) for each in keys.keys(session)))


@router.delete("/keys/{public_id}", operation_id="revoke_key", status_code=204, summary="Revoke a key")
def revoke_key(public_id: Annotated[str, Path(max_length=16)], parts: PartsHere, who: MayAdminister) -> None:
    """Revoke a key; it opens nothing from the next request on."""
    with parts.catalog.transaction() as session:
        owner_id = keys.revoke_key(session, public_id)
        audit.record(session, who.id, "key.revoke", public_id, about=owner_id)


def _out(session: Session, record: keys.KeyRecord) -> KeyOut:
    owner = principal_with_id(session, record.principal_id)
    return KeyOut(
        id=record.public_id,
        principal="" if owner is None else owner.name,
        label=record.label,
        permissions=record.permissions,
        created_at=record.created_at,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
    )
