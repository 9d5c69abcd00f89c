"""Microsoft Graph on loopback, in the shapes of its documentation: one document library. An outage begins at page 2."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, quote

from indexing.documents import SourceRecord
from indexing.secrets import store_secret
from indexing.sources.sharepoint import opened
from tests.sources.loopback import Answer, serving
from tests.sources.place import Place

SITE = "contoso.sharepoint.com,2C712604-1370-44E7-A1F5-426573FDA80A,2D2244C3-251A-49EA-93A8-39E1C3A060FE"
DRIVE = "b!t18F8ybsHUq1z3LTz8xvZqP8zaSWjkFNhsME-Fepo75dTf9vQKfeRblBZjoSQrd7"
PAGE = 5
CHANGES = "root/delta"
SECRET = "a client secret"


@dataclass
class File:
    """A file of the drive: *extra* overrides what is said of it."""

    number: str
    name: str
    content: bytes
    permissions: list[dict[str, Any]] = field(default_factory=list)
    version: int = 1
    deleted: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def user(name, role="read", **more):
    """Return a permission of somebody, as the documentation shows it."""
    site_user = {"id": "11", "displayName": name, "loginName": f"i:0#.f|membership|{name}@contoso.com"}
    told = {"user": {"id": name, "displayName": name}, "siteUser": site_user}
    return {"id": f"p-{name}", "roles": [role], "grantedToV2": told, "grantedTo": {"user": told["user"]}, **more}


def group(name, key="group", **more):
    granted = {key: {"id": name, "displayName": "A group"}}
    return {"id": f"g-{name}", "roles": ["read"], "grantedToV2": granted, **more}


def link(scope, *names, **more):
    """Return a sharing link, with the people named in it."""
    named = [{"user": {"id": name, "displayName": name}} for name in names]
    told = {"type": "view", "webUrl": "https://contoso.sharepoint.com/:w:/t/design/a577ghg9hgh737613bmbjf8"}
    told |= {} if scope is None else {"scope": scope}
    return {"id": f"l-{scope}", "roles": ["read"], "link": told, "grantedToIdentitiesV2": named, **more}


class Graph:
    """What the service knows. ``tokens`` are those that it accepts."""

    def __init__(self):
        self.files: dict[str, File] = {}
        self.numbers = itertools.count(1)
        self.tokens: set[str] = set()
        self.down = False
        self.next_link = None  # what a listing claims to go on with
        self.denied: dict[str, int] = {}  # id → status of its permissions
        self.throttled = 0  # so many answers inside of batches
        self.delta: list[dict[str, Any]] = []  # entries after those of the files
        self.content: dict[str, Answer] = {}
        self.drive = DRIVE

    def put(self, name, content, **more):
        known = self.files.get(name)
        if known:
            self.files[name] = replace(known, content=content, version=known.version + 1, **more)
        else:
            number = f"01NKDM7HMOJTVYMDOSXFDK2QJDXCDI3WU{next(self.numbers)}"
            self.files[name] = File(number, name, content, **more)
        return self.files[name]

    def entry(self, file, *, delta):
        """Return the item: delta leaves out the cTag and the path."""
        digest = hashlib.sha256(file.content).hexdigest()[:27]
        folder, _, name = file.name.rpartition("/")
        parent = {
            "driveType": "documentLibrary",
            "driveId": self.drive,
            "id": "01NKDM7HN6Y2GOVW7725BZO354P",
            "siteId": SITE,
        }
        told = {
            "id": file.number,
            "name": name,
            "size": len(file.content),
            "eTag": f'"{{{file.number}}},{file.version}"',
            "lastModifiedDateTime": "2026-03-01T08:30:00Z",
            "webUrl": f"https://contoso.sharepoint.com/Shared%20Documents/{quote(name)}",
            "file": {"mimeType": "text/plain", "hashes": {"quickXorHash": f"{digest}="}},
            "parentReference": parent,
        }
        if not delta:
            told["cTag"] = f'"c:{{{file.number}}},{file.version}"'
            parent["path"] = f"/drives/{self.drive}/root:" + (f"/{quote(folder)}" if folder else "")
        return told | file.extra

    def by_number(self, number):
        return next((file for file in self.files.values() if file.number == number), None)

    def __call__(self, asked):  # noqa: PLR0911 -- one line for each address
        if asked.path.endswith("/oauth2/v2.0/token"):
            return self.token(asked)
        if asked.path.startswith("/download/"):
            return self.downloaded(asked)
        if asked.token not in self.tokens:
            return error(401, "InvalidAuthenticationToken")
        path = asked.path.removeprefix("/v1.0")
        if path in ("/sites/contoso.sharepoint.com:/sites/hr", "/sites/contoso.sharepoint.com"):
            return Answer({"id": SITE, "displayName": "HR"})
        if path in (f"/sites/{SITE}/drive", "/users/ann@contoso.com/drive"):
            return Answer({"id": self.drive, "driveType": "documentLibrary", "name": "Documents"})
        if path == f"/sites/{SITE}/drives":
            return Answer({"value": [{"id": "b!other", "name": "Other"}, {"id": self.drive, "name": "Documents"}]})
        if path == f"/drives/{self.drive}/{CHANGES}":
            return self.listed(asked)
        if path == "/$batch":
            return self.batch(asked)
        return self.item(path)

    def token(self, asked):
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        good = form.get("client_secret") == SECRET and form["grant_type"] == "client_credentials"
        if not good or not form["scope"].endswith("/.default"):
            told = "AADSTS7000215: Invalid client secret provided. Trace ID: 0000"
            return Answer({"error": "invalid_client", "error_description": told, "error_codes": [7000215]}, 401)
        value = f"token{next(self.numbers)}"
        self.tokens.add(value)
        return Answer({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": value})

    def listed(self, asked):
        first = int(asked.query.get("token", 0))
        if first and self.down:
            return error(503, "serviceNotAvailable")
        entries = [{"id": "01NKDM7HN6Y2GOVW7725BZO354P", "name": "root", "root": {}, "folder": {"childCount": 1}}]
        entries += [self.entry(file, delta=True) for file in self.files.values() if not file.deleted]
        entries += self.delta
        here = f"http://{asked.headers['host']}/v1.0/drives/{quote(self.drive)}/{CHANGES}"
        answer: dict[str, Any] = {"value": entries[first : first + PAGE]}
        if first + PAGE < len(entries):
            answer["@odata.nextLink"] = self.next_link or f"{here}?token={first + PAGE}"
        else:
            answer["@odata.deltaLink"] = f"{here}?token=latest"
        return Answer(answer)

    def batch(self, asked):
        requests = json.loads(asked.body)["requests"]
        assert len(requests) <= 20
        responses = []
        for each in reversed(requests):  # they may come in another order
            number = each["url"].split("/")[4]
            file = self.by_number(number)
            headers, status = {"Content-Type": "application/json"}, self.denied.get(number, 200 if file else 404)
            if self.throttled:
                self.throttled -= 1
                status, headers = 429, headers | {"Retry-After": "7"}
            body = {"value": file.permissions} if file and status == 200 else error(status, "accessDenied").body
            responses.append({"id": each["id"], "status": status, "headers": headers, "body": body})
        return Answer({"responses": responses})

    def item(self, path):
        number, _, what = path.removeprefix(f"/drives/{self.drive}/items/").partition("/")
        file = self.by_number(number)
        if self.down:
            return error(503, "serviceNotAvailable")
        if file is None or file.deleted:
            return error(404, "itemNotFound")
        if what == "content":
            return Answer(status=302, headers={"Location": f"{self.elsewhere}/download/{number}?tempauth=v1"})
        return Answer(self.entry(file, delta=False))

    def downloaded(self, asked):
        number = asked.path.removeprefix("/download/")
        file = self.by_number(number)
        assert file is not None
        return self.content.get(number) or Answer(file.content)

    elsewhere = ""  # where bytes are


def error(status, code):
    inner = {"date": "2026-02-13T10:17:05", "request-id": "93b6f17e-c05d-4f45-ad2a-6665c708d8a0"}
    return Answer({"error": {"code": code, "message": "It is refused.", "innerError": inner}}, status)


@contextlib.contextmanager
def library(context, waits=None, **options):
    """Yield the service, its server, the server of its bytes, and a function that opens a source on them."""
    graph = Graph()
    store_secret(context.settings.data_dir, "graph", options.pop("secret", SECRET))
    with serving(graph) as site, serving(graph.downloaded) as bytes_of:
        graph.elsewhere = bytes_of.url
        allowed = tuple(f"127.0.0.1:{each.port}" for each in (site, bytes_of))
        settings = context.settings.model_copy(update={"outbound_allow": allowed})
        told = {"tenant": "contoso.com", "client_id": "app", "graph": site.url, "login": site.url} | options
        location = "https://contoso.sharepoint.com/sites/hr"

        def make(**more):
            record = SourceRecord(1, "hr", "sharepoint", location, 1, options=told | more, secret="graph")
            sleep = (lambda seconds: None) if waits is None else waits.append
            return opened(record, replace(context, settings=settings), sleep)

        yield graph, site, bytes_of, make


class SharePoint(Place):
    kind = "sharepoint"
    keeps_identity = True
    has_lists = True

    def __init__(self, context, tmp_path, resources):
        self.graph, _, _, make = resources.enter_context(library(context))
        self.source = make()
        self.uris = {}

    def uri(self, name):
        return f"drives/{quote(DRIVE, safe='')}/items/{self.uris[name]}"

    def write(self, name, content):
        self.uris[name] = self.graph.put(name, content).number

    def remove(self, name):
        del self.graph.files[name]

    def rename(self, name, new_name):
        file = self.graph.files.pop(name)
        self.graph.files[new_name] = replace(file, name=new_name)
        self.uris[new_name] = file.number

    def let(self, name, readers):
        self.graph.files[name].permissions[:] = [user(reader) for reader in readers]

    @contextlib.contextmanager
    def outage(self):
        self.graph.down = True
        yield
        self.graph.down = False
