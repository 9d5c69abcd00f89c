"""Who asks, and what they may do.

Every route declares its permission through a dependency (``needs``); there is no middleware that looks at
paths, because a path can be spelled in ways that a router and a guard read differently. A test lists all
routes and fails on one without. Open to everyone are only ``/healthz`` and ``/readyz``, which tell nothing
about documents; ``/metrics`` and ``/openapi.json`` need the token like everything else.

Whoever sends an API key (``app.keys``) is the key's principal, and who has a session (``app.sessions``) the one who
signed in; a change in a session must carry its CSRF token, and come from a page of ours. Without ``api_token`` and
identity provider, which ``settings.py`` allows on loopback only, everybody else is the one local principal; with a
token, only its bearer is.
"""

from __future__ import annotations

import hmac
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request

from app import keys, sessions
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
#: The route that lets in by the signature of what is sent to it, and by nothing else.
HOOK_ROUTE = "/v1/sources/{source_id}/hook"
#: The route that Slack sends to, which lets in by Slack's signature.
SLACK_ROUTE = "/slack/events"
#: Routes that need no permission: behind two is nothing but "it is up", through two one comes to have some, and two
#: ask for a signature.
OPEN_ROUTES = frozenset({"/healthz", "/readyz", "/v1/sign-in", "/v1/sign-in/callback", HOOK_ROUTE, SLACK_ROUTE})
#: Methods that change nothing.
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


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
    if not given and (secret := session_secret(request)) is not None:
        return _signed_in(request, parts, secret)
    if not parts.settings.is_open:
        remedy = None if parts.settings.identity_provider is None else "Sign in at /v1/sign-in, or send a key."
        raise NotAllowed("The API token is missing or wrong.", remedy=remedy)
    return _local(parts)


def session_cookie(parts: Parts) -> str:
    """Return the name of the session's cookie; over https, one that only this host can set (RFC 6265bis)."""
    return "__Host-metier" if (parts.settings.public_url or "").startswith("https://") else "metier_session"


def session_secret(request: Request) -> str | None:
    """Return the secret of the session's cookie, good or not; None without a cookie or an identity provider."""
    parts = parts_of(request)
    return request.cookies.get(session_cookie(parts)) if parts.settings.identity_provider else None


def _signed_in(request: Request, parts: Parts, secret: str) -> Principal:
    with parts.catalog.reading() as session:
        found = sessions.signed_in(session, secret)
    if found is None:
        raise NotAllowed("The session has ended.", remedy="Sign in again at /v1/sign-in.")
    if request.method not in _SAFE_METHODS:
        _require_own_page(request, parts, secret)
    if found.stale:
        with parts.catalog.transaction() as session:
            sessions.touch(session, secret)
    return Principal(found.principal.id, ROLES[found.principal.role])


def _require_own_page(request: Request, parts: Parts, secret: str) -> None:
    """Raise Forbidden unless the change was sent by a page of ours: a foreign one can send cookies alone."""
    origin, ours = request.headers.get("origin"), urlsplit(parts.settings.public_url or "")
    if origin is not None and origin != f"{ours.scheme}://{ours.netloc}":
        raise Forbidden("A web page from elsewhere may not use this server.")
    sent_by_form: str = getattr(request.state, "csrf_token", "")
    given = request.headers.get("x-csrf-token", "") or sent_by_form
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), sessions.csrf_token(secret).encode()):
        raise Forbidden("The X-CSRF-Token is missing or wrong.", remedy="GET /v1/session tells it.")


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
