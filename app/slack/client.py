"""Calls to Slack's Web API: with patience where Slack asks for it, and our error where it refuses."""

from __future__ import annotations

import logging
from dataclasses import dataclass
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
    from collections.abc import Callable, Iterator, Mapping

    from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryState
    from slack_sdk.web import SlackResponse

TIMEOUT_S = 20
RATE_LIMIT_RETRIES = 5
#: Pages of a list that are read; a channel with more members counts as one that nobody can oversee.
MOST_PAGES = 50
#: The SDK logs bodies, which hold what people wrote: only what is wrong, and nothing below.
_LOG = logging.getLogger("app.slack.sdk")
_LOG.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose token it is, as Slack says."""

    team_id: str
    team: str
    user_id: str
    app_id: str  # "" where Slack does not say
    scopes: frozenset[str] | None  # None where Slack does not say


class _Patience(RateLimitErrorRetryHandler):
    """Waits as long as Slack asks for, and has that counted."""

    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__(max_retry_count=RATE_LIMIT_RETRIES)
        self._count = count

    def prepare_for_next_attempt(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> None:
        """Wait."""
        self._count("rate_limited")
        super().prepare_for_next_attempt(state=state, request=request, response=response, error=error)


class Slack:
    """The Web API of one workspace, as the bot."""

    def __init__(self, token: str, api_url: str, count: Callable[[str], None] = lambda _: None) -> None:
        """Keep the token; nothing is asked yet. *api_url* ends in a slash. *count* is told how each call ends."""
        retries = [
            ConnectionErrorRetryHandler(max_retry_count=2),
            ServerErrorRetryHandler(max_retry_count=2),
            _Patience(count),
        ]
        self.web = WebClient(token, base_url=api_url, timeout=TIMEOUT_S, retry_handlers=retries, logger=_LOG)
        self._count = count

    def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return what Slack answers to *method* ("chat.postMessage"); arguments that are None are left out.

        After 429 it waits as long as Retry-After says and asks again. Raises SlackError with Slack's code.
        """
        answer = self._ask(method, arguments)
        return answer.data if isinstance(answer.data, dict) else {}

    def identity(self) -> Identity:
        """Return whose token it is. Raises SlackError, with the code invalid_auth for one that is not good."""
        answer = self._ask("auth.test", {})
        told = {name.lower(): value for name, value in answer.headers.items()}.get("x-oauth-scopes")
        scopes = None if told is None else frozenset(scope.strip() for scope in told.split(",") if scope.strip())
        found = {name: str(answer.get(name) or "") for name in ("team_id", "team", "user_id", "app_id")}
        return Identity(**found, scopes=scopes)

    def _ask(self, method: str, arguments: Mapping[str, Any]) -> SlackResponse:
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = self.web.api_call(method, json=given)
        except SlackApiError as exc:
            self._count("refused")
            code = str(exc.response.get("error") or "")
            raise SlackError(f"Slack refuses {method}: {code or exc.response.status_code}.", code=code) from exc
        except (SlackClientError, URLError, OSError) as exc:
            self._count("unreachable")
            raise SlackError(f"Slack cannot be reached for {method}: {type(exc).__name__}.") from exc
        self._count("ok")
        return answer

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
