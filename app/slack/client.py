"""Calls to Slack's Web API: with patience where Slack asks for it, and our error where it refuses."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)

from app.errors import SlackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_S = 20
RATE_LIMIT_RETRIES = 5
#: Pages of a list that are read; a channel with more members counts as one that nobody can oversee.
MOST_PAGES = 50
#: The SDK logs bodies, which hold what people wrote: only what is wrong, and nothing below.
_LOG = logging.getLogger("app.slack.sdk")
_LOG.setLevel(logging.CRITICAL)


class Slack:
    """The Web API of one workspace, as the bot."""

    def __init__(self, token: str, api_url: str) -> None:
        """Keep the token; nothing is asked yet. *api_url* ends in a slash."""
        retries = [
            ConnectionErrorRetryHandler(max_retry_count=2),
            ServerErrorRetryHandler(max_retry_count=2),
            RateLimitErrorRetryHandler(max_retry_count=RATE_LIMIT_RETRIES),
        ]
        self.web = WebClient(token, base_url=api_url, timeout=TIMEOUT_S, retry_handlers=retries, logger=_LOG)

    def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return what Slack answers to *method* ("chat.postMessage"); arguments that are None are left out.

        After 429 it waits as long as Retry-After says and asks again. Raises SlackError with Slack's code.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = self.web.api_call(method, json=given)
        except SlackApiError as exc:
            code = str(exc.response.get("error") or "")
            raise SlackError(f"Slack refuses {method}: {code or exc.response.status_code}.", code=code) from exc
        except (SlackClientError, URLError, OSError) as exc:
            raise SlackError(f"Slack cannot be reached for {method}: {type(exc).__name__}.") from exc
        return answer.data if isinstance(answer.data, dict) else {}

    def pages(self, method: str, key: str, **arguments: Any) -> Iterator[Any]:
        """Yield what *method* lists under *key*, page by page. Raises SlackError, also for more than MOST_PAGES."""
        cursor = None
        for _ in range(MOST_PAGES):
            page = self.call(method, cursor=cursor, **arguments)
            yield from page.get(key) or ()
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return
        raise SlackError(f"Slack lists more than {MOST_PAGES} pages for {method}.", code="too_long")
