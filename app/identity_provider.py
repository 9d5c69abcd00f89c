"""The company's identity provider: where people sign in, and what it says of them (OpenID Connect Core 1.0).

Authorization code flow with PKCE, state and nonce. Identity is issuer and subject; an e-mail address is never
looked at. Its description and its keys are fetched from the configured issuer and from nowhere else, when somebody
signs in, and kept for an hour.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from app.errors import ProviderUnavailable, SignInFailed
from app.settings import is_safe

if TYPE_CHECKING:
    import httpx
    from joserfc.jwk import KeySet

    from app.settings import Registration

#: Signatures that only the provider can make: nothing that a client secret or a public key could sign with.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_TIMEOUT_S = 10.0
_KEPT_S = 3600.0
#: A token signed with a key that is not known is a reason to look for new keys, so often at most.
_REFETCH_S = 60.0
_LEEWAY_S = 60
_SUBJECT_CHARS = 255  # OpenID Connect Core 1.0, section 2
_GROUPS_MOST = 2000
GROUP_CHARS = 240


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in, by the word of the provider."""

    issuer: str
    subject: str
    display: str
    groups: tuple[str, ...] | None  # None: it says nothing about groups


@dataclass(frozen=True, slots=True)
class _Known:
    """What was fetched from the provider, and when."""

    metadata: dict[str, Any]
    keys: KeySet
    at: float


class IdentityProvider:
    """The provider that the settings name. Nothing is fetched before somebody signs in. Thread-safe."""

    def __init__(
        self, registration: Registration, public_url: str, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Remember where it is; *transport* is for tests that have no network."""
        self.issuer = registration.issuer
        self._client_id = registration.client_id
        self._secret = registration.client_secret
        self._redirect_uri = f"{public_url.rstrip('/')}/v1/sign-in/callback"
        self._transport = transport
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """Return the address at the provider that a browser is sent to. Raises ProviderUnavailable."""
        endpoint = _endpoint(self._fetched().metadata, "authorization_endpoint")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "scope": "openid profile",
            "redirect_uri": self._redirect_uri,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,  # PKCE (RFC 7636)
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def person(self, code: str, nonce: str, verifier: str) -> Person:
        """Return whom the provider names for *code*, which it gave to the browser.

        Raises SignInFailed when the code or the token is not good, ProviderUnavailable when it cannot be asked.
        """
        metadata = self._fetched().metadata
        token = self._exchanged(metadata, code, verifier).get("id_token")
        if not isinstance(token, str):
            raise SignInFailed("The identity provider sent no ID token.")
        return self._read(token, nonce)

    def _exchanged(self, metadata: dict[str, Any], code: str, verifier: str) -> dict[str, Any]:
        """Return the provider's answer to *code*."""
        import httpx

        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri}
        form |= {"code_verifier": verifier}
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        basic = "client_secret_basic" in methods
        if not basic:
            form |= {"client_id": self._client_id, "client_secret": self._secret}
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        login = httpx.BasicAuth(quote_plus(self._client_id), quote_plus(self._secret)) if basic else httpx.Auth()
        try:
            with httpx.Client(timeout=_TIMEOUT_S, transport=self._transport) as client:
                found = client.post(_endpoint(metadata, "token_endpoint"), data=form, auth=login)
            if found.is_client_error:
                raise SignInFailed("The identity provider refused the code.")
            answer = found.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as exc:
            raise ProviderUnavailable(f"{self.issuer} did not give a token.") from exc
        if not isinstance(answer, dict):
            raise ProviderUnavailable(f"{self.issuer} did not give a token.")
        return answer

    def _read(self, token: str, nonce: str) -> Person:
        """Return whom an ID token names, after every check of OpenID Connect Core 1.0, section 3.1.3.7."""
        from joserfc.errors import JoseError
        from joserfc.jwt import JWTClaimsRegistry

        claims = self._verified(token)
        registry = JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            registry.validate(claims)
        except (JoseError, TypeError, ValueError) as exc:
            raise SignInFailed("The ID token is not for this sign-in.") from exc
        if not all(isinstance(claims[name], str) for name in ("iss", "nonce", "sub")):
            raise SignInFailed("The ID token is not for this sign-in.")
        audience, party, subject = claims["aud"], claims.get("azp"), claims["sub"]
        several = not isinstance(audience, str) and len(audience) > 1
        if party != self._client_id and (party is not None or several):
            raise SignInFailed("The ID token was made for another program.")
        if not 0 < len(subject) <= _SUBJECT_CHARS or not subject.isprintable():
            raise SignInFailed("The ID token names nobody.")
        return Person(self.issuer, subject, _display(claims, subject), _groups(claims.get("groups")))

    def _verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that the provider has signed."""
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError
        from joserfc.jws import JWSRegistry

        header: dict[str, Any] = {}
        for fresh in (False, True):  # the second time with keys that were fetched for it
            try:
                decoded = jwt.decode(
                    token, self._fetched(fresh=fresh).keys, registry=JWSRegistry(algorithms=list(ALGORITHMS))
                )
                header, claims = decoded.header, decoded.claims
                break
            except InvalidKeyIdError as exc:
                if fresh:
                    raise SignInFailed("The ID token is signed with a key that the provider does not have.") from exc
            except (JoseError, ValueError, TypeError, KeyError) as exc:
                raise SignInFailed("The ID token is not signed by the provider.") from exc
        if header.get("typ", "JWT") not in ("JWT", "jwt") or not isinstance(claims, dict):
            raise SignInFailed("This is no ID token.")
        return claims

    def _fetched(self, *, fresh: bool = False) -> _Known:
        """Return what is known of the provider, fetched anew when it is old or *fresh* (not more often than it may)."""
        with self._lock:
            age = time.monotonic() - self._known.at if self._known else float("inf")
            if self._known is None or age > (_REFETCH_S if fresh else _KEPT_S):
                self._known = self._fetch()
            return self._known

    def _fetch(self) -> _Known:
        import httpx
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        try:
            with httpx.Client(timeout=_TIMEOUT_S, transport=self._transport) as client:
                metadata = client.get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                described = metadata.raise_for_status().json()
                if described.get("issuer") != self.issuer:
                    raise ProviderUnavailable(
                        f"{self.issuer} calls itself {str(described.get('issuer'))[:200]!r}.",
                        remedy="Set METIER_IDENTITY_PROVIDER to exactly that, if it is the right one.",
                    )
                found = client.get(_endpoint(described, "jwks_uri")).raise_for_status().json()
            usable = [k for k in found["keys"] if k.get("kty") != "oct" and k.get("use", "sig") == "sig"]
            return _Known(described, KeySet.import_key_set({"keys": usable}), time.monotonic())
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ProviderUnavailable(f"The identity provider {self.issuer} cannot be reached or read.") from exc


def _endpoint(metadata: dict[str, Any], name: str) -> str:
    """Return an address that the provider names, if what goes there can be neither read nor changed on the way."""
    found = metadata.get(name)
    if not isinstance(found, str) or not is_safe(found):
        raise ProviderUnavailable(f"The identity provider names no https:// address as its {name}.")
    return found


def _display(claims: dict[str, Any], subject: str) -> str:
    """Return the name to show; it identifies nobody."""
    for key in ("name", "preferred_username"):
        if isinstance(found := claims.get(key), str) and found.strip():
            return found.strip()[:_SUBJECT_CHARS]
    return subject


def _groups(found: object) -> tuple[str, ...] | None:
    """Return the groups that the provider names; None when it names none at all. Raises SignInFailed for nonsense."""
    if found is None:
        return None
    if not isinstance(found, list) or len(found) > _GROUPS_MOST or not all(isinstance(each, str) for each in found):
        raise SignInFailed("The identity provider's list of groups cannot be read.")
    if any(len(each) > GROUP_CHARS for each in found):  # cut off, two of them could become one
        raise SignInFailed("The identity provider names a group by more characters than can be kept.")
    return tuple(dict.fromkeys(each for each in found if each))
