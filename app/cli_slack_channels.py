"""``metier slack channel``: how the Slack bot behaves in each channel."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_open import local_operator, open_catalog_only

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.slack.records import Policy
    from app.specialists import Asker

channel = typer.Typer(help="How the Slack bot behaves in each channel.", no_args_is_help=True, rich_markup_mode=None)

Team = Annotated[str | None, typer.Option(help="The workspace's id, where several are connected.")]
ChannelId = Annotated[str, typer.Argument(help="The channel's id: in Slack, at the end of its details.")]


@channel.command("list")
def list_channels(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False, team: Team = None
) -> None:
    """List the channels that have a policy; in all others the bot answers when it is mentioned."""
    from app.cli_show import print_json, table
    from app.slack import store_channels
    from app.slack.linking import only_team

    with open_catalog_only() as catalog, catalog.reading() as session:
        team_id = only_team(session, team)
        found = store_channels.policies(session, team_id)
    if as_json:
        print_json([{"team": team_id, "channel": channel_id} | asdict(each) for channel_id, each in found.items()])
        return
    rows = [
        (
            channel_id,
            each.answers,
            each.unknown,
            each.specialist or "the general one",
            ", ".join(each.sources) or "all",
            "on" if each.recall else "off",
            each.editors,
        )
        for channel_id, each in found.items()
    ]
    columns = ("channel", "answers", "unknown", "specialist", "sources", "recall", "editors")
    table(columns, rows, empty="No channel has a policy: the bot answers where it is mentioned.")


@channel.command("set")
def set_channel(  # noqa: PLR0913, PLR0917 -- a command's options are its parameters
    channel_id: ChannelId,
    answers: Annotated[str | None, typer.Option(help="off, mention, questions or all.")] = None,
    unknown: Annotated[str | None, typer.Option(help="When it does not know: say or silent.")] = None,
    specialist: Annotated[str | None, typer.Option(help="Who answers; metier for the general one.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Search this one only; may be repeated.")] = None,
    all_sources: Annotated[bool, typer.Option("--all-sources", help="Search all sources again.")] = False,
    recall: Annotated[bool | None, typer.Option(help="Correct answers when their documents change.")] = None,
    editors: Annotated[str | None, typer.Option(help="Who may change this in Slack: admins or members.")] = None,
    team: Team = None,
) -> None:
    """Say how the bot behaves in a channel; what is not given stays as it is."""
    from app import audit
    from app.cli_show import remark
    from app.errors import BadRequest
    from app.slack import store_channels
    from app.slack.linking import only_team
    from app.specialists import DEFAULT_NAME
    from indexing.tables import LOCAL_PRINCIPAL_ID

    if source and all_sources:
        raise BadRequest("--source and --all-sources contradict each other.", remedy="Leave out one of them.")
    given = {"answers": answers, "unknown": unknown, "specialist": specialist, "recall": recall, "editors": editors}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if changes.get("specialist") == DEFAULT_NAME:
        changes["specialist"] = None
    if source or all_sources:
        changes["sources"] = tuple(dict.fromkeys(source or ()))
    with open_catalog_only() as catalog:
        asker = local_operator(catalog)
        with catalog.transaction() as session:
            team_id = only_team(session, team)
            wanted = replace(store_channels.policy(session, team_id, channel_id), **changes)
            _require_known(session, asker, wanted)
            store_channels.set_policy(session, team_id, checked_id(channel_id), wanted, None)
            audit.record(session, LOCAL_PRINCIPAL_ID, "slack_channel.change", channel_id)
    remark(f"In {channel_id} the bot answers by this policy from the next message on.")


@channel.command("reset")
def reset(channel_id: ChannelId, team: Team = None) -> None:
    """Let the bot behave in a channel as where nobody said anything."""
    from app import audit
    from app.cli_show import remark
    from app.errors import NotFound
    from app.slack import store_channels
    from app.slack.linking import only_team
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        if not store_channels.remove_policy(session, only_team(session, team), channel_id):
            raise NotFound(f"The channel {channel_id} has no policy.", remedy="`metier slack channel list` lists them.")
        audit.record(session, LOCAL_PRINCIPAL_ID, "slack_channel.change", channel_id)
    remark(f"In {channel_id} the bot answers when it is mentioned.")


def checked_id(channel_id: str) -> str:
    """Return the id. Raises BadRequest for what cannot be one: a name, above all."""
    from app.errors import BadRequest

    if not (8 < len(channel_id) <= 32 and channel_id.isalnum() and channel_id.isascii() and channel_id[0] in "CG"):
        remedy = "Use the id, such as C0123456789: a channel's details in Slack end with it. Names change."
        raise BadRequest(f"{channel_id!r} is no channel's id.", remedy=remedy)
    return channel_id


def _require_known(session: Session, asker: Asker, wanted: Policy) -> None:
    """Raise NotFound for a specialist or a source that there is not."""
    from app import specialists
    from app.errors import NotFound
    from indexing import store

    if wanted.specialist is not None:
        specialists.specialist(session, asker, wanted.specialist)
    for name in wanted.sources:
        if store.source_named(session, name) is None:
            raise NotFound(f"There is no source called {name}.", remedy="`metier sources list` lists them.")
