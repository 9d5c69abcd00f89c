"""Access lists that come with the items of a source: who the names are, and which documents get another list.

A name that nobody is known by counts for nobody; the next run looks again. Lists are taken in before anything is read:
a revocation holds at once, however long the run goes on. Of an item that has changed only that: whoever is new on its
list may read what it says now, not what it said before, so they wait until the new text is stored (the "new enemy" of
Zanzibar: Pang et al., 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from indexing import changelog, grants, runs, store
from indexing.compare import root_uri
from indexing.principals import counting, principal_called
from indexing.store_lists import has_own_lists, interned, note_listing, on_list

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from indexing.documents import KnownDocument, Listing, Scope, SourceRecord

#: A source that is asked now and then, and says who may read what, is hidden when it was not heard of for so long.
MAX_AGE_MINUTES = 60
#: Their lists are no older than what they are told of: a folder of this machine, and what is pushed.
NEVER_STALE = frozenset({"folder", "push"})
_NAMED = 10


@dataclass(frozen=True, slots=True)
class ItemLists:
    """What a listing says about readers. ``own`` is by uri; an item that is not in it has no list of its own."""

    own: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int | None] = field(default_factory=dict)  # the lists until then of items that have changed
    unknown: tuple[str, ...] = ()  # names that nobody is known by
    relisted: int = 0  # documents that got another list, attachments included

    def notes(self) -> tuple[str, ...]:
        """Return what a run should say of the lists."""
        if not self.unknown:
            return ()
        shown = ", ".join(self.unknown[:_NAMED]) + (" …" if len(self.unknown) > _NAMED else "")
        return (f"{len(self.unknown)} names of readers are not known and count for nobody: {shown}",)


def own_list(session: Session, names: Iterable[str], issuer: str, unknown: set[str]) -> int:
    """Return the list of those of *names* that are known; the others are added to *unknown*."""
    found = {name: principal_called(session, name, issuer) for name in names}
    unknown.update(name for name, principal in found.items() if principal is None)
    return interned(session, {principal.id for principal in found.values() if principal is not None})


def take_lists(session: Session, source: SourceRecord, listing: Listing, began_at: datetime) -> ItemLists:
    """Give the documents and failures of the listed items the lists that *listing* says, and return these.

    Of a push source the lists are read again under the lock: one that was pushed after the listing is newer.
    """
    changelog.lock(session)
    items = store.originals(session, source.id) if source.kind == "push" else listing.items
    told = {item.uri: item.readers for item in items} | {each.uri: each.readers for each in listing.failures}
    unknown: set[str] = set()
    lists = {
        names: own_list(session, names, listing.issuer, unknown) for names in set(told.values()) if names is not None
    }
    own = {uri: lists[names] for uri, names in told.items() if names is not None}
    versions = {item.uri: item.version_tag for item in items}
    waiting, relisted = _relist(session, source, told.keys(), own, versions)
    for uri in runs.known_failures(session, source.id):
        if root_uri(uri) in told:
            runs.set_failure_list(session, source.id, uri, own.get(root_uri(uri)))
    if listing.complete:
        note_listing(session, source.id, began_at)
    now = store.source_named(session, source.name)
    if own and source.kind not in NEVER_STALE and now is not None and now.acl_max_age_minutes is None:
        grants.set_max_age(session, source.id, MAX_AGE_MINUTES)
    return ItemLists(own, waiting, tuple(sorted(unknown)), relisted)


def hidden(session: Session, scope: Scope, listing: Listing, known: Mapping[str, KnownDocument]) -> set[str]:
    """Return the uris of items whose own list, by the listing or the catalog, the scope is not on."""
    counts = counting(session, scope.principal_id)
    told = [(item.uri, item.readers) for item in listing.items if item.readers is not None]
    told += [(failure.uri, failure.readers) for failure in listing.failures if failure.readers is not None]
    open_to = {
        names: any((who := principal_called(session, name, listing.issuer)) and who.id in counts for name in names)
        for names in {names for _, names in told}
    }
    found = {uri for uri, names in told if not open_to[names]}
    lists = {None} | scope.acl_ids
    return found | {uri for uri, document in known.items() if document.own_acl_id not in lists}


def _relist(
    session: Session, source: SourceRecord, told: Collection[str], own: Mapping[str, int], versions: Mapping[str, str]
) -> tuple[dict[str, int | None], int]:
    """Return the lists of those items that have changed and wait for another, and how many documents got another."""
    if not own and not has_own_lists(session, source.id):
        return {}, 0
    waiting: dict[str, int | None] = {}
    by_own: dict[int | None, list[int]] = {}
    for uri, document in store.known_documents(session, source.id).items():
        if uri not in told or document.own_acl_id == own.get(uri):
            continue
        wanted = own.get(uri)
        if versions.get(uri) != document.version_tag:
            waiting[uri] = wanted = _both(session, document.own_acl_id, wanted)
        if document.own_acl_id != wanted:
            by_own.setdefault(wanted, []).append(document.id)
    return waiting, sum(store.set_own_list(session, source.id, ids, own_id) for own_id, ids in by_own.items())


def _both(session: Session, before: int | None, now: int | None) -> int | None:
    """Return the list of those who are on both; None is everybody who may read the source."""
    if before is None or now is None:
        return now if before is None else before
    return interned(session, on_list(session, before) & on_list(session, now))


def with_lists(known: Mapping[str, KnownDocument], lists: ItemLists, listing: Listing) -> dict[str, KnownDocument]:
    """Return *known* as it is after ``take_lists``."""
    listed = {item.uri for item in listing.items}

    def list_of(uri: str) -> int | None:
        return lists.waiting[uri] if uri in lists.waiting else lists.own.get(uri)

    return {
        uri: replace(document, own_acl_id=list_of(root_uri(uri))) if root_uri(uri) in listed else document
        for uri, document in known.items()
    }
