"""The one message in which an answer appears, whatever happens to the process that writes it.

Each step can be the last one of a process, and the job then begins once more. What makes it one message all the same:

* before the first text nothing is there, so there is nothing to find;
* the job gets the message's ``ts`` right after the call that makes it, and a finished message names its question;
  whoever begins a second time looks for both, and completes that message instead of making another;
* before each call the claim on the job is renewed: a process that was stopped for so long that another one has the job
  says nothing more, and takes back what it has just begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.slack import deliver, store_inbox, store_posts
from app.slack.blocks import ANSWERED
from app.slack.records import Visibility

if TYPE_CHECKING:
    from app.slack.bot import Bot
    from app.slack.deliver import Stream
    from app.slack.records import Job, Message, Place

#: Stands for the ``ts`` of an ephemeral message, of which Slack tells none.
EPHEMERAL_TS = "ephemeral"


class ClaimLost(Exception):
    """Another worker has the job: whatever this one was about to do, it must not."""


def hold(bot: Bot, job: Job) -> None:
    """Renew the claim on *job*. Raises ClaimLost when it is another worker's by now."""
    with bot.parts.catalog.transaction() as session:
        mine = store_inbox.renew(session, job)
    if not mine:
        raise ClaimLost


class Screen:
    """Where one answer appears: streamed, or whole where it is for one person or is only to be seen when it is good."""

    def __init__(self, bot: Bot, job: Job, place: Place, visibility: Visibility, *, streams: bool = True) -> None:
        """Look for what an earlier attempt has begun; nothing is posted yet. Raises SlackError."""
        self.bot, self.job, self.place, self.visibility = bot, job, place, visibility
        self._begun = job.message_ts
        if self._begun is None and job.attempts > 1 and visibility is not Visibility.EPHEMERAL:
            self._begun = left_behind(bot, job, place)
        self._streams = streams and self._begun is None and visibility is not Visibility.EPHEMERAL
        self._stream: Stream | None = None

    def add(self, text: str) -> None:
        """Show *text* after what is there; the first piece at once. Raises ClaimLost and SlackError."""
        if not self._streams:
            return
        if text:
            hold(self.bot, self.job)
        if self._stream is None:
            self._stream = deliver.begin(self.bot, self.place, self.visibility, on_begun=self._note)
        self._stream.add(text)

    def end(self, text: str, end: Message, whole: Message, language: str) -> str:
        """Let the answer be *text*, and return the message's ``ts``. Raises ClaimLost and SlackError.

        *end* is what comes under a text that is on the screen, *whole* all of it; without a text the two are the same.
        """
        hold(self.bot, self.job)
        if self._stream is not None:
            self._stream.replace(text)
            return self._stream.stop(end, language)
        if self.visibility is Visibility.EPHEMERAL:
            ts = deliver.finish_begun(self.bot, self.place, "", whole, self.visibility) or EPHEMERAL_TS
        elif self._begun is not None:
            ts = deliver.finish_begun(self.bot, self.place, self._begun, whole, self.visibility)
        else:
            ts = deliver.deliver(self.bot, self.place, whole, self.visibility)
        self._note(ts)
        return ts

    def _note(self, ts: str) -> None:
        """Write down the message's ``ts`` with the job. Raises ClaimLost when the job is another worker's."""
        with self.bot.parts.catalog.transaction() as session:
            mine = store_inbox.begun(session, self.job, ts)
        if not mine:
            raise ClaimLost


def left_behind(bot: Bot, job: Job, place: Place) -> str | None:
    """Return the ``ts`` of the message that an earlier attempt at *job* has posted, or None. Raises SlackError."""
    if job.incoming.ts:
        with bot.parts.catalog.reading() as session:
            owned = store_posts.begun_for_others(session, bot.workspace.team_id, place.channel_id, job.id)
        return deliver.unfinished(bot, place, place.question_ts, owned=owned)
    # Nothing was written that it could be an answer to: it was shared. It was posted whole, so it says what it is.
    where: dict[str, Any] = {"channel": place.channel_id, "include_all_metadata": True, "limit": 100}
    if place.thread_ts:
        found = bot.slack.call("conversations.replies", ts=place.thread_ts, **where)
    else:
        found = bot.slack.call("conversations.history", **where)
    return deliver.marked_as(bot, found.get("messages") or (), ANSWERED, "question", place.question_ts)
