"""``metier slack link``, ``unlink`` and ``people``: which principals the users of Slack are."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli_open import open_catalog_only

User = Annotated[str, typer.Argument(help="Member ID of the Slack user, U….")]
Team = Annotated[str | None, typer.Option(help="Id of the workspace, T…, if several are connected.")]


def link(
    user: User,
    principal: Annotated[str, typer.Argument(help="Who: a name; issuer|name for one of an identity provider.")],
    team: Team = None,
) -> None:
    """Say which principal a Slack user is. It counts while Slack says that they are a full member of the workspace."""
    from app.cli_show import remark
    from app.slack.linking import link_by_admin

    with open_catalog_only() as catalog, catalog.transaction() as session:
        found = link_by_admin(session, user, principal, team)
    remark(f"{user} is {found.name}.")


def unlink(user: User, team: Team = None) -> None:
    """End the link of a Slack user. One by an owned e-mail domain comes again: suspend the principal instead."""
    from app.cli_show import remark
    from app.slack.linking import unlink_by_admin

    with open_catalog_only() as catalog, catalog.transaction() as session:
        unlink_by_admin(session, user, team)
    remark(f"{user} is nobody.")


def list_people(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False) -> None:
    """List the Slack users that were seen, and which principals they are."""
    from app.cli_show import print_json, table
    from app.people import full_name
    from app.slack import store_people
    from indexing.principals import principals_with_ids

    with open_catalog_only() as catalog, catalog.reading() as session:
        users = store_people.people(session)
        linked_to = principals_with_ids(session, {each.principal_id for each in users if each.principal_id is not None})
    found = [(each, linked_to.get(each.principal_id or 0)) for each in users]
    if as_json:
        print_json([{"user": each, "principal": linked} for each, linked in found])
        return
    rows = [
        (e.team_id, e.user_id, full_name(linked) if linked else "", e.how or "", _standing(e), e.checked_at)
        for e, linked in found
    ]
    table(("team", "user", "principal", "by", "in Slack", "as of"), rows, empty="Nobody.")


def _standing(each: object) -> str:
    if getattr(each, "deleted", False):
        return "deleted"
    return "member" if getattr(each, "member", False) else "outsider"
