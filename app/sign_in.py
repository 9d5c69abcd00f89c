"""From a visit to a session: what is remembered while the browser is at the identity provider, and who comes back.

Nothing is stored for a visit that has not come back: what belongs to it is in a cookie of that browser, signed by us.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import SignInFailed
from indexing import changelog, principals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.identity_provider import Person
    from indexing.principals import PrincipalRecord

#: Longest stay at the provider.
VISIT_S = 600
#: Groups of a provider are told apart from its people, who might bear the same name.
_GROUP = "group:"


@dataclass(frozen=True, slots=True)
class Visit:
    """One browser on its way to the provider and back."""

    state: str
    nonce: str
    verifier: str  # of PKCE (RFC 7636)
    return_to: str


def new_visit(return_to: str) -> Visit:
    """Return a visit that ends at *return_to*, or at "/" where that is not a path of ours."""
    plain = return_to.startswith("/") and not return_to.startswith("//") and "\\" not in return_to
    safe = return_to if plain and return_to.isprintable() and return_to.isascii() else "/"
    return Visit(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), safe)


def sealed(visit: Visit, secret: str) -> str:
    """Return the visit as a cookie's value that only we can make, good for VISIT_S seconds."""
    from joserfc import jwt
    from joserfc.jwk import OctKey

    claims = {"s": visit.state, "n": visit.nonce, "v": visit.verifier, "r": visit.return_to}
    return jwt.encode({"alg": "HS256"}, claims | {"exp": int(time.time()) + VISIT_S}, OctKey.import_key(_key(secret)))


def opened(cookie: str, state: str, secret: str) -> Visit:
    """Return the visit of *cookie*. Raises SignInFailed when it is not ours, too old, or not the one of *state*."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import OctKey

    try:
        claims = jwt.decode(cookie, OctKey.import_key(_key(secret)), algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
        visit = Visit(str(claims["s"]), str(claims["n"]), str(claims["v"]), str(claims["r"]))
    except (JoseError, ValueError, KeyError, TypeError) as exc:
        raise SignInFailed("This sign-in was not begun in this browser, or too long ago.") from exc
    if not hmac.compare_digest(visit.state.encode(), state.encode("utf-8", "surrogatepass")):
        raise SignInFailed("This sign-in was not begun in this browser, or another was begun since.")
    return visit


def _key(secret: str) -> bytes:
    return hashlib.sha256(b"metier sign-in:" + secret.encode()).digest()


def welcome(session: Session, person: Person) -> PrincipalRecord:
    """Return the principal of who signed in, added as a reader when new, with the groups that the provider names.

    Raises SignInFailed for somebody suspended. Only groups of the same provider are touched, all in this transaction.
    """
    changelog.lock(session)
    known = principals.principal_named(session, person.subject, person.issuer)
    if known is None:
        known = principals.add_principal(session, "user", person.subject, display=person.display, issuer=person.issuer)
    elif known.state != "active" or known.kind != "user":
        raise SignInFailed("This account may not sign in.")
    elif known.display != person.display:
        principals.set_display(session, known.id, person.display)
    if person.groups is not None:
        _join(session, known, person.issuer, [f"{_GROUP}{name}" for name in person.groups])
    return known


def _join(session: Session, who: PrincipalRecord, issuer: str, names: Sequence[str]) -> None:
    """Make *names* the groups of this issuer that hold *who*."""
    wanted = set(names)
    before = {group.name: group for group in principals.groups_holding(session, who.id) if group.issuer == issuer}
    for name, group in before.items():
        if name not in wanted:
            principals.leave_group(session, group.id, who.id)
    for name in sorted(wanted - before.keys()):
        shown = name.removeprefix(_GROUP)
        group = principals.principal_named(session, name, issuer) or principals.add_principal(
            session, "group", name, display=shown, issuer=issuer
        )
        principals.join_group(session, group, who)
