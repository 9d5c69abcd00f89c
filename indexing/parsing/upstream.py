"""The seam to ``unstructured``: loads its readers without its network habits, and turns its elements into blocks."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from indexing.parsing import tokenizer
from indexing.parsing.html import add_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from indexing.parsing.blocks import Page

_TEXTS = ("Title", "Header", "Text", "UncategorizedText", "NarrativeText", "ListItem")
_KINDS = {"Table": "table", "ListItem": "list", "CodeSnippet": "code"}
_TOKENIZER = "unstructured.nlp.tokenize"


def reader(module: str, function: str) -> Callable[..., list[Any]]:
    """Return ``unstructured.partition.<module>.<function>``, with our tokenizer in place of the one that downloads.

    The process must have DO_NOT_TRACK, SCARF_NO_ANALYTICS and UNSTRUCTURED_DISABLE_NOTICE set (the pool does).
    """
    sys.modules.setdefault(_TOKENIZER, tokenizer)
    found: Callable[..., list[Any]] = getattr(importlib.import_module(f"unstructured.partition.{module}"), function)
    return found


def add_elements(page: Page, elements: Iterable[Any], headings: Mapping[str, int] | None = None) -> None:
    """Add ``unstructured``'s *elements* to *page*.

    *headings*: text of each real heading → its level, for readers that also call short lines titles; those are text.
    None for readers that give that name to ``<h1>`` to ``<h6>`` alone: then the depth of the element counts.
    """
    from lxml import html

    for element in elements:
        category = element.category
        metadata = element.metadata
        number = metadata.page_number
        if number is not None:
            page.number = number
        text = element.text or ""
        key = " ".join(text.split())
        if headings is None and category == "Title":
            page.heading(text, (metadata.category_depth or 0) + 1)
        elif headings and category in _TEXTS and key in headings:
            page.heading(text, headings[key])
        elif category == "Table" and metadata.text_as_html:
            table = html.fragment_fromstring(metadata.text_as_html, create_parent="div")
            for found in table.iter("table"):
                add_table(page, found)
        elif category != "PageBreak":
            page.add(text, _KINDS.get(category, "text"))
