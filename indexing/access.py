"""The authoriser: the only place that builds a :class:`indexing.documents.Scope`.

A scope is resolved from SQL when the question starts, so a revocation holds from the next question on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing import principals, store, store_candidate
from indexing.documents import Scope
from indexing.tables import EVERYONE

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from indexing.trial import Trial


def authorise(
    session: Session,
    principal_id: int,
    *,
    only_public: bool = False,
    together: frozenset[int] = frozenset(),
    trial: Trial | None = None,
) -> Scope:
    """Return the scope of *principal_id*; one that reads nothing if it is unknown or not active.

    With *only_public* it holds no more than what everyone may read, whoever asks. With *together* it holds no more than
    what each of these may read too: nothing, when one of them is unknown or not active. With a *trial*, which only a
    gate has, it reads all of what is tried besides: nothing that such a scope reads is shown to anybody.
    """
    acl_ids = store.readable_acl_ids(session, principal_id)
    if only_public:
        everyone = principals.principal_named(session, EVERYONE)
        acl_ids &= frozenset() if everyone is None else store.readable_acl_ids(session, everyone.id)
    for other in sorted(together - {principal_id}):
        acl_ids &= store.readable_acl_ids(session, other)
    if trial is not None:
        acl_ids |= store_candidate.lists(session, trial)
    return Scope(principal_id, acl_ids, only_public, trial, together)


def authorised_again(session: Session, scope: Scope) -> Scope:
    """Return what the asker of *scope* may read by now, for the same people to see."""
    return authorise(
        session, scope.principal_id, only_public=scope.only_public, together=scope.together, trial=scope.trial
    )


def canary_scope(acl_id: int) -> Scope:
    """Return what the permission canary may read: rows of the index under a list that the catalog does not have."""
    return Scope(0, frozenset({acl_id}))
