"""What goes over HTTP about specialists. The rules are those of `app/wire.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from app.wire import NAME_CHARS, Name, Text, Wire, example

#: Who gets to see the answers of a specialist.
Audience = Literal["asker", "public"]
#: A user, a service, a group or "everyone"; issuer|name for one of an identity provider.
Who = Annotated[Text, Field(max_length=512)]
LISTED_MOST = 1000


class SpecialistVersionIn(Wire):
    """What a version of a specialist says; None means: the server's setting."""

    model_config = example(sources=["handbook"], instructions="Answer for the HR team.", top_k=8)

    sources: tuple[Name, ...] = Field((), max_length=100, description="Names of sources; all when empty.")
    instructions: Annotated[Text, Field(max_length=8000)] = ""
    generator: Annotated[Text, Field(max_length=255)] | None = None
    top_k: StrictInt | None = Field(None, ge=1, le=50)
    threshold: StrictFloat | None = Field(None, ge=0, le=1, description="Least confidence for an answer.")


class SpecialistIn(SpecialistVersionIn):
    """A new specialist."""

    model_config = example(name="hr", sources=["handbook"], instructions="Answer for the HR team.", askers=["staff"])

    name: Text = Field(max_length=NAME_CHARS, description="Small letters, digits, dots, hyphens, underscores.")
    askers: tuple[Who, ...] = Field(
        (), max_length=LISTED_MOST, description="Who may ask it, besides its maker; `everyone` is whoever is known."
    )
    audience: Audience = Field("asker", description="`public`: answers are made from what everyone may read.")


class SpecialistOut(Wire):
    """One version of one specialist."""

    model_config = example(
        name="hr",
        version=1,
        sources=["handbook"],
        instructions="",
        generator=None,
        top_k=None,
        threshold=None,
        audience="asker",
    )

    name: str
    version: int
    sources: tuple[str, ...]
    instructions: str
    generator: str | None
    top_k: int | None
    threshold: float | None
    audience: Audience


class SpecialistsOut(Wire):
    """Specialists, each in the version that answers; or all versions of one."""

    specialists: tuple[SpecialistOut, ...]


class SpecialistAccessIn(Wire):
    """Who may ask a specialist, who may change it, who gets to see its answers; what is absent stays."""

    model_config = example(askers=["staff"], curators=["hr-team"], audience="asker")

    askers: Annotated[tuple[Who, ...], Field(max_length=LISTED_MOST)] | None = None
    curators: Annotated[tuple[Who, ...], Field(max_length=LISTED_MOST)] | None = Field(
        None, description="Only an operator changes them."
    )
    audience: Audience | None = Field(None, description="Only an operator changes it.")


class SpecialistAccessOut(Wire):
    """The two lists of a specialist, and its audience."""

    model_config = example(askers=["staff"], curators=["hr-team"], audience="asker")

    askers: tuple[str, ...]
    curators: tuple[str, ...]
    audience: Audience
