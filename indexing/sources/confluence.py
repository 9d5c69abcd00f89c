"""Pages, blog posts and their attachments of Confluence Cloud, with who may read them.

The shapes are those of Atlassian's document of the REST API v2 ("Space", "Page", "Blog Post", "Attachment"); bytes of
attachments come from v1 ("Content - attachments"). Who may read is in ``confluence_access.py``.

The uri of an item is an address made of its id, so that it stays when the page is renamed or moved. Its version tag is
the number of the version, with the names that the document shows. Bodies are read as they are stored ("storage"), not
as they are shown: when Confluence shows a page it fills in parts of other pages, with the rights of the account that
asks, and those may have fewer readers.
"""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from indexing.documents import Item, Page
from indexing.errors import ItemUnreadable, SourceError
from indexing.sources import Kind
from indexing.sources.answers import documented
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
from indexing.sources.confluence_access import PAGE_SIZE, Access, ConfluencePeople, entries
from indexing.sources.rest import Denied, moment, unreadable, write_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexing.documents import RawDocument, SourceRecord
    from indexing.sources import SourceContext
    from indexing.sources.atlassian import Gate
    from indexing.sources.rest import Rest

_KINDS = {"page": "pages", "blogpost": "blogposts"}
_KEY = r"~?[A-Za-z0-9_.:-]{1,255}"
#: Attachments of other types are mostly pictures, films and programs.
_READ = frozenset(
    ("csv", "doc", "docx", "eml", "epub", "htm", "html", "json", "md", "msg", "odp", "ods", "odt", "pdf", "ppt",
     "pptx", "rtf", "tsv", "txt", "xls", "xlsx", "xml")
)  # fmt: skip
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
#: Settings of macros, marks of tasks, and what an empty template asks for: none of it is text of the page.
_SETTINGS = re.compile(r"<ac:(parameter|task-id|task-status|placeholder)\b[^>]*(?<!/)>.*?</ac:\1>", re.DOTALL)
_CODE = re.compile(r"(</?)ac:plain-text-body\b[^>]*>")
_EXAMPLE = "https://company.atlassian.net/wiki"


@dataclass
class _Seen:
    """What one listing counts."""

    left_out: int = 0  # attachments of other types


@dataclass(frozen=True)
class ConfluenceSource:
    """The spaces of one site that the account may read, or those of *spaces*."""

    base: str
    rest: Rest
    options: Options
    spaces: tuple[str, ...] = ()
    attachments: bool = True
    secret: str | None = None  # its name
    max_bytes: int = 200 << 20
    page_size: int = PAGE_SIZE
    _space_names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def opened(cls, record: SourceRecord, context: SourceContext) -> ConfluenceSource:
        """Return the source that *record* describes. Raises SourceError for an option or secret that is of no use."""
        wanted = record.options.get("attachments", "yes")
        if wanted not in ("yes", "no"):
            raise SourceError(f"{wanted!r} is no value of the option attachments.", remedy="Say yes or no.")
        return cls(
            base=record.location,
            rest=asking(record, context),
            options=options_of(record.options),
            spaces=listed_words(record.options.get("spaces", ""), _KEY, "spaces"),
            attachments=wanted == "yes",
            secret=record.secret,
            max_bytes=context.most_bytes,
        )

    def pages(self, checkpoint: str | None) -> Iterator[Page]:
        """Yield the items, a space after the other. A checkpoint is the id of the last space that was done.

        Raises SourceError when the account is not let in, a space of *spaces* is not there for it, or the service
        stopped answering.
        """
        access = Access(self.rest, self.base, self.options.directory(ConfluencePeople(self.rest, self.base)))
        seen = _Seen()
        issuer = self.options.issuer
        try:
            self._check_account()
            for space in self._listed_spaces():
                if checkpoint is not None and checkpoint.isdecimal() and int(space) <= int(checkpoint):
                    continue
                gate = access.space(space)
                for items in self._space(space, gate, access, seen):
                    yield Page(items, issuer=issuer, checkpoint=checkpoint)
                checkpoint = space
                yield Page(issuer=issuer, checkpoint=checkpoint)
        except Denied as exc:
            raise refused(exc, self.secret) from exc
        left_out = (f"{seen.left_out} attachments of other types",) if seen.left_out else ()
        yield Page(notes=(*access.notes(), *left_out), issuer=issuer, checkpoint=checkpoint)

    def _check_account(self) -> None:
        """Raise Denied when the secret is not taken: some requests answer visitors with less, not with an error."""
        if not self.rest.headers:
            return
        url = f"{self.base}/rest/api/user/current"
        answer = self.rest.json(url)
        with documented(url):
            if not answer.get("accountId"):
                raise Denied(f"{url} takes us for a visitor.")

    def _listed_spaces(self) -> list[str]:
        """Return the ids of the spaces to read, in order. Raises SourceError when one is missing."""
        wanted = "".join(f"&keys={key}" for key in self.spaces)
        keys: dict[str, str] = {}
        url = f"{self.base}/api/v2/spaces?status=current&limit={self.page_size}{wanted}"
        for found in entries(self.rest, url):
            with documented(url):
                for space in found:
                    if space["status"] == "current":
                        keys[an_id(space["id"])] = str(space["key"])
                        self._space_names[str(space["id"])] = str(space["name"])
        missing = set(self.spaces) - set(keys.values())
        if missing or not keys:
            raise SourceError(
                f"{self.base} shows no space {', '.join(sorted(missing))}".rstrip() + " to this account.",
                remedy="Let its account view the space, or correct the option spaces. Nothing was deleted.",
            )
        return sorted((space for space in keys if not self.spaces or keys[space] in self.spaces), key=int)

    def _space(self, space: str, gate: Gate | None, access: Access, seen: _Seen) -> Iterator[tuple[Item, ...]]:
        for kind, path in _KINDS.items():
            url = f"{self.base}/api/v2/spaces/{space}/{path}?status=current&sort=id&limit={self.page_size}"
            if kind == "blogpost":
                url = f"{self.base}/api/v2/blogposts?space-id={space}&status=current&sort=id&limit={self.page_size}"
            for found in entries(self.rest, url):
                items: list[Item] = []
                with documented(url):
                    current = [content for content in found if content["status"] == "current"]
                for content in current:
                    with documented(url):
                        uri, tag = self._uri(kind, an_id(content["id"])), self._tag(content, space)
                        changed = moment(content["version"].get("createdAt"))
                    readers = access.readers(gate, kind, content)
                    items.append(Item(uri, tag, changed, readers=readers))
                    if self.attachments:
                        items += self._attachments(kind, str(content["id"]), readers, seen)
                yield tuple(items)

    def _attachments(self, kind: str, content: str, readers: tuple[str, ...], seen: _Seen) -> Iterator[Item]:
        url = f"{self.base}/api/v2/{_KINDS[kind]}/{content}/attachments?status=current&limit={self.page_size}"
        for found in entries(self.rest, url):
            with documented(url):
                for attachment in found:
                    if attachment["status"] != "current":
                        continue
                    if str(attachment["title"]).rpartition(".")[2].lower() not in _READ:
                        seen.left_out += 1
                        continue
                    size = attachment.get("fileSize")
                    yield Item(
                        self._attachment_uri(content, an_id(attachment["id"])),
                        _attachment_tag(attachment),
                        moment(attachment["version"].get("createdAt")),
                        int(size) if size is not None else None,
                        readers,
                    )

    def fetch(self, item: Item, into: Path) -> RawDocument:
        """Write the page as HTML, or copy the attachment, to ``into / "content"``.

        Raises ItemUnreadable when it is gone, in the trash, or refused; ParseLimit when it is too long.
        """
        if attachment := re.fullmatch(re.escape(self.base) + r"(/rest/api/content/\d+/child/.*/)download", item.uri):
            key = attachment[1].rstrip("/").rpartition("/")[2]
            told = self._current(item, f"{self.base}/api/v2/attachments/{key}")
            with unreadable(item.uri), documented(item.uri):
                tag, name, media_type = _attachment_tag(told), str(told["title"]), told.get("mediaType")
            raw = self.rest.download(
                item.uri, item, into, self.max_bytes, media_type=media_type, headers={"Accept": "*/*"}
            )
            return replace(raw, version_tag=tag, name=name.replace("/", "_"))
        key, _, kind = item.uri.partition("pageId=")[2].partition("&type=")
        told = self._current(item, f"{self.base}/api/v2/{_KINDS[kind or 'page']}/{key}?body-format=storage")
        with unreadable(item.uri), documented(item.uri):
            space = an_id(told["spaceId"])
            title, stored = str(told["title"]), str(told["body"]["storage"]["value"])
            text = document(self._space_name(space), title, stored)
            tag, changed = self._tag(told, space), moment(told["version"].get("createdAt"))
        raw = write_document(item, text, into, "text/html")
        return replace(raw, version_tag=tag, modified_at=changed, name=title.replace("/", "_"))

    def _current(self, item: Item, url: str) -> dict[str, Any]:
        """Return what *url* answers. Raises ItemUnreadable for what is not there any more, or in the trash."""
        with unreadable(item.uri):
            answer = self.rest.json(url)
            with documented(url):
                status = answer["status"]
        if status != "current":
            raise ItemUnreadable(f"{item.uri} is gone: it is {status}.", remedy="Nothing to do: the next run sees it.")
        return dict(answer)

    def _space_name(self, space: str) -> str:
        if space not in self._space_names:
            url = f"{self.base}/api/v2/spaces/{space}"
            answer = self.rest.json(url)
            with documented(url):
                self._space_names[space] = str(answer["name"])
        return self._space_names[space]

    def _uri(self, kind: str, key: str) -> str:
        return f"{self.base}/pages/viewpage.action?pageId={key}" + ("&type=blogpost" if kind == "blogpost" else "")

    def _attachment_uri(self, content: str, key: str) -> str:
        return f"{self.base}/rest/api/content/{content}/child/attachment/{key}/download"

    def _tag(self, content: dict[str, Any], space: str) -> str:
        shown = f"{self._space_name(space)}\0{content['title']}"
        return f"{int(content['version']['number'])} {hashlib.sha256(shown.encode()).hexdigest()[:16]}"


def _attachment_tag(attachment: dict[str, Any]) -> str:
    title = hashlib.sha256(str(attachment["title"]).encode()).hexdigest()[:16]
    return f"{int(attachment['version']['number'])} {title}"


def document(space: str, title: str, stored: str) -> str:
    """Return a page as an HTML document: its title, its space, and its text as it is stored, without settings."""
    text = _CDATA.sub(lambda found: html.escape(found[1]), stored)
    text = _CODE.sub(r"\1pre>", _SETTINGS.sub("", text))
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{name}</title></head>\n'
        f"<body><h1>{name}</h1>\n<p>{html.escape(space)} &gt; {name}</p>\n{text}\n</body></html>\n"
    )


def _location(location: str) -> str:
    return site_address(location, _EXAMPLE)


CONFLUENCE = Kind(
    ConfluenceSource.opened,
    _location,
    f"the address of Confluence Cloud: {_EXAMPLE}",
    {
        "spaces": "keys of spaces, with commas between; without it all that the account may view",
        "attachments": "no: pages and blog posts only",
        **OPTIONS,
    },
    SHOWN,
)
