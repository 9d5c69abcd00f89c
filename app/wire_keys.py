"""Bodies of requests and responses about API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictInt

from app.wire import Wire, example

_KEY = {
    "id": "4f1d0c9a2b7e6853",
    "principal": "payroll-bot",
    "label": "nightly report",
    "permissions": ["ask"],
    "created_at": "2026-03-02T09:00:00Z",
    "expires_at": "2026-05-31T09:00:00Z",
    "revoked_at": None,
}


class KeyIn(Wire):
    """A key to make."""

    model_config = example(principal="payroll-bot", permissions=["ask"], label="nightly report", expires_days=90)

    principal: str = Field(max_length=255, description="Name of a user or service.")
    permissions: tuple[Annotated[str, Field(max_length=32)], ...] = Field(
        ("ask", "read"), max_length=10, description="At most these; what the role allows still decides."
    )
    label: str = Field("", max_length=100, description="What it is for.")
    expires_days: StrictInt = Field(90, ge=1, le=3650)


class KeyOut(Wire):
    """A key without its secret."""

    model_config = example(**_KEY)

    id: str
    principal: str
    label: str
    permissions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyMadeOut(KeyOut):
    """A key that was just made; its text cannot be had again."""

    model_config = example(key="metier_4f1d0c9a2b7e6853_…", **_KEY)

    key: str = Field(description="Send it as `Authorization: Bearer …`.")


class KeysOut(Wire):
    """All keys."""

    model_config = example(keys=[_KEY])

    keys: tuple[KeyOut, ...]
