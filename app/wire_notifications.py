"""What goes over HTTP about notifications. The rules are those of ``app/wire.py``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictInt

from app.wire import Text, Wire, example
from indexing.targets import NewTarget

if TYPE_CHECKING:
    from indexing.targets import Target

Event = Literal["run_failed", "run_held", "permissions_old", "schedule_late"]
_TARGET = {
    "kind": "email",
    "address": "operations@example.com",
    "server": "smtp://metier%40example.com@mail.example.com:587",
    "events": ["run_failed", "run_held", "permissions_old", "schedule_late"],
    "digest_minutes": 15,
    "secret": "mail",
    "language": "fr",
}


class NotificationIn(Wire):
    """Whom to tell of what."""

    model_config = example(**_TARGET)

    kind: Literal["webhook", "email", "slack"]
    address: Annotated[Text, Field(max_length=2048)] = Field(
        description="Of a webhook its URL, of Slack a channel's id, else an e-mail address."
    )
    server: Annotated[Text, Field(max_length=512)] | None = Field(
        None,
        description="Of an e-mail: smtp://user@host:587; encryption (STARTTLS) is required. Of Slack the workspace's "
        "id, where more than one is connected.",
    )
    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=8)] = (
        "run_failed",
        "run_held",
        "permissions_old",
        "schedule_late",
    )
    digest_minutes: Annotated[StrictInt, Field(ge=1, le=10_080)] = Field(
        15, description="At most one message in this time."
    )
    secret: Annotated[Text, Field(max_length=64)] | None = Field(
        None, description="The name of the secret that signs, or of the user's password; never the secret itself."
    )
    language: Literal["en", "fr"] = Field("en", description="Of e-mails and messages in Slack.")

    def wanted(self) -> NewTarget:
        """Return what is asked for."""
        return NewTarget(
            self.kind, self.address, self.server, tuple(self.events), self.digest_minutes, self.secret, self.language
        )


class NotificationOut(Wire):
    """A target, and how sending to it goes."""

    model_config = example(
        id=1, **_TARGET, failed_in_row=0, last_error=None, last_sent_at="2026-03-02T09:01:00Z", waiting=0
    )

    id: int
    kind: str
    address: str
    server: str | None
    events: tuple[str, ...]
    digest_minutes: int
    secret: str | None
    language: str
    failed_in_row: int = Field(description="Attempts that failed since a message last arrived.")
    last_error: str | None
    last_sent_at: datetime | None
    waiting: int = Field(description="Things to tell that have not arrived.")

    @classmethod
    def of(cls, target: Target) -> NotificationOut:
        """Return the body for *target*."""
        wanted = target.wanted
        return cls(
            id=target.id,
            kind=wanted.kind,
            address=wanted.address,
            server=wanted.server,
            events=wanted.events,
            digest_minutes=wanted.digest_minutes,
            secret=wanted.secret,
            language=wanted.language,
            failed_in_row=target.failed_in_row,
            last_error=target.last_error,
            last_sent_at=target.last_sent_at,
            waiting=target.waiting,
        )


class NotificationsOut(Wire):
    """All targets."""

    notifications: tuple[NotificationOut, ...]


class TriedOut(Wire):
    """Whether a test message arrived."""

    model_config = example(arrived=True, error=None)

    arrived: bool
    error: str | None
