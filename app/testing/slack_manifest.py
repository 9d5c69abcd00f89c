"""What an app may do in the workspace, by its manifest: https://docs.slack.dev/reference/app-manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The scope that the events and methods about a conversation need, by its kind.
OF_KIND = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}
#: What messages are called among the ``bot_events``.
_MESSAGE_EVENTS = {kind: f"message.{name}" for kind, name in OF_KIND.items()}


@dataclass(frozen=True)
class Manifest:
    """What the manifest says. Without one (None) everything is allowed, and every event is sent."""

    given: Mapping[str, Any] | None = None

    def _part(self, *names: str) -> Any:
        part: Any = self.given or {}
        for name in names:
            part = part.get(name) if isinstance(part, dict) else None
        return part

    @property
    def scopes(self) -> list[str] | None:
        """The bot's scopes, None for all."""
        return None if self.given is None else list(self._part("oauth_config", "scopes", "bot") or ())

    @property
    def socket_mode(self) -> bool:
        """Whether connections may be opened."""
        return self.given is None or bool(self._part("settings", "socket_mode_enabled"))

    def sends(self, event: Mapping[str, Any], kind: str) -> bool:
        """Return whether the app has asked for *event*, which is about a conversation of this *kind* ("" for none)."""
        if self.given is None:
            return True
        name = _MESSAGE_EVENTS.get(kind, "message") if event["type"] == "message" else event["type"]
        return name in (self._part("settings", "event_subscriptions", "bot_events") or ())

    def has_command(self, command: str) -> bool:
        """Return whether the app has this slash command."""
        return self.given is None or self._names("slash_commands", "command", command)

    def has_shortcut(self, callback_id: str) -> bool:
        """Return whether the app has a shortcut of messages with this callback id."""
        return self.given is None or any(
            each.get("callback_id") == callback_id and each.get("type") == "message"
            for each in self._part("features", "shortcuts") or ()
        )

    def _names(self, feature: str, key: str, name: str) -> bool:
        return any(each.get(key) == name for each in self._part("features", feature) or ())

    @property
    def takes_direct_messages(self) -> bool:
        """Whether people can write to the app: its messages tab is on and not read-only."""
        if self.given is None or self.agent or self.assistant:
            return True
        home = self._part("features", "app_home") or {}
        return bool(home.get("messages_tab_enabled")) and not home.get("messages_tab_read_only_enabled")

    @property
    def has_home(self) -> bool:
        """Whether the app has a home tab."""
        return self.given is None or bool(self._part("features", "app_home", "home_tab_enabled"))

    @property
    def agent(self) -> bool:
        """Whether the app is an agent: https://docs.slack.dev/ai."""
        return self.given is None or self._part("features", "agent_view") is not None

    @property
    def assistant(self) -> bool:
        """Whether the app has the older assistant container, in which each chat is a thread."""
        return self.given is not None and self._part("features", "assistant_view") is not None
