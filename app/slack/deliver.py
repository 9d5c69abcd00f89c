"""The only module that puts something into Slack: each call says who will see it, and nothing unfurls.

What is for one person alone is posted whole, as an ephemeral message: through the ``response_url`` that came with the
command, or else by ``chat.postEphemeral``. There is no way from here by which it could end up in the channel. Answers
for all, and in a direct message, are shown while they are made: as Slack's own stream, or where Slack has none for the
place, as a message that is updated.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from app.errors import SlackError
from app.slack import escape
from app.slack.blocks import ANSWERED, with_text
from app.slack.blocks_parts import ANSWER_SECTIONS, SECTION_CHARS, TEXT_CHARS, section
from app.slack.records import Message, Visibility

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from app.slack.bot import Bot
    from app.slack.records import Place

log = structlog.get_logger()

#: The ``event_type`` of what is posted and is no answer. A message of ours without any is one that was begun.
NOTICE = "metier_notice"
#: Ids of conversations between the bot and one person; a person's own id stands for theirs.
_DIRECT = ("D", "U", "W")
#: What Slack says of a message that cannot be changed, however often one tries.
_GONE = ("message_not_found", "cant_update_message", "edit_window_closed")
#: Put on the question where Slack shows no status.
_MARK = "eyes"
#: How long a finished answer waits for its turn, because it would have to be made again; and anything else.
_ANSWER_PATIENCE_S, _PATIENCE_S = 40.0, 10.0
#: Least time between two pieces of a stream, and between two updates of a message.
APPEND_EVERY_S, UPDATE_EVERY_S = 0.8, 1.2
#: What Slack takes of a stream at a time.
PIECE_CHARS = 12_000


def deliver(bot: Bot, place: Place, message: Message, visibility: Visibility) -> str:
    """Post *message*, and return its ts; "" where Slack tells none, which is after a ``response_url``.

    Raises SlackError: Slack's own code, or not_private for a direct message into a channel.
    """
    if visibility is Visibility.EPHEMERAL:
        return _ephemeral(bot, place, message, replace=False)
    _require_direct(place, visibility)
    posted = bot.slack.call(
        "chat.postMessage",
        patience_s=_patience(message),
        channel=place.channel_id,
        thread_ts=place.thread_ts or None,
        **_content(message, place),
        unfurl_links=False,
        unfurl_media=False,
    )
    return str(posted.get("ts") or "")


def replace(bot: Bot, place: Place, ts: str, message: Message, visibility: Visibility) -> None:
    """Put *message* where the message *ts* is; an ephemeral one can be replaced through its ``response_url`` only.

    Without that the asker gets another ephemeral message. Raises SlackError.
    """
    if visibility is Visibility.EPHEMERAL:
        _ephemeral(bot, place, message, replace=True)
        return
    _require_direct(place, visibility)
    content = _content(message, place)
    bot.slack.call("chat.update", patience_s=_patience(message), channel=place.channel_id, ts=ts, **content)


def status(bot: Bot, place: Place, text: str) -> None:
    """Show what the bot is doing about a question; "" takes it away, which an answer in the thread does as well.

    Where Slack has no status it is a mark on the question. Never raises: an answer does not depend on it.
    """
    thread_ts = place.thread_ts or place.question_ts
    if not thread_ts:
        return
    try:
        bot.slack.call(
            "assistant.threads.setStatus", patience_s=1, channel_id=place.channel_id, thread_ts=thread_ts, status=text
        )
    except SlackError as exc:
        log.info("Slack shows no status.", action="slack_no_status", channel=place.channel_id, code=exc.code)
        _mark(bot, place, on=bool(text))


def _mark(bot: Bot, place: Place, *, on: bool) -> None:
    method = "reactions.add" if on else "reactions.remove"
    question = place.question_ts or place.thread_ts
    try:
        bot.slack.call(method, patience_s=1, channel=place.channel_id, timestamp=question, name=_MARK)
    except SlackError as exc:
        log.info("A question got no mark.", action="slack_no_mark", channel=place.channel_id, code=exc.code)


def finish_begun(bot: Bot, place: Place, ts: str, message: Message, visibility: Visibility) -> str:
    """Make *message*, the whole answer, of the message that an earlier attempt began, and return its ts.

    It is another one when somebody has deleted that message. Raises SlackError.
    """
    if visibility is Visibility.EPHEMERAL:
        return _ephemeral(bot, place, message, replace=True)
    end_stream(bot, place, ts)
    return replace_or_post(bot, place, ts, message, visibility)


def replace_or_post(bot: Bot, place: Place, ts: str, message: Message, visibility: Visibility) -> str:
    """Put *message* where the message *ts* is, or, when that can be changed no more, beside it; return its ts.

    Somebody may have deleted it, or it is of an app that was installed before this one. Raises SlackError.
    """
    try:
        replace(bot, place, ts, message, visibility)
    except SlackError as exc:
        if exc.code not in _GONE:
            raise
        return deliver(bot, place, message, visibility)
    return ts


def end_stream(bot: Bot, place: Place, ts: str) -> None:
    """End the stream of a message that will be updated; when it is none, or no longer one, that is as well.

    Raises SlackError when Slack cannot be reached, or lets nobody end it for now.
    """
    try:
        bot.slack.call("chat.stopStream", patience_s=_ANSWER_PATIENCE_S, channel=place.channel_id, ts=ts)
    except SlackError as exc:
        if exc.code in ("", "ratelimited"):
            raise


def unfinished(bot: Bot, place: Place, question_ts: str, *, owned: Collection[str] = ()) -> str | None:
    """Return the ts of the message that an attempt to answer the question has left behind, or None.

    That is one of ours after the question which says that it answers it, or which was begun and says nothing yet.
    *owned* are messages that other questions have begun. Raises SlackError.
    """
    root = place.thread_ts or question_ts
    after = {"ts": root, "oldest": question_ts, "include_all_metadata": True, "limit": 100}
    ours = [
        each
        for each in bot.slack.pages("conversations.replies", "messages", channel=place.channel_id, **after)
        if each.get("user") == bot.workspace.bot_user_id and str(each.get("ts")) > question_ts
    ]
    if (whole := marked_as(bot, ours, ANSWERED, "question", question_ts)) is not None:
        return whole
    begun = (str(each["ts"]) for each in ours if not (each.get("metadata") or {}).get("event_type"))
    return next((ts for ts in begun if ts not in owned), None)


def marked_as(bot: Bot, messages: Iterable[Mapping[str, Any]], event_type: str, name: str, value: object) -> str | None:
    """Return the ts of the first message of ours whose metadata are of this type and say *value* there, or None."""
    for each in messages:
        metadata = each.get("metadata") or {}
        said = (metadata.get("event_payload") or {}).get(name)
        ours = each.get("user") == bot.workspace.bot_user_id
        if ours and metadata.get("event_type") == event_type and said == value:
            return str(each["ts"])
    return None


def _ephemeral(bot: Bot, place: Place, message: Message, *, replace: bool) -> str:
    """Show *message* to the asker alone, and return its ts if Slack tells it."""
    if place.response_url:
        body = {
            "response_type": "ephemeral",
            "replace_original": replace,
            "text": message.text,
            "blocks": list(message.blocks),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        try:
            bot.slack.respond(place.response_url, body)
        except SlackError as exc:
            if exc.code not in ("expired_url", "not_slack"):
                raise
        else:
            return ""
    posted = bot.slack.call(
        "chat.postEphemeral",
        patience_s=_patience(message),
        channel=place.channel_id,
        user=place.user_id,
        thread_ts=place.thread_ts or None,
        text=message.text,
        blocks=list(message.blocks) or None,
        unfurl_links=False,
        unfurl_media=False,
    )
    return str(posted.get("message_ts") or "")


def begin(bot: Bot, place: Place, visibility: Visibility, *, on_begun: Callable[[str], None]) -> Stream:
    """Return the stream of an answer; Slack hears of it with the first text.

    *on_begun* gets the ts of the message as soon as there is one. What it raises ends the stream: the message is taken
    back, for then somebody else has the job. Raises SlackError: not_private.
    """
    _require_direct(place, visibility)
    return Stream(bot, place, visibility, on_begun)


class Stream:
    """An answer on its way to Slack: shown while it is made, except for an ephemeral one, which comes whole."""

    def __init__(self, bot: Bot, place: Place, visibility: Visibility, on_begun: Callable[[str], None]) -> None:
        """Use :func:`begin`."""
        self._bot, self._place, self._visibility, self._on_begun = bot, place, visibility, on_begun
        self._text = ""  # what is to stand at the end
        self._added = ""  # what was added, of which Slack has the beginning
        self._escaped = escape.Escaped()
        self._shown = ""  # of what was added, all that may be sent
        self._sent = 0  # characters of it that Slack has
        self._streams = True  # Slack's own stream; else a message that is updated
        self._whole = False  # what Slack has is not the beginning of what stands, or nobody knows what it has
        self._last = 0.0
        self.ts = ""  # "" before there is a message, and for an ephemeral one

    def add(self, text: str) -> None:
        """Take more of the answer, not escaped; "" is the moment to send what waits. The first piece goes at once.

        Raises SlackError when no message can be begun, and what ``on_begun`` raises.
        """
        self._text += text
        self._added += text
        self._shown += self._escaped.feed(text)
        waits = self._shown[self._sent :].strip()
        if self._visibility is Visibility.EPHEMERAL or self._whole or not waits:
            return
        if not self.ts:
            self._start()
        elif time.monotonic() - self._last >= (APPEND_EVERY_S if self._streams else UPDATE_EVERY_S):
            self._send(patience_s=0)

    def replace(self, text: str) -> None:
        """Let *text* stand instead of all that was added; who watches the stream sees it when it stops."""
        self._text = text
        self._whole = self._whole or text != self._added

    def stop(self, message: Message, language: str = "en") -> str:
        """End with *message* under the text, and return the ts of the whole; "" where Slack tells none.

        *message* is ``blocks.answer_end`` under a text, and the whole of an answer that has none. Raises SlackError;
        the message that was begun stays for :func:`finish_begun` then.
        """
        whole = with_text(self._text, message, language) if self._text.strip() else message
        if not self.ts:
            self.ts = deliver(self._bot, self._place, whole, self._visibility)
            if self.ts:
                self._begun()
            return self.ts
        self._shown += self._escaped.finish()
        if not (self._streams and not self._whole and self._stopped(message)):
            if self._streams:
                end_stream(self._bot, self._place, self.ts)
            replace(self._bot, self._place, self.ts, whole, self._visibility)
        return self.ts

    def _start(self) -> None:
        """Begin the message with what is there. Raises SlackError."""
        place = self._place
        piece = escape.pieces(self._shown, PIECE_CHARS)[0]
        to_all = not place.channel_id.startswith(_DIRECT)
        try:
            begun = self._bot.slack.call(
                "chat.startStream",
                patience_s=0,
                channel=place.channel_id,
                thread_ts=place.thread_ts or place.question_ts or None,
                markdown_text=piece,
                recipient_user_id=place.user_id if to_all else None,
                recipient_team_id=place.user_team_id if to_all else None,
            )
            self._sent = len(piece)
        except SlackError as exc:
            if not exc.code:
                raise
            log.info("A message is updated instead of streamed.", action="slack_no_stream", code=exc.code)
            self._streams = False
            begun = self._bot.slack.call(
                "chat.postMessage",
                channel=place.channel_id,
                thread_ts=place.thread_ts or None,
                **_so_far(self._shown),
                unfurl_links=False,
                unfurl_media=False,
            )
            self._sent = len(self._shown)
        self.ts, self._last = str(begun.get("ts") or ""), time.monotonic()
        self._begun()

    def _begun(self) -> None:
        try:
            self._on_begun(self.ts)
        except Exception:  # whatever it is: the message must not stay, and the error goes on
            if self._streams:
                end_stream(self._bot, self._place, self.ts)
            self._bot.slack.call("chat.delete", channel=self._place.channel_id, ts=self.ts)
            raise

    def _send(self, *, patience_s: float) -> None:
        """Send what waits. What Slack takes too slowly waits on; whatever else goes wrong is put right at the end."""
        self._last = time.monotonic()
        try:
            if not self._streams:
                self._update(self._shown, patience_s=patience_s)
                self._sent = len(self._shown)
                return
            for piece in escape.pieces(self._shown[self._sent :], PIECE_CHARS):
                self._append(piece, patience_s)
        except SlackError as exc:
            log.info("A piece of an answer waits.", action="slack_piece_waits", ts=self.ts, code=exc.code)
            if self._streams and exc.code != "ratelimited":
                self._whole = True

    def _append(self, piece: str, patience_s: float) -> None:
        channel = self._place.channel_id
        self._bot.slack.call(
            "chat.appendStream", patience_s=patience_s, channel=channel, ts=self.ts, markdown_text=piece
        )
        self._sent += len(piece)

    def _stopped(self, message: Message) -> bool:
        """Return whether Slack has all of the text now, and *message* under it."""
        *earlier, last = escape.pieces(self._shown[self._sent :], PIECE_CHARS) or [""]
        try:
            for piece in earlier:
                self._append(piece, _ANSWER_PATIENCE_S)
            self._bot.slack.call(
                "chat.stopStream",
                patience_s=_ANSWER_PATIENCE_S,
                channel=self._place.channel_id,
                ts=self.ts,
                markdown_text=last or None,
                blocks=list(message.blocks) or None,
                metadata=marked(message, self._place),
            )
        except SlackError as exc:
            log.info("A stream is ended by an update.", action="slack_stream_cut", ts=self.ts, code=exc.code)
            return False
        return True

    def _update(self, escaped: str, *, patience_s: float) -> None:
        channel = self._place.channel_id
        self._bot.slack.call("chat.update", patience_s=patience_s, channel=channel, ts=self.ts, **_so_far(escaped))


def _so_far(escaped: str) -> dict[str, Any]:
    """Return an answer that is not finished, as a message without metadata: so it can be told from a finished one."""
    blocks = [section(each) for each in escape.parts(escaped, SECTION_CHARS)[:ANSWER_SECTIONS]]
    return {"text": escape.cut(escaped, TEXT_CHARS), "blocks": blocks}


def _patience(message: Message) -> float:
    return _ANSWER_PATIENCE_S if (message.metadata or {}).get("event_type") == ANSWERED else _PATIENCE_S


def _require_direct(place: Place, visibility: Visibility) -> None:
    """Raise SlackError for what is meant for one person and would be posted where others are."""
    if visibility is Visibility.DIRECT and not place.channel_id.startswith(_DIRECT):
        raise SlackError(f"{place.channel_id} is no direct message.", code="not_private")


def _content(message: Message, place: Place) -> dict[str, Any]:
    return {
        "text": message.text,
        "blocks": list(message.blocks) or None,
        "metadata": marked(message, place),
    }


def marked(message: Message, place: Place) -> dict[str, Any]:
    """Return the metadata of *message*, with the question that it answers; of a notice when it has none."""
    given = message.metadata or {"event_type": NOTICE, "event_payload": {}}
    payload = {**given.get("event_payload", {})}
    if place.question_ts:
        payload["question"] = place.question_ts
    return {"event_type": given["event_type"], "event_payload": payload}
