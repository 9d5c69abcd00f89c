"""The bot of one workspace: what its modules work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.metrics import Metrics
    from app.parts import Parts
    from app.slack.client import Slack
    from app.slack.records import Workspace


@dataclass(frozen=True)
class Bot:
    """The parts of the program, the workspace, and the way to its Slack."""

    parts: Parts
    metrics: Metrics
    workspace: Workspace
    slack: Slack
