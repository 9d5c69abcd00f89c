"""The golden sets that guard what a specialist answers from."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, String
from sqlalchemy.orm import Mapped, mapped_column

from indexing.tables import Table, utc_now


class GoldenSetRow(Table):
    """The golden set of one specialist, by its name: the built-in specialist has no row of its own."""

    __tablename__ = "golden_set"

    specialist: Mapped[str] = mapped_column(String(100), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))  # of the file
    sha256: Mapped[str] = mapped_column(String(64))  # of the file
    questions: Mapped[str]  # JSON lines
    tolerance: Mapped[float] = mapped_column(Float)
    floors: Mapped[dict[str, Any]]  # name of a figure → what it must reach
    stored_at: Mapped[datetime] = mapped_column(default=utc_now)
