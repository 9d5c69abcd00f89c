"""Calls to Slack's Web API: paced, patient where Slack asks for it, and with our error where it refuses."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, ServerErrorRetryHandler
from slack_sdk.webhook import WebhookClient

from app.errors import SlackError
from app.slack.pacing import Pace
from indexing.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from slack_sdk.web import SlackResponse

    from app.settings import AppSettings
    from app.slack.records import Workspace

TIMEOUT_S = 20
#: How long a call may wait for its turn, Retry-After included; then it fails, and its job is done again later.
PATIENCE_S = 10.0
#: Pages of a list that are read; a channel with more members counts as one that nobody can oversee.
MOST_PAGES = 50
#: Methods that put something into a conversation. After an answer that never came nobody knows whether it is there, so
#: they are not sent twice: whoever does the job again looks first (``app.slack.deliver.unfinished``).
_ONCE = {"chat.postMessage", "chat.postEphemeral", "chat.startStream", "chat.appendStream"}
#: Where the addresses lead that Slack gives for answering a command or an action.
_RESPONSE_HOSTS = {"hooks.slack.com", "hooks.slack-gov.com"}
#: Slack's words for "something went wrong here": it may have been done nevertheless.
_UNSURE = {"fatal_error", "internal_error", "request_timeout", "service_unavailable"}
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500
#: What the SDK lets through when no usable answer came.
_NO_ANSWER = (SlackClientError, URLError, OSError, HTTPException, ValueError)
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


class Slack:
    """The Web API of one workspace, as the bot."""

    def __init__(self, token: str, api_url: str, count: Callable[[str], None] = lambda _: None) -> None:
        """Keep the token; nothing is asked yet. *api_url* ends in a slash. *count* is told how each call ends."""
        retries = [ConnectionErrorRetryHandler(max_retry_count=2), ServerErrorRetryHandler(max_retry_count=2)]
        self.web = WebClient(token, base_url=api_url, timeout=TIMEOUT_S, retry_handlers=retries, logger=_LOG)
        self._once = WebClient(token, base_url=api_url, timeout=TIMEOUT_S, retry_handlers=[], logger=_LOG)
        self._count = count
        self._pace = Pace()
        self._response_hosts = _RESPONSE_HOSTS | {urlsplit(api_url).hostname or ""}

    def call(self, method: str, *, patience_s: float = PATIENCE_S, **arguments: Any) -> Mapping[str, Any]:
        """Return what Slack answers to *method* ("chat.postMessage"); arguments that are None are left out.

        It waits for its turn, and after 429 as long as Retry-After says, as long as all that fits into *patience_s*.
        Raises SlackError with Slack's code: ratelimited at once when the wait would be longer, and "" when no answer
        came; what is posted then may be there or not.
        """
        answer = self._ask(method, arguments, patience_s)
        return answer.data if isinstance(answer.data, dict) else {}

    def identity(self) -> Identity:
        """Return whose token it is. Raises SlackError, with the code invalid_auth for one that is not good."""
        answer = self._ask("auth.test", {}, PATIENCE_S)
        told = {name.lower(): value for name, value in answer.headers.items()}.get("x-oauth-scopes")
        scopes = None if told is None else frozenset(scope.strip() for scope in told.split(",") if scope.strip())
        found = {name: str(answer.get(name) or "") for name in ("team_id", "team", "user_id", "app_id")}
        return Identity(**found, scopes=scopes)

    def _ask(self, method: str, arguments: Mapping[str, Any], patience_s: float) -> SlackResponse:
        given = {name: value for name, value in arguments.items() if value is not None}
        channel = str(given.get("channel") or "")
        web = self._once if method in _ONCE else self.web
        until = time.monotonic() + patience_s
        while True:
            self._pace.wait(method, channel, until)
            try:
                answer = web.api_call(method, json=given)
            except SlackApiError as exc:
                if exc.response.status_code == _TOO_MANY:
                    self._count("rate_limited")
                    self._pace.closed(method, channel, _retry_after(exc.response.headers))
                    continue
                self._count("refused")
                raise _refused(method, exc) from exc
            except _NO_ANSWER as exc:
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

    def respond(self, response_url: str, body: Mapping[str, Any]) -> None:
        """Post *body* to the address that came with a command or an action.

        Raises SlackError: not_slack for an address that is none of Slack's, expired_url when Slack no longer takes it
        (after half an hour, or five times), "" when no answer came.
        """
        if urlsplit(response_url).hostname not in self._response_hosts:
            raise SlackError("The address to answer to is not Slack's.", code="not_slack")
        client = WebhookClient(response_url, timeout=TIMEOUT_S, retry_handlers=[], logger=_LOG)
        try:
            answer = client.send_dict(dict(body))
        except _NO_ANSWER as exc:
            raise SlackError(f"Slack cannot be reached for an answer: {type(exc).__name__}.") from exc
        if answer.status_code == _TOO_MANY:
            raise SlackError("Slack takes no more answers for a while.", code="ratelimited", retry_after_s=1)
        if answer.status_code >= _SERVER_ERROR:
            raise SlackError(f"Slack failed to take an answer: {answer.status_code}.")
        if answer.status_code != _OK:
            raise SlackError(f"Slack no longer takes an answer here: {answer.status_code}.", code="expired_url")


def client_of(settings: AppSettings, workspace: Workspace) -> Slack:
    """Return the Web API of a workspace outside of its running bot. Raises SourceError when its token is not there."""
    return Slack(read_secret(settings.secret_folders, workspace.bot_secret), workspace.api_url)


def _refused(method: str, exc: SlackApiError) -> SlackError:
    status = exc.response.status_code
    code = "" if status >= _SERVER_ERROR else str(exc.response.get("error") or status)
    if not code or code in _UNSURE:
        return SlackError(f"Slack failed at {method}: {code or status}.")
    return SlackError(f"Slack refuses {method}: {code}.", code=code)


def _retry_after(headers: Mapping[str, str]) -> float:
    told = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(told) if told.isdigit() else 1.0
