"""Who asks, and what they may do.

Every route declares its permission through a dependency (``needs``); there is no middleware that looks at
paths, because a path can be spelled in ways that a router and a guard read differently. A test lists all
routes and fails on one without. Open to everyone are only ``/healthz`` and ``/readyz``, which tell nothing
about documents; ``/metrics`` and ``/openapi.json`` need the token like everything else.

Whoever sends an API key (``app.keys``) is the key's principal. On loopback without ``api_token`` everybody else is the
one local principal; with a token, only its bearer is. ``settings.py`` refuses any other address without a token.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import Depends, Request

from app import keys
from app.errors import BadRequest, Forbidden, NotAllowed
from app.parts import Parts
from app.specialists import Asker
from indexing.principals import principal_with_id
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlalchemy.orm import Session

    from app.quotas import Quotas
    from indexing.documents import Scope

Permission = Literal["ask", "read", "curate", "write", "operate", "observe", "admin"]
#: ask questions and search; read documents and settings of sources; change the specialists that one is a curator of;
#: push and delete documents; run syncs and change sources and all specialists; read metrics; give out and revoke keys.
PERMISSIONS: frozenset[Permission] = frozenset({"ask", "read", "curate", "write", "operate", "observe", "admin"})
#: What a principal of each role may do, on what it may read. A key narrows this; nothing widens it.
ROLES: dict[str, frozenset[Permission]] = {
    "reader": frozenset({"ask", "read", "curate"}),
    "operator": frozenset({"ask", "read", "curate", "write", "operate", "observe"}),
    "admin": PERMISSIONS,
}
#: Routes that need no permission, with nothing behind them but "it is up".
OPEN_ROUTES = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as the catalog knows them, and what they may do."""

    id: int
    permissions: frozenset[Permission]


def parts_of(request: Request) -> Parts:
    """Return the parts that the application was created with."""
    return cast("Parts", request.app.state.parts)


def principal(request: Request) -> Principal:
    """Return who asks. Raises NotAllowed for a key or token that is not good, and for who is suspended.

    Token and secret are compared in constant time, as bytes, so that neither their length of agreement nor a
    character outside ASCII tells anything.
    """
    parts = parts_of(request)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    given = given.strip()
    bearer = scheme.lower() == "bearer"
    token = parts.settings.api_token
    if token is not None and bearer and keys.same(given, token.get_secret_value()):
        return _local(parts)
    if given.startswith(keys.PREFIX):
        return _bearer(parts, given if bearer else "")
    if token is not None:
        raise NotAllowed("The API token is missing or wrong.")
    return _local(parts)


def _bearer(parts: Parts, text: str) -> Principal:
    with parts.catalog.reading() as session:
        found = keys.bearer(session, text)
    if found is None:
        raise NotAllowed("The API token is missing or wrong.")
    return Principal(found.principal.id, ROLES[found.principal.role] & cast("frozenset[Permission]", found.permissions))


def _local(parts: Parts) -> Principal:
    with parts.catalog.reading() as session:
        found = principal_with_id(session, LOCAL_PRINCIPAL_ID)
    if found is None or found.state != "active":
        raise NotAllowed("The local user is suspended.", remedy="Run `metier people activate local` on the server.")
    return Principal(found.id, ROLES[found.role])


def needs(permission: Permission) -> Callable[..., Principal]:
    """Return the dependency that lets in who has *permission*, and returns that principal."""

    def permitted(request: Request, who: Annotated[Principal, Depends(principal)]) -> Principal:
        quotas_of(request).admit(who.id)
        if permission not in who.permissions:
            request.app.state.refusals.note(parts_of(request).catalog, who.id, permission)
            raise Forbidden(f"This needs the permission “{permission}”.")
        return who

    permitted.__dict__["permission"] = permission  # read by the test that lists all routes
    return permitted


def quotas_of(request: Request) -> Quotas:
    """Return the counts of the application."""
    return cast("Quotas", request.app.state.quotas)


def answer_place(request: Request, who: Annotated[Principal, Depends(principal)]) -> Iterator[None]:
    """Hold a place for an answer until it has been sent, or its reader has left. Raises TooManyRequests."""
    with quotas_of(request).answering(who.id):
        yield


def checked_permissions(names: Collection[str]) -> frozenset[Permission]:
    """Return *names* as permissions. Raises BadRequest for one that there is not."""
    if unknown := sorted(set(names) - PERMISSIONS):
        remedy = f"Use some of {', '.join(sorted(PERMISSIONS))}."
        raise BadRequest(f"There is no permission called {', '.join(unknown)}.", remedy=remedy)
    return cast("frozenset[Permission]", frozenset(names))


@contextmanager
def reading_as(parts: Parts, who: Principal) -> Iterator[tuple[Session, Scope]]:
    """Yield a session that reads the catalog, and what *who* may read in it: both as of one moment.

    Resolved each time, so a revocation holds from the next request on.
    """
    from indexing.access import authorise

    with parts.catalog.reading() as session:
        yield session, authorise(session, who.id)


def scope_of(parts: Parts, who: Principal) -> Scope:
    """Return what *who* may read now, for what takes longer than a transaction: an answer, a search."""
    with reading_as(parts, who) as (_, scope):
        return scope


def asker_of(parts: Parts, who: Principal) -> Asker:
    """Return *who* as specialists see them: an operator may ask and change each, others go by its lists."""
    return Asker(scope_of(parts, who), every="operate" in who.permissions)


#: The parameter types of routes.
PartsHere = Annotated[Parts, Depends(parts_of)]
MayAsk = Annotated[Principal, Depends(needs("ask"))]
AnswerPlace = Annotated[None, Depends(answer_place)]
MayRead = Annotated[Principal, Depends(needs("read"))]
MayCurate = Annotated[Principal, Depends(needs("curate"))]
MayWrite = Annotated[Principal, Depends(needs("write"))]
MayOperate = Annotated[Principal, Depends(needs("operate"))]
MayObserve = Annotated[Principal, Depends(needs("observe"))]
MayAdminister = Annotated[Principal, Depends(needs("admin"))]
