"""The page by which who signed in says which Slack user they are: ``/slack/link``. For browsers, in HTML.

A key cannot link: a link outlives the key, and would give the key's owner away to whoever holds it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs, quote

import structlog
from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from app import sessions
from app.api_body import JsonRoute
from app.auth import PartsHere, Principal, needs, parts_of, principal, session_secret
from app.errors import AppError, BadRequest, Forbidden, NotAllowed, NotFound, SlackError
from app.problems import status_of
from app.slack import link_page, linking
from indexing.principals import principal_with_id

if TYPE_CHECKING:
    from app.parts import Parts
    from indexing.principals import PrincipalRecord

log = structlog.get_logger(__name__)

router = APIRouter(route_class=JsonRoute, include_in_schema=False)

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELD_CHARS = 200
_permitted = needs("ask")


async def form(request: Request) -> dict[str, str]:
    """Return the fields of the form; its CSRF token goes where ``app.auth`` looks for one that a form sends."""
    given = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    fields = {name: values[0][:_FIELD_CHARS] for name, values in given.items()}
    request.state.csrf_token = fields.get("csrf", "")
    return fields


def signed_in(request: Request) -> Principal:
    """Return who signed in. Who has not is sent to do it, and comes back; raises Forbidden for a key."""
    parts, by_key = parts_of(request), "authorization" in request.headers
    try:
        who = principal(request)
    except NotAllowed:
        if by_key or parts.settings.identity_provider is None or request.method != "GET":
            raise
        token = request.query_params.get("token", "")
        back = f"{linking.PATH}?token={token}" if _TOKEN.fullmatch(token) else linking.PATH
        raise HTTPException(303, headers={"Location": f"/v1/sign-in?return_to={quote(back, safe='')}"}) from None
    who = _permitted(request, who)
    if parts.settings.identity_provider is None:
        raise NotFound("No identity provider is set up.", remedy="An administrator links with `metier slack link`.")
    if by_key or session_secret(request) is None:
        raise Forbidden("A key cannot link a Slack user.", remedy="Open the link in a browser, and sign in.")
    return who


signed_in.__dict__["permission"] = "ask"  # read by the test that lists all routes

SignedIn = Annotated[Principal, Depends(signed_in)]
Form = Annotated[dict[str, str], Depends(form)]


@router.get(linking.PATH, response_class=HTMLResponse)
def show(
    request: Request, parts: PartsHere, who: SignedIn, token: Annotated[str, Query(max_length=_FIELD_CHARS)] = ""
) -> HTMLResponse:
    """Show which Slack user would get whose rights, and ask to confirm it. Nothing changes."""
    wording = link_page.words(request.headers.get("accept-language", ""))
    secret = session_secret(request) or ""
    try:
        found = linking.linkable(parts, token)
    except AppError as exc:
        return _refused(wording, exc)
    return _page(link_page.asking(wording, found, _record(parts, who), token, sessions.csrf_token(secret)))


@router.post(linking.PATH, response_class=HTMLResponse, dependencies=[Depends(form)])
def confirm(request: Request, parts: PartsHere, fields: Form, who: SignedIn) -> HTMLResponse:
    """Link the Slack user to who signed in, once."""
    wording = link_page.words(request.headers.get("accept-language", ""))
    try:
        if fields.get("mine") != "yes":
            raise BadRequest("The form is not confirmed.")
        found = linking.confirm(parts, fields.get("token", ""), who.id)
    except AppError as exc:
        return _refused(wording, exc)
    return _page(link_page.done(wording, found, _record(parts, who)))


def _record(parts: Parts, who: Principal) -> PrincipalRecord:
    with parts.catalog.reading() as session:
        found = principal_with_id(session, who.id)
    assert found is not None  # noqa: S101 -- it was found a moment ago; narrows the type
    return found


def _refused(wording: link_page.LinkWords, error: AppError) -> HTMLResponse:
    code = error.code if isinstance(error, SlackError) else ""
    log.info("A Slack user was not linked.", action="slack_link_refused", error=type(error).__name__, code=code)
    status = 502 if isinstance(error, SlackError) else int(status_of(type(error)))
    return _page(link_page.refused(wording, error), status)


def _page(html: str, status: int = 200) -> HTMLResponse:
    # Not "no-referrer", which would take the origin off the form too; the address with the token stays with us.
    headers = {"Content-Security-Policy": link_page.POLICY, "Referrer-Policy": "same-origin"}
    return HTMLResponse(html, status, headers)
