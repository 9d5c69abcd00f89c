"""A file of Slack, fetched with the bot's token: from Slack's own machines, and never by way of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from indexing.errors import EmptyDocument, OutboundError, OutboundRefused, StorageFull
from indexing.outbound import Limits, Outbound, origin, parsed_url
from indexing.outbound_rules import parse_allowed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.slack.bot import Bot

_OK = 200
_LIMITS = Limits(seconds=120, redirects=0)
_FILES = (b"https", b"files.slack.com", None)


class Elsewhere(OutboundRefused):
    """The file is not kept by Slack."""

    default_remedy = "Send the file itself."


def fetched(bot: Bot, file: Mapping[str, Any], into: Path, most_bytes: int) -> int:
    """Write the file to *into* and return its size in bytes.

    Raises Elsewhere before anything is asked when another machine than Slack's has it, OutboundTooLong as soon as it
    is longer than *most_bytes*, whatever was said of its length, EmptyDocument when there is nothing in it,
    OutboundError when Slack does not give it out, and StorageFull.
    """
    url = address_of(file, bot.workspace.api_url)
    outbound = Outbound(parse_allowed(bot.parts.settings.outbound_allow), _LIMITS)
    token = {"Authorization": f"Bearer {bot.slack.web.token}"}
    size = 0
    with outbound.ask(url, headers=token, stays=lambda _url: False) as reply:
        if reply.status != _OK:
            raise OutboundError(f"Slack answers {reply.status} for a file.")
        if _is_page(reply.headers.get("content-type", "")) and not _is_page(str(file.get("mimetype") or "")):
            raise OutboundError("Slack sends a page instead of a file: the bot may not read files (files:read).")
        try:
            with into.open("xb") as out:
                for piece in reply.body(most_bytes):
                    size += out.write(piece)
        except OSError as exc:
            raise StorageFull(f"A file of Slack could not be written: {exc.strerror}.") from exc
    if size == 0:
        raise EmptyDocument
    return size


def address_of(file: Mapping[str, Any], api_url: str) -> str:
    """Return where Slack keeps the file. Raises Elsewhere for any other place, and OutboundRefused for no address."""
    given = str(file.get("url_private_download") or file.get("url_private") or "")
    if file.get("is_external") or file.get("mode") == "external" or not given:
        raise Elsewhere
    url = parsed_url(given)
    api = origin(parsed_url(api_url))
    if origin(url) not in {api, _FILES, (b"https", b"files." + api[1], None)}:
        raise Elsewhere
    return str(url)


def size_of(file: Mapping[str, Any]) -> int:
    """Return the size that Slack says; 0 when it says none that makes sense."""
    said = file.get("size")
    return said if isinstance(said, int) and said > 0 else 0


def _is_page(media_type: str) -> bool:
    return media_type.partition(";")[0].strip().lower() == "text/html"
