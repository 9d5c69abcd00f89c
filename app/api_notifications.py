"""Routes about whom to tell of trouble: ``/v1/notifications``. For admins: targets are outside the permission model."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from app import notification_targets
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.auth import MayAdminister, PartsHere  # noqa: TC001 -- FastAPI resolves annotations at run time
from app.notifying import attempt, carrier_of, trial
from app.wire_notifications import NotificationIn, NotificationOut, NotificationsOut, TriedOut
from indexing import targets

router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["notifications"])

TargetId = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/notifications", operation_id="list_notifications", summary="List targets of notifications")
def list_notifications(parts: PartsHere, _who: MayAdminister) -> NotificationsOut:
    """Return whom the program tells of trouble, and whether that works."""
    with parts.catalog.reading() as session:
        return NotificationsOut(notifications=tuple(NotificationOut.of(t) for t in targets.targets(session)))


@router.post(
    "/notifications",
    operation_id="add_notification",
    status_code=201,
    summary="Add a target of notifications",
    responses=may_fail(400),
)
def add_notification(body: NotificationIn, parts: PartsHere, who: MayAdminister) -> NotificationOut:
    """Tell this target, from now on, of what goes wrong: one message for all of it in each interval."""
    return NotificationOut.of(notification_targets.add_target(parts.catalog, body.wanted(), who.id))


@router.delete(
    "/notifications/{target_id}",
    operation_id="remove_notification",
    status_code=204,
    summary="Remove a target of notifications",
)
def remove_notification(target_id: TargetId, parts: PartsHere, who: MayAdminister) -> None:
    """Tell this target nothing any more."""
    notification_targets.remove_target(parts.catalog, target_id, who.id)


@router.post("/notifications/{target_id}/test", operation_id="test_notification", summary="Send a test to a target")
def test_notification(target_id: TargetId, parts: PartsHere, who: MayAdminister) -> TriedOut:
    """Send a message that tells nothing, and return whether it arrived."""
    found = notification_targets.target_to_try(parts.catalog, target_id, who.id)
    why = attempt(carrier_of(parts), trial(found))
    return TriedOut(arrived=why is None, error=why)
