"""HTML, Markdown and EPUB; RST, Org and RTF through ``unstructured``; ODT by way of pandoc's HTML."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from indexing.documents import WEB_PAGE, Parsed
from indexing.errors import ParseError
from indexing.parsing import archive
from indexing.parsing.blocks import Page, clean
from indexing.parsing.decode import decode, read_text
from indexing.parsing.html import add_html
from indexing.parsing.properties import sensible_title
from indexing.parsing.upstream import add_elements, reader

if TYPE_CHECKING:
    from indexing.parsing.job import Job

_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w:-]+)", re.IGNORECASE)
_ORG_TITLE = re.compile(r"^#\+title:[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_RTF_TITLE = re.compile(r"\{\\title\s+([^{}]*)\}")


def read_html(job: Job) -> Parsed:
    """Return the text of a web page; its title from ``<title>``, else from its first heading.

    Of a page that a web source fetched, without the menus that all pages of the site share.
    """
    data = job.path.read_bytes()
    page = Page(job.limits.output_mb << 20)
    return _parsed(page, add_html(page, _decode_html(data), whole=job.media_type != WEB_PAGE))


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


def read_by_unstructured(job: Job) -> Parsed:
    """Return the text of an RST, Org or RTF file. Its title is the one that it states, else its first heading."""
    data = job.path.read_bytes()
    if job.format != "rtf":  # which says itself how it is encoded; of the others pandoc reads UTF-8 alone
        data = decode(data).replace("\r\n", "\n").encode()
    partition = reader(job.format, f"partition_{job.format}")
    try:
        elements = partition(file=io.BytesIO(data), languages=[""], detect_language_per_element=False)
    except RuntimeError as exc:
        raise _damaged(job, exc) from exc
    page = Page(job.limits.output_mb << 20)
    add_elements(page, elements)
    return _parsed(page, sensible_title(_stated_title(job.format, data)))


def _stated_title(form: str, data: bytes) -> str | None:
    """Return the title in the head of an Org or RTF file, which is lost on the way through pandoc's HTML; else None."""
    if form == "org":
        found = _ORG_TITLE.search(data.decode("utf-8", "replace"))
        return found[1] if found else None
    titles = _RTF_TITLE.findall(data.decode("latin-1")) if form == "rtf" else []
    if not titles:
        return None
    # The last one wins: Word writes it once more in Unicode, each such letter followed by one for older readers.
    title = re.sub(r"\\u(-?\d+) ?(?:\\'[0-9a-fA-F]{2}|\?)?", lambda match: chr(int(match[1]) % 65536), titles[-1])
    return re.sub(r"\\'([0-9a-fA-F]{2})", lambda match: bytes.fromhex(match[1]).decode("cp1252", "replace"), title)


def read_odt(job: Job) -> Parsed:
    """Return the text of an OpenDocument text, by way of pandoc's HTML; its title from its properties."""
    import pypandoc
    from lxml import etree

    archive.check(job.path, job.limits)
    try:
        markup = pypandoc.convert_file(str(job.path), "html", format="odt", sandbox=True)
    except RuntimeError as exc:
        raise _damaged(job, exc) from exc
    page = Page(job.limits.output_mb << 20)
    add_html(page, markup)
    with zipfile.ZipFile(job.path) as package:
        properties = package.read("meta.xml") if "meta.xml" in package.namelist() else b"<none/>"
    root = etree.fromstring(properties, _xml_parser())
    title = None if root is None else root.xpath("string(//*[local-name()='meta']/*[local-name()='title'])")
    return _parsed(page, sensible_title(title))


def _damaged(job: Job, cause: Exception) -> ParseError:
    return ParseError(f"The {job.format.upper()} file is damaged: {' '.join(str(cause).split())[:200]}.")


def _xml_parser() -> Any:
    from lxml import etree

    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)


def read_epub(job: Job) -> Parsed:
    """Return the text of an e-book's chapters in reading order (EPUB 3, section 3: container, package, spine)."""
    from lxml import etree

    archive.check(job.path, job.limits)
    parser = _xml_parser()
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
