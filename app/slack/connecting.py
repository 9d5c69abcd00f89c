"""Connecting a workspace: its manifest, what has to be right before it is connected, and how it is now."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.errors import BadRequest, SlackError
from app.settings import LOOPBACK
from app.slack import store_inbox, store_workspaces
from app.slack.client import Slack
from app.slack.records import Workspace
from app.slack.running import tokens_of
from indexing.errors import SourceError
from indexing.secrets import check_secret_name

if TYPE_CHECKING:
    from app.settings import AppSettings
    from app.slack.running import Tokens
    from indexing.db import Catalog

API_URL = "https://slack.com/api/"
EVENTS_PATH = "/slack/events"
TRANSPORTS = ("socket", "http")
OUTSIDERS = ("nothing", "public")
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9-]+(\.[a-z0-9-]+)+")
#: Domains of which anybody can have an address: they prove nothing.
_EVERYBODYS = frozenset(
    {"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "proton.me"}
)
#: What the manifest asks for; without one of them something does not work.
SCOPES = frozenset(
    {
        "app_mentions:read",
        "assistant:write",
        "channels:history",
        "channels:read",
        "chat:write",
        "commands",
        "files:read",
        "groups:history",
        "groups:read",
        "im:history",
        "im:read",
        "im:write",
        "mpim:history",
        "mpim:read",
        "reactions:write",
        "users:read",
        "users:read.email",
    }
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a workspace is to be connected. Secrets are told by name."""

    transport: str
    bot_secret: str
    app_secret: str
    signing_secret: str
    domains: tuple[str, ...] = ()
    outsiders: str = "nothing"
    api_url: str = API_URL


def manifest(transport: str = "socket", url: str | None = None) -> str:
    """Return the manifest of the Slack app, as YAML. Raises BadRequest for HTTP without the server's https address."""
    text = _manifest_file().read_text(encoding="utf-8")
    if transport not in TRANSPORTS:
        raise BadRequest(f"There is no transport {transport!r}.", remedy=f"Use {' or '.join(TRANSPORTS)}.")
    if transport == "socket":
        return re.sub(r"^ *#http#.*\n", "", text, flags=re.MULTILINE)
    parts = urlsplit(url or "")
    if parts.scheme != "https" or not parts.netloc or not re.fullmatch(r"[\x21-\x7e]+", url or ""):
        raise BadRequest("Slack sends to an https address.", remedy="Give it with --url https://metier.corp.com.")
    address = f"https://{parts.netloc}{parts.path.rstrip('/')}{EVENTS_PATH}"
    text = text.replace("#http# ", "").replace("{url}", address)
    return text.replace("socket_mode_enabled: true", "socket_mode_enabled: false")


def _manifest_file() -> Path:
    """Return the file: in a checkout, else where a wheel puts it."""
    beside = Path(__file__).parent.parent.parent / "deploy" / "slack" / "manifest.yaml"
    return beside if beside.is_file() else Path(sys.prefix) / "share" / "metier" / "slack" / "manifest.yaml"


def checked(settings: AppSettings, wanted: Wanted) -> Workspace:
    """Return the workspace that the bot's token opens, once everything is there that its transport needs.

    Raises SourceError for a secret that is not there, SlackError for a token that Slack refuses or whose scopes do
    not suffice, and BadRequest for a value that cannot be used.
    """
    _check_values(wanted)
    http = wanted.transport == "http"
    draft = Workspace(
        "", "", "", "", wanted.api_url, wanted.transport, wanted.bot_secret,
        None if http else wanted.app_secret, wanted.signing_secret if http else None, wanted.domains, wanted.outsiders,
    )  # fmt: skip
    tokens = tokens_of(settings, draft)
    _check_kinds(wanted, tokens)
    slack = Slack(tokens.bot, wanted.api_url)
    who = slack.identity()
    if who.scopes is not None and (missing := sorted(SCOPES - who.scopes)):
        raise SlackError(
            f"The app lacks the scopes {', '.join(missing)}.",
            remedy="Update it with `metier slack manifest`, and install it to the workspace again.",
            code="missing_scope",
        )
    if tokens.app is not None:
        Slack(tokens.app, wanted.api_url).call("apps.connections.open")
    app_id = who.app_id or (tokens.app or "").partition("xapp-1-")[2].partition("-")[0]
    return Workspace(
        who.team_id, who.team[:255], app_id[:32], who.user_id, wanted.api_url, wanted.transport, wanted.bot_secret,
        draft.app_secret, draft.signing_secret, wanted.domains, wanted.outsiders,
    )  # fmt: skip


def _check_values(wanted: Wanted) -> None:
    for name, value, known in (("transport", wanted.transport, TRANSPORTS), ("outsiders", wanted.outsiders, OUTSIDERS)):
        if value not in known:
            raise BadRequest(f"--{name} cannot be {value!r}.", remedy=f"Use {' or '.join(known)}.")
    for secret in (wanted.bot_secret, wanted.app_secret, wanted.signing_secret):
        check_secret_name(secret)
    for domain in wanted.domains:
        if not _DOMAIN.fullmatch(domain):
            raise BadRequest(f"{domain!r} is no domain.", remedy="Write it as corp.com.")
        if domain in _EVERYBODYS:
            raise BadRequest(f"Anybody can have an address of {domain}.", remedy="Name a domain that is yours alone.")
    parts = urlsplit(wanted.api_url)
    local = parts.scheme == "http" and (parts.hostname or "") in LOOPBACK
    if not (parts.scheme == "https" or local) or not wanted.api_url.endswith("/"):
        raise BadRequest("--api-url is no https address that ends in a slash.", remedy=f"Slack's is {API_URL}.")


def _check_kinds(wanted: Wanted, tokens: Tokens) -> None:
    """Raise BadRequest when a secret holds another kind of token than its name says: they are easily mixed up."""
    given = (
        (wanted.bot_secret, tokens.bot, "xoxb-", "Bot User OAuth Token"),
        (wanted.app_secret, tokens.app or "xapp-", "xapp-", "App-Level Token"),
    )
    for secret, token, prefix, name in given:
        if not token.startswith(prefix):
            raise BadRequest(
                f"The secret {secret} does not hold the {name}: that begins with {prefix}.",
                remedy=f"Run `metier sources secret {secret}` with the one that Slack shows.",
            )


@dataclass(frozen=True, slots=True)
class Condition:
    """How a connected workspace is."""

    team_id: str
    name: str
    transport: str
    outsiders: str
    domains: tuple[str, ...]
    heard_at: Any  # datetime | None
    waiting: int
    working: int
    failed: int
    trouble: str | None  # why it is not served; None when all is well


def conditions(catalog: Catalog, settings: AppSettings) -> list[Condition]:
    """Return how each connected workspace is; Slack is asked whether the tokens are still good."""
    with catalog.reading() as session:
        found = store_workspaces.workspaces(session)
        jobs = store_inbox.unfinished(session)
    return [
        Condition(
            each.team_id,
            each.name,
            each.transport,
            each.outsiders,
            each.domains,
            each.heard_at,
            jobs.get((each.team_id, "waiting"), 0),
            jobs.get((each.team_id, "working"), 0),
            jobs.get((each.team_id, "failed"), 0),
            _trouble(settings, each),
        )
        for each in found
    ]


def _trouble(settings: AppSettings, workspace: Workspace) -> str | None:
    try:
        tokens = tokens_of(settings, workspace)
        Slack(tokens.bot, workspace.api_url).identity()
        if tokens.app is not None:
            Slack(tokens.app, workspace.api_url).call("apps.connections.open")
    except (SourceError, SlackError) as exc:
        return exc.message
    return None
