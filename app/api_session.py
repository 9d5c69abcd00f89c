"""Routes about signing in and out: ``/v1/sign-in``, ``/v1/session``, ``/v1/first-admin``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from app import audit, sessions, sign_in
from app.api_body import JsonRoute
from app.api_errors import may_fail
from app.auth import MayRead, PartsHere, parts_of, session_cookie, session_secret
from app.errors import Forbidden, NotFound, SignInFailed
from app.wire_session import FirstAdminIn, SessionOut
from indexing import principals
from indexing.principals import principal_with_id

if TYPE_CHECKING:
    from app.identity_provider import IdentityProvider

router = APIRouter(prefix="/v1", route_class=JsonRoute, tags=["session"])

VISIT_COOKIE = "metier_sign_in"
_VISIT_PATH = "/v1/sign-in"


def provider(request: Request) -> IdentityProvider:
    """Return the identity provider. Raises NotFound when none is set up."""
    found = request.app.state.identity_provider
    if found is None:
        raise NotFound("No identity provider is set up.", remedy="Set METIER_IDENTITY_PROVIDER on the server.")
    return cast("IdentityProvider", found)


def _secret(request: Request) -> str:
    registered = parts_of(request).settings.registration
    return "" if registered is None else registered.client_secret


def _is_https(request: Request) -> bool:
    return (parts_of(request).settings.public_url or "").startswith("https://")


@router.get(
    "/sign-in",
    operation_id="sign_in",
    summary="Sign in",
    status_code=303,
    response_class=RedirectResponse,
    responses={303: {"description": "To the identity provider."}, **may_fail(404, 502)},
)
def begin_sign_in(
    request: Request, return_to: Annotated[str, Query(max_length=1000, description="Path to come back to.")] = "/"
) -> Response:
    """Send the browser to the identity provider; needs no permission."""
    visit = sign_in.new_visit(return_to)
    response = RedirectResponse(provider(request).address(visit.state, visit.nonce, visit.verifier), 303)
    cookie = sign_in.sealed(visit, _secret(request))
    response.set_cookie(
        VISIT_COOKIE,
        cookie,
        max_age=sign_in.VISIT_S,
        path=_VISIT_PATH,
        secure=_is_https(request),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(
    "/sign-in/callback",
    operation_id="finish_sign_in",
    summary="Come back from the identity provider",
    status_code=303,
    response_class=RedirectResponse,
    responses={
        303: {"description": "To where the visit began, with the session's cookie."},
        **may_fail(401, 404, 502),
    },
)
def finish_sign_in(
    request: Request,
    parts: PartsHere,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    iss: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Begin a session for whom the identity provider names; needs no permission but its word."""
    identity = provider(request)
    visit = sign_in.opened(request.cookies.get(VISIT_COOKIE, ""), state, _secret(request))
    if iss is not None and iss != identity.issuer:  # RFC 9207: an answer of another provider, mixed up with ours
        raise SignInFailed("This answer comes from another identity provider.")
    if not code:
        raise SignInFailed("The identity provider did not let you in.")
    person = identity.person(code, visit.nonce, visit.verifier)
    with parts.catalog.transaction() as session:
        who = sign_in.welcome(session, person)
        secret = sessions.begin(session, who.id)
        audit.record(session, who.id, "session.begin")
    response = RedirectResponse(visit.return_to, 303)
    response.delete_cookie(VISIT_COOKIE, path=_VISIT_PATH, secure=_is_https(request), httponly=True, samesite="lax")
    response.set_cookie(
        session_cookie(parts),
        secret,
        max_age=int(sessions.MOST.total_seconds()),
        secure=_is_https(request),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/session", operation_id="get_session", summary="Who am I?")
def get_session(request: Request, parts: PartsHere, who: MayRead) -> SessionOut:
    """Return who asks and what they may do; in a session also the token that changes must carry."""
    secret = session_secret(request)
    with parts.catalog.reading() as session:
        found = principal_with_id(session, who.id)
    assert found is not None  # noqa: S101 -- it was found a moment ago; narrows the type
    return SessionOut(
        issuer=found.issuer,
        name=found.name,
        display=found.display,
        role=found.role,
        permissions=tuple(sorted(who.permissions)),
        csrf_token=None if secret is None else sessions.csrf_token(secret),
    )


@router.delete("/session", operation_id="sign_out", status_code=204, summary="Sign out")
def sign_out(request: Request, response: Response, parts: PartsHere, who: MayRead) -> None:
    """End the session; a key is not touched."""
    secret = session_secret(request)
    if secret is not None:
        with parts.catalog.transaction() as session:
            sessions.end(session, secret)
            audit.record(session, who.id, "session.end")
        response.delete_cookie(session_cookie(parts), secure=_is_https(request), httponly=True, samesite="lax")


@router.post("/first-admin", operation_id="become_first_admin", status_code=204, summary="Become the first admin")
def become_first_admin(body: FirstAdminIn, parts: PartsHere, who: MayRead) -> None:
    """Make who asks an admin, with the one-time token that `metier serve` printed."""
    with parts.catalog.transaction() as session:
        if not sessions.take_first_admin(session, body.token):
            raise Forbidden("This token is not good, or no longer.", remedy="Start the server anew: it prints another.")
        principals.set_role(session, who.id, "admin")
        audit.record(session, who.id, "principal.role", "admin", about=who.id)
