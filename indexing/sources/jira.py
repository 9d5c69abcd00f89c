"""Issues of Jira Cloud with their comments, and who may read them.

The shapes are those of Atlassian's document of the Jira Cloud REST API v3 ("Issue search": search/jql, "Issues",
"Issue comments"). Who may read is in ``jira_access.py``.

The uri of an issue is an address made of its id, so that it stays when the issue moves to another project and gets
another key. Its version tag is the moment of its last change, which a comment is too. A comment that only a role, a
group or the agents of a service desk may see is left out: the readers of the issue are more.
"""

from __future__ import annotations

import hashlib
import html
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from indexing.documents import Item, Page
from indexing.errors import OutboundError, ParseLimit, SourceError
from indexing.sources import Kind
from indexing.sources.answers import documented, fresh
from indexing.sources.atlassian import (
    OPTIONS,
    SHOWN,
    Options,
    an_id,
    asking,
    listed_words,
    options_of,
    refused,
    site_address,
)
from indexing.sources.jira_access import Access, JiraPeople, values
from indexing.sources.rest import Denied, moment, unreadable, write_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexing.documents import RawDocument, SourceRecord
    from indexing.sources import SourceContext
    from indexing.sources.rest import Rest

_LISTED = ["updated", "project", "security", "reporter", "assignee"]
_FETCHED = "summary,description,status,issuetype,updated"
_KEY = r"[A-Za-z][A-Za-z0-9_]{1,254}"
_EXAMPLE = "https://company.atlassian.net"


@dataclass(frozen=True)
class JiraSource:
    """The issues of one site that *jql* finds."""

    base: str
    rest: Rest
    options: Options
    jql: str
    secret: str | None = None  # its name
    max_bytes: int = 200 << 20
    page_size: int = 100

    @classmethod
    def opened(cls, record: SourceRecord, context: SourceContext) -> JiraSource:
        """Return the source that *record* describes. Raises SourceError for an option or secret that is of no use."""
        return cls(
            base=record.location,
            rest=asking(record, context),
            options=options_of(record.options),
            jql=query_of(record.options.get("jql", ""), record.options.get("projects", "")),
            secret=record.secret,
            max_bytes=context.most_bytes,
        )

    def pages(self, checkpoint: str | None) -> Iterator[Page]:
        """Yield the issues. A checkpoint is a token of the service, which holds for seven days, and what was asked.

        Raises SourceError when the account is not let in, or the service stopped answering.
        """
        access = Access(self.rest, self.base, self.options.directory(JiraPeople(self.rest, self.base)))
        asked = hashlib.sha256(self.jql.encode()).hexdigest()[:16]
        kept, _, token = (checkpoint or "").partition(" ")
        try:
            self._check_account()
            for issues, following in self._search(token if kept == asked else ""):
                items = tuple(self._item(issue, access) for issue in issues)
                yield Page(
                    items,
                    issuer=self.options.issuer,
                    checkpoint=f"{asked} {following}" if following else None,
                )
        except Denied as exc:
            raise refused(exc, self.secret) from exc
        yield Page(notes=access.notes(), issuer=self.options.issuer)

    def _check_account(self) -> None:
        """Raise Denied when the secret is not taken: a search answers visitors with nothing, not with an error."""
        if self.rest.headers:
            url = f"{self.base}/rest/api/3/myself"
            answer = self.rest.json(url)
            with documented(url):
                an_id(answer["accountId"])

    def _search(self, token: str) -> Iterator[tuple[list[dict[str, Any]], str]]:
        """Yield the issues a page at a time, each with the token of the next page, "" at the end."""
        url = f"{self.base}/rest/api/3/search/jql"
        body = {"jql": self.jql, "maxResults": self.page_size, "fields": _LISTED}
        seen: set[str] = set()
        while True:
            try:
                answer = self.rest.json(url, method="POST", body=body | ({"nextPageToken": token} if token else {}))
            except OutboundError:
                if not token or seen:
                    raise
                token = ""  # that of a checkpoint ran out: all is listed
                continue
            with documented(url):
                issues = [dict(issue) for issue in answer["issues"]]
                token = str(answer.get("nextPageToken") or "")
                if not token and answer.get("isLast") is False:
                    raise OutboundError(f"{url} has a next page without a token.")
            yield issues, token
            if not token:
                return
            fresh(token, seen, url)

    def _item(self, issue: dict[str, Any], access: Access) -> Item:
        with documented("The list of issues"):
            fields = dict(issue["fields"])
            uri = f"{self.base}/issues/?jql=id={an_id(issue['id'])}"
            tag, changed = _tag(issue), moment(fields["updated"])
        return Item(uri, tag, changed, readers=access.readers(fields))

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Write the issue with its comments as HTML to ``into / "content"``.

        Raises ItemUnreadable when it is gone or refused, ParseLimit when it is too long.
        """
        url = f"{self.base}/rest/api/3/issue/{item.uri.rpartition('=')[2]}"
        with unreadable(item.uri):
            asked = f"{url}?fields={_FETCHED}&expand=renderedFields"
            issue = self.rest.json(asked)
            with documented(asked):
                parts, tag, changed = [_head(issue)], _tag(issue), moment(issue["fields"]["updated"])
                name = f"{issue['key']} {issue['fields']['summary']}"
            size = len(parts[0])
            commented = f"{url}/comment?orderBy=created&expand=renderedBody"
            for comment in values(self.rest, commented, of="comments"):
                with documented(commented):
                    parts.append(_comment(comment))
                size += len(parts[-1])
                if size > self.max_bytes:
                    raise ParseLimit(f"{item.uri} with its comments is too long.", remedy="Raise METIER_MAX_FILE_MB.")
        raw = write_document(item, "".join(parts) + "</body></html>\n", into, "text/html")
        return replace(raw, version_tag=tag, modified_at=changed, name=name.replace("/", "_"))


def query_of(jql: str, projects: str) -> str:
    """Return what to search for. Raises SourceError when neither option says anything, or both do."""
    keys = listed_words(projects, _KEY, "projects")
    if bool(jql.strip()) == bool(keys):
        raise SourceError("One of the options jql and projects says which issues to read.", remedy="Give one of them.")
    named = ", ".join(json.dumps(key) for key in keys)
    return jql.strip() or f"project in ({named}) ORDER BY created ASC, key ASC"


def _tag(issue: dict[str, Any]) -> str:
    return f"{issue['fields']['updated']} {issue['key']}"


def _head(issue: dict[str, Any]) -> str:
    fields = issue["fields"]
    name = html.escape(f"{issue['key']}: {fields['summary']}")
    said = ", ".join(
        html.escape(f"{label}: {fields[key]['name']}")
        for label, key in (("Type", "issuetype"), ("Status", "status"))
        if fields.get(key)
    )
    described = (issue.get("renderedFields") or {}).get("description") or ""
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{name}</title></head>\n'
        f"<body><h1>{name}</h1>\n<p>{said}</p>\n<div>{described}</div>\n"
    )


def _comment(comment: dict[str, Any]) -> str:
    """Return the comment as HTML; "" for one that not all readers of the issue may see."""
    if comment.get("visibility") is not None or comment.get("jsdPublic") is False:
        return ""
    author = html.escape(str((comment.get("author") or {}).get("displayName") or "?"))
    return f"<h2>{author}, {html.escape(str(comment['created'])[:10])}</h2>\n<div>{comment['renderedBody']}</div>\n"


def _location(location: str) -> str:
    return site_address(location, _EXAMPLE)


JIRA = Kind(
    JiraSource.opened,
    _location,
    f"the address of Jira Cloud: {_EXAMPLE}",
    {
        "projects": "keys of projects, with commas between",
        "jql": "a search in the language of Jira, in place of projects",
        **OPTIONS,
    },
    SHOWN,
)
