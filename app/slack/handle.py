"""What is done about a job, by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.slack.bot import Bot
    from app.slack.records import Job


def handle(bot: Bot, job: Job) -> None:
    """Do nothing."""


def sign(bot: Bot, job: Job, ahead: int) -> None:
    """Show nothing."""
