"""What goes over HTTP about why a run is as it is. The rules are those of ``app/wire.py``."""

from __future__ import annotations

from app.wire import Wire, example


class LineOut(Wire):
    """One thing to know of a run."""

    about: str
    text: str


class ExplainedOut(Wire):
    """Why a run is as it is, in plain words, the most pressing first."""

    model_config = example(
        run_id=3,
        state="running",
        lines=[{"about": "now", "text": "It is reading documents: 12 of 40, for 3 min; last sign of life 1 s ago."}],
    )

    run_id: int
    state: str
    lines: tuple[LineOut, ...]
