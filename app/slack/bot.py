"""The bot of one workspace: what its modules work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.quotas import Quotas

if TYPE_CHECKING:
    from app.metrics import Metrics
    from app.parts import Parts
    from app.slack.client import Slack
    from app.slack.records import Workspace


def _without_limits() -> Quotas:
    return Quotas(None, None)


@dataclass(frozen=True)
class Bot:
    """The parts of the program, the workspace, and the way to its Slack."""

    parts: Parts
    metrics: Metrics
    workspace: Workspace
    slack: Slack
    #: The application's: a question in Slack counts like one that comes another way.
    quotas: Quotas = field(default_factory=_without_limits)
