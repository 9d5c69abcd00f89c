"""The authoriser: the only place that builds a :class:`indexing.documents.Scope`.

A scope is resolved from SQL when the question starts, so a revocation holds from the next question on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing import store
from indexing.documents import Scope

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def authorise(session: Session, principal_id: int) -> Scope:
    """Return the scope of *principal_id*; one that reads nothing if it is unknown or not active."""
    return Scope(principal_id, store.readable_acl_ids(session, principal_id))


def canary_scope(acl_id: int) -> Scope:
    """Return what the permission canary may read: rows of the index under a list that the catalog does not have."""
    return Scope(0, frozenset({acl_id}))
