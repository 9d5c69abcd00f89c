"""What the program is made of, put together by ``app.wiring.build`` and handed down as one argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.generator import Generator
    from app.reading import SpanReader
    from app.settings import AppSettings
    from indexing.db import Catalog
    from indexing.embed import Embedder
    from indexing.parse import ParserPool
    from indexing.search import SearchIndex


@dataclass(frozen=True)
class Parts:
    """The concrete pieces behind every face. Tests build one with fakes through the same function."""

    settings: AppSettings
    catalog: Catalog
    embedder: Embedder
    index: SearchIndex
    parsers: ParserPool
    reads: SpanReader
    generator: Generator
