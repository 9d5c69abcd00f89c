"""A whole listing of a source, gathered from its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.documents import Listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexing.documents import Failure, Item
    from indexing.sources import Source


def _unwatched(items: int) -> None:
    """Tell nobody."""


def listed(source: Source, on_page: Callable[[int], None] = _unwatched) -> Listing:
    """Return everything that *source* lists, each uri once, sorted. Raises SourceError.

    *on_page* is told after each part how many items there are so far; what it raises ends the listing.
    """
    items: dict[str, Item] = {}
    failures: list[Failure] = []
    notes: dict[str, None] = {}
    complete, issuer = True, "local"
    for page in source.pages(None):
        items.update((item.uri, item) for item in page.items)
        failures.extend(page.failures)
        notes.update(dict.fromkeys(page.notes))
        complete, issuer = complete and page.complete, page.issuer
        on_page(len(items))
    ordered = tuple(items[uri] for uri in sorted(items))
    return Listing(ordered, complete=complete, failures=tuple(failures), notes=tuple(notes), issuer=issuer)
