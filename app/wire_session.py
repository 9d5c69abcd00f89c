"""What goes over HTTP about sessions. The rules are those of ``app/wire.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.wire import Text, Wire, example


class SessionOut(Wire):
    """Who asks."""

    model_config = example(
        issuer="https://id.example.com",
        name="8f2c…",
        display="Ann Martin",
        role="reader",
        permissions=["ask", "read"],
        csrf_token=None,
    )

    issuer: str
    name: str = Field(description="The subject, by which the issuer knows them.")
    display: str
    role: str
    permissions: tuple[str, ...]
    csrf_token: str | None = Field(description="In a session: what changes must carry as `X-CSRF-Token`.")


class FirstAdminIn(Wire):
    """The token that `metier serve` printed."""

    model_config = example(token="Vd0…")  # noqa: S106 -- an example

    token: Annotated[Text, Field(min_length=1, max_length=200)]
