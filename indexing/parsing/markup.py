"""HTML, Markdown, EPUB, and what pandoc turns into HTML: RST, Org, RTF and ODT."""

from __future__ import annotations

import re
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from indexing.documents import Parsed
from indexing.errors import ParseError
from indexing.parsing import archive
from indexing.parsing.blocks import Page, clean
from indexing.parsing.decode import decode, read_text
from indexing.parsing.html import add_html

if TYPE_CHECKING:
    from indexing.parsing.job import Job

_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w:-]+)", re.IGNORECASE)


def read_html(job: Job) -> Parsed:
    """Return the text of a web page; its title from ``<title>``, else from its first heading."""
    data = job.path.read_bytes()
    page = Page(job.limits.output_mb << 20)
    return _parsed(page, add_html(page, _decode_html(data)))


def read_markdown(job: Job) -> Parsed:
    """Return the text of a Markdown file; front matter between ``---`` lines gives the title."""
    from markdown_it import MarkdownIt

    text = read_text(job.path)
    title = None
    if match := re.match(r"---\n(.*?)\n(?:---|\.\.\.)\n", text, re.DOTALL):
        if found := re.search(r"^title:\s*[\"']?(.+?)[\"']?\s*$", match[1], re.MULTILINE | re.IGNORECASE):
            title = found[1]
        text = text[match.end() :]
    page = Page(job.limits.output_mb << 20)
    add_html(page, MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text), links=True)
    return _parsed(page, title)


def read_by_pandoc(job: Job) -> Parsed:
    """Return the text of an RST, Org, RTF or ODT file, by way of pandoc's HTML."""
    import pypandoc

    if job.format == "odt":
        archive.check(job.path, job.limits)
    try:
        markup = pypandoc.convert_file(
            str(job.path), "html", format=job.format, sandbox=True, extra_args=["--standalone"]
        )
    except RuntimeError as exc:
        raise ParseError(f"The {job.format.upper()} file is damaged: {' '.join(str(exc).split())[:200]}.") from exc
    page = Page(job.limits.output_mb << 20)
    return _parsed(page, add_html(page, markup))


def read_epub(job: Job) -> Parsed:
    """Return the text of an e-book's chapters in reading order (EPUB 3, section 3: container, package, spine)."""
    from lxml import etree

    archive.check(job.path, job.limits)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    page = Page(job.limits.output_mb << 20)
    with zipfile.ZipFile(job.path) as book:
        names = set(book.namelist())
        container = etree.fromstring(book.read("META-INF/container.xml"), parser)
        root = container.xpath("string(//*[local-name()='rootfile']/@full-path)")
        package = etree.fromstring(book.read(root), parser)
        folder = PurePosixPath(root).parent
        files = {item.get("id"): item.get("href") for item in package.xpath("//*[local-name()='manifest']/*")}
        title = package.xpath("string(//*[local-name()='metadata']/*[local-name()='title'])") or None
        for reference in package.xpath("//*[local-name()='spine']/*/@idref"):
            name = _resolve(folder, files.get(reference) or "")
            if name in names:
                page.leave_headings()
                add_html(page, _decode_html(book.read(name)))
    return _parsed(page, title)


def _resolve(folder: PurePosixPath, href: str) -> str:
    """Return the member that *href* names from *folder*; ``..`` is folded, as zip names hold none."""
    parts: list[str] = []
    for part in (folder / unquote(href.partition("#")[0])).parts:
        if part == "..":
            del parts[-1:]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _parsed(page: Page, title: str | None) -> Parsed:
    title = " ".join(clean(title or "").split())[:200] or page.title
    return Parsed(tuple(page.blocks), title)


def _decode_html(data: bytes) -> str:
    """Return the text of a page: by its mark or as UTF-8, else by what it declares, else by what is likeliest."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = _CHARSET.search(data[:4096])
    if declared:
        try:
            return data.decode(declared[1].decode("ascii"), "replace")
        except LookupError:
            pass
    return decode(data)
