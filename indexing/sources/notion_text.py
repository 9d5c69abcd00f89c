"""A page of Notion as Markdown: its title, its properties, its blocks. Pure functions.

Shapes: https://developers.notion.com/reference/page, …/reference/block, …/reference/page-property-values and
…/reference/rich-text. What has no text (pictures, files, dividers) is left out; a block that is not known here is read
by its rich text, if it has any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Blocks that are pages of their own: they are items themselves.
PAGES = frozenset({"child_page", "child_database"})
_PREFIX = {
    "heading_1": "# ",
    "heading_2": "## ",
    "heading_3": "### ",
    "bulleted_list_item": "- ",
    "numbered_list_item": "1. ",
    "quote": "> ",
}
#: Properties that are ids, files or controls.
_WITHOUT_TEXT = frozenset({"relation", "files", "verification", "button"})
_INDENTED = frozenset({"bulleted_list_item", "numbered_list_item", "to_do", "toggle"})


def plain(rich: Any) -> str:
    """Return the text of rich text, on one line where it has several; "" for anything else."""
    parts = rich if isinstance(rich, list) else ()
    text = "".join(str(part.get("plain_text") or "") for part in parts if isinstance(part, dict))
    return text.replace("\r", "").strip()


def title_of(page: Mapping[str, Any]) -> str:
    """Return the title of a page: that property which has the type title."""
    found = (plain(value.get("title")) for value in _properties(page).values() if value.get("type") == "title")
    return " ".join(next(found, "").split())


def head_of(page: Mapping[str, Any]) -> list[str]:
    """Return the first lines of a page: its title, and its other properties, as rows of a database have them."""
    told = [
        f"- {' '.join(name.split())}: {value}"
        for name, each in _properties(page).items()
        if each.get("type") != "title" and (value := " ".join(_value(each).split()))
    ]
    return [f"# {title_of(page) or 'Untitled'}", *(["\n".join(told)] if told else [])]


def _properties(page: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = page.get("properties")
    told = found if isinstance(found, dict) else {}
    return {str(name): value for name, value in told.items() if isinstance(value, dict)}


def _value(holder: Any) -> str:
    """Return the value of a property as text; "" for one that has none, or is a relation, which is only ids."""
    told = holder if isinstance(holder, dict) else {}
    kind = told.get("type")
    value = told.get(kind) if isinstance(kind, str) and kind not in _WITHOUT_TEXT else None
    if kind in ("rich_text", "title"):
        return plain(value)
    if kind == "date":
        return _dates(value)
    if kind in ("formula", "rollup"):
        several = value.get("array") if isinstance(value, dict) else None
        return ", ".join(map(_value, several)) if isinstance(several, list) else _value(value)
    named = (_named(each) for each in (value if isinstance(value, list) else [value]))
    return ", ".join(name for name in named if name)


def _dates(value: Any) -> str:
    told = value if isinstance(value, dict) else {}
    return " – ".join(str(told[end]) for end in ("start", "end") if told.get(end))


def _named(value: Any) -> str:
    """Return what a choice, a person, a number, an address or a box says."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return str(value.get("name") or value.get("string") or value.get("number") or "")
    return "" if value is None else str(value)


def written(blocks: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield the paragraphs of *blocks*, each with its depth, in the order in which they stand on the page."""
    rows: list[str] = []
    for depth, block in blocks:
        kind = str(block.get("type"))
        told = block.get(kind)
        value = told if isinstance(told, dict) else {}
        if kind == "table_row":
            cells = value.get("cells")
            rows.append("| " + " | ".join(_cell(each) for each in (cells if isinstance(cells, list) else ())) + " |")
            if len(rows) == 1:
                rows.append("|" + " --- |" * rows[0].count(" |"))
            continue
        if rows:
            yield "\n".join(rows)
            rows = []
        if text := _block(kind, value):
            yield _indented(text, depth) if kind in _INDENTED else text
    if rows:
        yield "\n".join(rows)


def _cell(rich: Any) -> str:
    return " ".join(plain(rich).replace("|", "\\|").split())


def _block(kind: str, value: Mapping[str, Any]) -> str:
    if kind in PAGES:
        return ""
    if kind == "equation":
        return str(value.get("expression") or "")
    text = plain(value.get("rich_text")) or plain(value.get("caption"))
    if not text:
        return ""
    if kind == "code":
        fence = "`" * max(3, 1 + max((len(run) for run in text.split("\n") if set(run) == {"`"}), default=0))
        return f"{fence}\n{text}\n{fence}"
    if kind == "to_do":
        return f"- [{'x' if value.get('checked') is True else ' '}] {text}"
    return f"{_PREFIX.get(kind, '')}{text}"


def _indented(text: str, depth: int) -> str:
    return "\n".join("  " * min(depth, 6) + line for line in text.split("\n"))
