"""What goes over HTTP about receipts of deleted documents. The rules are those of ``app/wire.py``."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from app.wire import Wire, example


class DeletionOut(Wire):
    """The receipt of one deleted document."""

    model_config = example(
        document_id=17,
        source_id=1,
        source="handbook",
        uri_hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        state="bytes gone",
        left_at="2026-03-02T09:00:00Z",
        gone_at="2026-03-03T02:00:00Z",
    )

    document_id: int
    source_id: int
    source: str
    uri_hash: str = Field(description="sha256 of the document's name, which is not kept.")
    state: str = Field(description="left answers, or bytes gone.")
    left_at: datetime = Field(description="When it left the answers.")
    gone_at: datetime | None = Field(description="When nothing of it was left in this host's files.")


class DeletionsOut(Wire):
    """Receipts, newest first."""

    deletions: tuple[DeletionOut, ...]
    remains: tuple[str, ...] = Field(description="What a deletion does not reach.")
