"""Bodies of responses about the audit log."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from app.wire import Wire, example

_LINE = {
    "seq": 1204,
    "at": "2026-03-02T09:00:00Z",
    "principal_id": 1,
    "by": "local",
    "about_id": 7,
    "about": "ann",
    "door": "rest",
    "action": "key.create",
    "object": "4f1d0c9a2b7e6853",
    "outcome": "ok",
    "request_id": "5d0f6c1e",
    "hash": "9f2b6e1d7c3a8045e6f1b2c3d4a5968778695a4b3c2d1e0f9182736455463728",
}


class AuditLineOut(Wire):
    """Who asked or changed what, and when; ids, never content."""

    model_config = example(**_LINE)

    seq: int = Field(description="Without gaps.")
    at: datetime
    principal_id: int | None = Field(description="Who did it; null: the program by itself.")
    by: str | None = Field(description="The name that this principal has now.")
    about_id: int | None = Field(description="The principal that it concerns, if any.")
    about: str | None
    door: str = Field(description="rest, openai, cli or server.")
    action: str = Field(description="Kind and verb, such as key.create.")
    object: str = Field(description="Id of what the action's first word names.")
    outcome: str = Field(description="ok, refused, failed or cancelled.")
    request_id: str | None = Field(description="As in the header X-Request-ID and in the log.")
    hash: str = Field(description="Covers this line and the hash of the line before it.")


class AuditOut(Wire):
    """Lines, oldest first."""

    model_config = example(lines=[_LINE], next_after=None)

    lines: tuple[AuditLineOut, ...]
    next_after: int | None = Field(description="Ask again with this as `after`; null on the last page.")
