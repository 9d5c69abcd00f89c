"""Who asks, and what they may do.

Every route declares its permission through a dependency (``needs``); there is no middleware that looks at
paths, because a path can be spelled in ways that a router and a guard read differently. A test lists all
routes and fails on one without. Open to everyone are only ``/healthz`` and ``/readyz``, which tell nothing
about documents; ``/metrics`` and ``/openapi.json`` need the token like everything else.

On loopback without ``api_token`` the program runs open for the one local principal. With a token, only
its bearer is that principal. ``settings.py`` refuses any other address without a token.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import Depends, Request

from app.errors import Forbidden, NotAllowed
from app.parts import Parts
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexing.documents import Scope

Permission = Literal["ask", "read", "write", "operate", "observe"]
#: ask questions and search; read documents and settings of sources; push and delete documents; run syncs and
#: change sources and specialists; read metrics.
PERMISSIONS: frozenset[Permission] = frozenset({"ask", "read", "write", "operate", "observe"})
#: Routes that need no permission, with nothing behind them but "it is up".
OPEN_ROUTES = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as the catalog knows them, and what they may do."""

    id: int
    permissions: frozenset[Permission]


LOCAL_PRINCIPAL = Principal(LOCAL_PRINCIPAL_ID, PERMISSIONS)


def parts_of(request: Request) -> Parts:
    """Return the parts that the application was created with."""
    return cast("Parts", request.app.state.parts)


def principal(request: Request) -> Principal:
    """Return who asks; NotAllowed when a token is set and the request does not carry it.

    The token is compared in constant time, as bytes, so that neither its length of agreement nor a
    character outside ASCII tells anything.
    """
    expected = parts_of(request).settings.api_token
    if expected is None:
        return LOCAL_PRINCIPAL
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8"), expected.get_secret_value().encode("utf-8"))
    if scheme.lower() != "bearer" or not same:
        raise NotAllowed("The API token is missing or wrong.")
    return LOCAL_PRINCIPAL


def needs(permission: Permission) -> Callable[..., Principal]:
    """Return the dependency that lets in who has *permission*, and returns that principal."""

    def permitted(who: Annotated[Principal, Depends(principal)]) -> Principal:
        if permission not in who.permissions:
            raise Forbidden(f"This needs the permission “{permission}”.")
        return who

    permitted.__dict__["permission"] = permission  # read by the test that lists all routes
    return permitted


def scope_of(parts: Parts, who: Principal) -> Scope:
    """Return what *who* may read now, resolved from the catalog: a revocation holds from the next request on."""
    from indexing.access import authorise

    with parts.catalog.reading() as session:
        return authorise(session, who.id)


#: The parameter types of routes.
PartsHere = Annotated[Parts, Depends(parts_of)]
MayAsk = Annotated[Principal, Depends(needs("ask"))]
MayRead = Annotated[Principal, Depends(needs("read"))]
MayWrite = Annotated[Principal, Depends(needs("write"))]
MayOperate = Annotated[Principal, Depends(needs("operate"))]
MayObserve = Annotated[Principal, Depends(needs("observe"))]
