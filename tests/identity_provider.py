"""An identity provider in memory: what httpx would get from a real one, with keys of its own. It can be told to lie."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from functools import cache
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

ISSUER = "https://id.example.com"
CLIENT, SECRET = "metier", "the+client/secret"
PUBLIC = "https://metier.example.com"
SETTINGS = {
    "identity_provider": f"https://{CLIENT}:{quote(SECRET, safe='')}@id.example.com",
    "public_url": PUBLIC,
}


@cache
def keys():
    """The provider's two keys, and a forger's: made once, because it takes a while."""
    return (
        RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"}),
        ECKey.generate_key("P-256", {"kid": "k2", "use": "sig", "alg": "ES256"}),
        RSAKey.generate_key(2048, {"kid": "k1"}),
    )


class Provider:
    """It knows one person at a time: ``claims``. ``forge`` makes the ID token in place of the honest one."""

    def __init__(self):
        self.key, self.elliptic, self.foreign = keys()
        self.published = [self.key, self.elliptic]
        self.metadata = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
        }
        self.claims = {"sub": "u1", "name": "Ann Martin"}
        self.forge = None
        self.codes = {}
        self.requests = []
        self.transport = httpx.MockTransport(self.answer)

    def authorise(self, address):
        """What a browser gets that was sent to *address* and let in: the callback's address."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert asked["scope"].split()[0] == "openid"
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return f"{urlsplit(asked['redirect_uri']).path}?code={code}&state={asked['state']}"

    def answer(self, request):
        self.requests.append(request.url.path)
        if request.url.path == "/.well-known/openid-configuration":
            return httpx.Response(200, json=self.metadata)
        if request.url.path == "/keys":
            return httpx.Response(200, json={"keys": [key.as_dict(private=False) for key in self.published]})
        if request.url.path == "/token":
            return self.exchanged(request)
        return httpx.Response(404)

    def exchanged(self, request):
        sent = {key: values[0] for key, values in parse_qs(request.content.decode()).items()}
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{quote_plus(SECRET)}".encode()).decode()
        asked = self.codes.pop(sent.get("code"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        if (
            request.headers.get("authorization") != expected
            or asked is None
            or challenge.rstrip(b"=").decode() != asked["code_challenge"]
            or sent.get("redirect_uri") != asked["redirect_uri"]
        ):
            return httpx.Response(400, json={"error": "invalid_grant"})
        token = self.forge(self, asked["nonce"]) if self.forge else self.token(asked["nonce"])
        body = {"access_token": "at", "token_type": "Bearer", "expires_in": 60}
        return httpx.Response(200, json=body if token is None else body | {"id_token": token})

    def honest(self, nonce):
        now = int(time.time())
        return {"iss": ISSUER, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce} | self.claims

    def token(self, nonce, *, key=None, header=None, without=(), **changed):
        claims = {name: value for name, value in (self.honest(nonce) | changed).items() if name not in without}
        key = key or self.key
        header = {"alg": "RS256", "kid": "k1"} | (header or {})
        if key is self.elliptic:
            return jwt.encode(header, claims, key, algorithms=["ES256"])
        return by_hand(header, claims, lambda data: key.private_key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def by_hand(header, claims, sign):
    """A token that no library would make: whatever header, signed by *sign* or by nothing."""
    data = b".".join(urlsafe(json.dumps(each).encode()) for each in (header, claims))
    return (data + b"." + urlsafe(sign(data))).decode()


def urlsafe(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")
