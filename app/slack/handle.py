"""From a job to the function that does it. Feature modules bring their own tables; nothing else knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import structlog

from app.slack import commands, experts, feedback, home, questions, settings_modal, shortcut
from app.slack.screen import ClaimLost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from app.slack.bot import Bot
    from app.slack.records import Job

log = structlog.get_logger(__name__)

Done: TypeAlias = "Callable[[Bot, Job], None]"
#: Modules with tables of their own: ACTIONS by what comes before ":" in an action_id, VIEWS and SHORTCUTS by
#: callback_id in the same way, COMMANDS by the first word after /ask, KINDS by the kind of what came in.
FEATURES: tuple[ModuleType, ...] = (questions, commands, home, settings_modal, shortcut, feedback, experts)


def table(name: str) -> Mapping[str, Done]:
    """Return the tables called *name* of all features as one. Two features that want the same word are a mistake."""
    merged: dict[str, Done] = {}
    for feature in FEATURES:
        own: Mapping[str, Done] = getattr(feature, name, {})
        if twice := merged.keys() & own.keys():
            raise ValueError(f"{feature.__name__} takes what another feature has: {', '.join(sorted(twice))}.")
        merged.update(own)
    return merged


ACTIONS, VIEWS, SHORTCUTS = table("ACTIONS"), table("VIEWS"), table("SHORTCUTS")
COMMANDS, KINDS = table("COMMANDS"), table("KINDS")


def handle(bot: Bot, job: Job) -> None:
    """Do what *job* asks for. Something that no feature knows is left alone, and logged by its name.

    Raises what goes wrong, so that the job is tried again; a claim that was lost ends it quietly, because whoever has
    the job now does it.
    """
    try:
        _function(job)(bot, job)
    except ClaimLost:
        log.info("Another worker has the job now.", action="slack_claim_lost", job=job.id)


def sign(bot: Bot, job: Job, ahead: int) -> None:
    """Show where the question was asked that it was heard, and how many wait before it. Raises nothing of Slack's."""
    questions.sign(bot, job, ahead)


def _function(job: Job) -> Done:
    kind, payload = job.incoming.kind, job.incoming.payload
    if kind == "command":
        return COMMANDS.get(str(payload.get("word") or ""), questions.ask)
    name = str((payload.get("action") or {}).get("action_id") or payload.get("callback_id") or "")
    tables = {"action": ACTIONS, "view": VIEWS, "shortcut": SHORTCUTS}
    if kind in tables:
        return tables[kind].get(name.partition(":")[0], _unknown)
    return KINDS.get(kind, _unknown)


def _unknown(bot: Bot, job: Job) -> None:
    log.warning(
        "Nothing is done about this.", action="slack_unknown", kind=job.incoming.kind, team=bot.workspace.team_id
    )
