"""Google Drive on loopback, in the shapes of its documentation: one shared drive. An outage begins at page 2."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import RSAKey

from indexing.documents import SourceRecord
from indexing.secrets import store_secret
from indexing.sources.gdrive import opened
from tests.sources.loopback import Answer, serving
from tests.sources.place import Place

DRIVE = "0AFcQLG8bHGxaUk9PVA"
PAGE = 5
GOOGLE = "application/vnd.google-apps."


@cache
def account_key():
    return RSAKey.generate_key(2048)


def key_file(key=None):
    """Return the JSON key of a service account, as the console gives it."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "0ab1",
            "private_key": (key or account_key()).as_pem(private=True).decode(),
            "client_email": "metier@p.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": "https://evil.example/token",
        }
    )


@dataclass
class File:
    """A file of the drive: *extra* overrides what is said of it."""

    number: str
    name: str
    content: bytes
    permissions: list[dict[str, Any]] = field(default_factory=list)
    mime: str = "text/plain"
    parent: str = DRIVE
    version: int = 1
    trashed: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def permission(name, kind="user", role="reader", **more):
    told = {"domain": {"domain": name}, "anyone": {"allowFileDiscovery": False}}.get(kind, {"emailAddress": name})
    return (
        {"id": f"0{len(name)}{name}", "type": kind, "role": role, "deleted": False, "pendingOwner": False} | told | more
    )


class Drive:
    """What the service knows. ``tokens`` are those that it accepts."""

    def __init__(self):
        self.files: dict[str, File] = {}
        self.numbers = itertools.count(1)
        self.tokens: set[str] = set()
        self.claims: list[dict[str, Any]] = []
        self.down = False
        self.shared = True  # files are in a shared drive: their permissions do not come with the list
        self.denied: dict[str, Answer] = {}  # id → answer to who may read it
        self.incomplete = False
        self.next_token: Any = None

    def put(self, name, content=b"", **more):
        known = self.files.get(name)
        if known:
            self.files[name] = replace(known, content=content, version=known.version + 1, **more)
        else:
            self.files[name] = File(f"1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs{next(self.numbers)}", name, content, **more)
        return self.files[name]

    def entry(self, file, *, listed=False):
        told = {
            "id": file.number,
            "name": file.name,
            "mimeType": file.mime,
            "trashed": file.trashed,
            "modifiedTime": f"2026-03-01T08:30:00.{file.version:03}Z",
        }
        if not file.mime.startswith(GOOGLE):
            told["md5Checksum"] = hashlib.md5(file.content, usedforsecurity=False).hexdigest()
            told["sha256Checksum"] = hashlib.sha256(file.content).hexdigest()
            told["size"] = str(len(file.content))
        if self.shared:
            told["driveId"] = DRIVE
        elif listed:
            told["permissions"] = file.permissions
        return {name: value for name, value in (told | file.extra).items() if value is not None}

    def __call__(self, asked):  # noqa: PLR0911 -- one line for each address
        if asked.path == "/token":
            return self.token(asked)
        if asked.token not in self.tokens:
            return refusal(401, "authError")
        if asked.path == "/drive/v3/files":
            return self.listed(asked)
        number, _, what = asked.path.removeprefix("/drive/v3/files/").partition("/")
        file = next((file for file in self.files.values() if file.number == number), None)
        if file is None:
            return refusal(404, "notFound")
        if what == "permissions":
            return self.denied.get(number) or Answer({"kind": "drive#permissionList", "permissions": file.permissions})
        if self.down:
            return refusal(500, "backendError")
        if what == "export":
            return Answer(asked.query["mimeType"].encode() + b" " + file.content)
        return Answer(file.content) if asked.query.get("alt") == "media" else Answer(self.entry(file))

    def token(self, asked):
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        try:
            claims = jwt.decode(form["assertion"], account_key(), algorithms=["RS256"]).claims
        except Exception:  # noqa: BLE001 -- whatever is wrong with it
            return Answer({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        self.claims.append(claims)
        value = f"token{next(self.numbers)}"
        self.tokens.add(value)
        return Answer({"access_token": value, "expires_in": 3599, "token_type": "Bearer"})

    def listed(self, asked):
        first = int(asked.query.get("pageToken", 0))
        if first and self.down:
            return refusal(500, "backendError")
        query = asked.query["q"]
        files = [file for file in self.files.values() if not file.trashed]
        if " in parents" in query:
            files = [file for file in files if f"'{file.parent}' in parents" in query]
        found = [self.entry(file, listed=True) for file in files]
        answer = {"kind": "drive#fileList", "incompleteSearch": self.incomplete, "files": found[first : first + PAGE]}
        if first + PAGE < len(found):
            answer["nextPageToken"] = self.next_token or str(first + PAGE)
        return Answer(answer)


def refusal(status, reason):
    told = {"domain": "global", "reason": reason, "message": "It is refused."}
    return Answer({"error": {"errors": [told], "code": status, "message": "It is refused."}}, status)


@contextlib.contextmanager
def drive(context, waits=None, secret=None):
    """Yield the service, its server, and a function that opens a source on it."""
    service = Drive()
    store_secret(context.settings.data_dir, "google", secret or key_file())
    with serving(service) as site:
        settings = context.settings.model_copy(update={"outbound_allow": (f"127.0.0.1:{site.port}",)})
        told = {"drive": DRIVE, "api": f"{site.url}/drive/v3", "token": f"{site.url}/token"}

        def make(location="https://drive.google.com/", **more):
            record = SourceRecord(1, "files", "gdrive", location, 1, options=told | more, secret="google")
            sleep = (lambda seconds: None) if waits is None else waits.append
            return opened(record, replace(context, settings=settings), sleep)

        yield service, site, make


class GoogleDrive(Place):
    kind = "gdrive"
    keeps_identity = True
    has_lists = True

    def __init__(self, context, tmp_path, resources):
        self.drive, _, make = resources.enter_context(drive(context))
        self.source = make()
        self.numbers = {}

    def uri(self, name):
        return f"https://drive.google.com/open?id={self.numbers[name]}"

    def write(self, name, content):
        self.numbers[name] = self.drive.put(name, content).number

    def remove(self, name):
        self.drive.files[name].trashed = True

    def rename(self, name, new_name):
        file = self.drive.files.pop(name)
        self.drive.files[new_name] = replace(file, name=new_name)
        self.numbers[new_name] = file.number

    def let(self, name, readers):
        self.drive.files[name].permissions[:] = [permission(reader) for reader in readers]

    @contextlib.contextmanager
    def outage(self):
        self.drive.down = True
        yield
        self.drive.down = False
