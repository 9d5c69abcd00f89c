"""``metier people``, ``metier access``, ``metier key``: who is known, what they may read, and with which key."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path  # noqa: TC003 -- Typer resolves annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import open_catalog_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from indexing.documents import SourceRecord

people = typer.Typer(help="Users, services and groups.", no_args_is_help=True, rich_markup_mode=None)
access = typer.Typer(help="Who may read which source, and why.", no_args_is_help=True, rich_markup_mode=None)
key = typer.Typer(help="API keys of users and services.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Name = Annotated[str, typer.Argument(help="Who: a name; issuer|name for one of an identity provider.")]
Names = Annotated[list[str], typer.Argument(help="Who: names of users, services, groups, or everyone.")]
SourceName = Annotated[str, typer.Argument(help="Name of the source.")]


@people.command("add")
def add(
    name: Name,
    kind: Annotated[str, typer.Option(help="user, service (a program) or group.")] = "user",
    role: Annotated[str, typer.Option(help="reader, operator or admin.")] = "reader",
    display: Annotated[str, typer.Option(help="Name to show.")] = "",
) -> None:
    """Add a user, a service or a group. It may read nothing before `metier access grant`."""
    from app import audit
    from app.cli_show import remark
    from app.people import checked_role
    from indexing.principals import add_principal
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        made = add_principal(session, kind, name, display=display, role=checked_role(role))
        audit.record(session, LOCAL_PRINCIPAL_ID, "principal.add", made.role, about=made.id)
    remark(f"Added the {made.kind} {made.name}, {made.role}.")


@people.command("list")
def list_people(as_json: Json = False) -> None:
    """List who is known, with the groups that count for each."""
    from app.cli_show import print_json, table
    from indexing.principals import groups_of, principals

    with open_catalog_only() as catalog, catalog.reading() as session:
        found = [(each, [g.name for g in groups_of(session, each.id)]) for each in principals(session)]
    if as_json:
        print_json([{"principal": each, "groups": groups} for each, groups in found])
        return
    rows = [(e.kind, e.name, e.issuer, e.role, e.state, ", ".join(groups)) for e, groups in found]
    table(("kind", "name", "issuer", "role", "state", "groups"), rows, empty="Nobody.")


@people.command("suspend")
def suspend(name: Name) -> None:
    """Suspend: from the next request on this user, service or group opens nothing, with whatever key."""
    _set_state(name, "suspended")


@people.command("activate")
def activate(name: Name) -> None:
    """End a suspension."""
    _set_state(name, "active")


def _set_state(name: str, state: str) -> None:
    from app import audit
    from app.cli_show import remark
    from app.people import principal
    from indexing.principals import set_state
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        who = principal(session, name).id
        set_state(session, who, state)
        audit.record(session, LOCAL_PRINCIPAL_ID, "principal.state", state, about=who)
    remark(f"{name} is {state}.")


@people.command("role")
def role(name: Name, role: Annotated[str, typer.Argument(help="reader, operator or admin.")]) -> None:
    """Give another role: what one may do. What one may read is a matter of `metier access`."""
    from app import audit
    from app.cli_show import remark
    from app.people import checked_role, principal
    from indexing.principals import set_role
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        who = principal(session, name).id
        set_role(session, who, checked_role(role))
        audit.record(session, LOCAL_PRINCIPAL_ID, "principal.role", role, about=who)
    remark(f"{name} is {role}.")


@people.command("join")
def join(group: Annotated[str, typer.Argument(help="Name of the group.")], members: Names) -> None:
    """Put users, services or other groups into a group."""
    from app import audit
    from app.cli_show import remark
    from app.people import principal
    from indexing.principals import join_group
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        around = principal(session, group)
        for member in members:
            new = principal(session, member)
            join_group(session, around, new)
            audit.record(session, LOCAL_PRINCIPAL_ID, "group.join", around.id, about=new.id)
    remark(f"In {group}: {', '.join(members)}.")


@people.command("leave")
def leave(group: Annotated[str, typer.Argument(help="Name of the group.")], members: Names) -> None:
    """Take members out of a group."""
    from app import audit
    from app.cli_show import remark
    from app.people import principal
    from indexing.principals import leave_group
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        around = principal(session, group).id
        for member in members:
            gone = principal(session, member).id
            leave_group(session, around, gone)
            audit.record(session, LOCAL_PRINCIPAL_ID, "group.leave", around, about=gone)
    remark(f"No longer in {group}: {', '.join(members)}.")


@people.command("import")
def import_csv(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with the columns group and member.", dir_okay=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Also when many memberships would go.")] = False,
) -> None:
    """Give the groups of a file exactly its members, all or nothing; unknown users and groups are added."""
    from app.cli_show import remark
    from app.people import import_groups, read_groups

    wanted = read_groups(file)
    with open_catalog_only() as catalog, catalog.transaction() as session:
        done = import_groups(session, wanted, confirmed=yes)
    remark(f"{done.joined} joined, {done.left} left; new: {done.users} users, {done.groups} groups.")


# --- access ---------------------------------------------------------------------------------------------------


@access.command("show")
def show(source: SourceName, as_json: Json = False) -> None:
    """Show who may read a source."""
    from app.cli_show import print_json, table
    from app.places import source_named
    from indexing.grants import readers
    from indexing.principals import principals_with_ids

    with open_catalog_only() as catalog:
        record = source_named(catalog, source)
        with catalog.reading() as session:
            listed = list(principals_with_ids(session, readers(session, record.id)).values())
    if as_json:
        print_json(listed)
        return
    rows = [(e.kind, e.name, e.issuer, e.state) for e in listed]
    table(("kind", "name", "issuer", "state"), rows, empty="Nobody may read it.")


@access.command("grant")
def grant(source: SourceName, names: Names) -> None:
    """Let users, services, groups or everyone read a source, from the next question on."""
    from app import people as who

    _change(source, names, who.grant)


@access.command("revoke")
def revoke(source: SourceName, names: Names) -> None:
    """Let them read it no more, from the next question on."""
    from app import people as who

    _change(source, names, who.revoke)


def _change(source: str, names: list[str], change: Callable[[Session, SourceRecord, list[str]], int]) -> None:
    from app.cli_show import remark
    from app.places import source_named

    with open_catalog_only() as catalog:
        record = source_named(catalog, source)
        with catalog.transaction() as session:
            concerned = change(session, record, names)
    remark(f"The list of {source} has changed; it holds for its {concerned} documents from the next question on.")


@access.command("explain")
def explain(
    name: Name, document: Annotated[int, typer.Argument(help="Id of the document.")], as_json: Json = False
) -> None:
    """Say whether somebody may read a document, and why."""
    from app import people as who
    from app.cli_show import print_json, say

    with open_catalog_only() as catalog, catalog.reading() as session:
        found = who.explain(session, who.principal(session, name), document)
    if as_json:
        print_json(found)
        return
    what = f"{found.document} ({found.source})"
    if found.suspended:
        say(f"{name} may not read {what}: {name} is suspended.")
    elif found.hidden:
        say(f"{name} may not read {what}: the permissions of {found.source} are too old. Run `metier sync`.")
    elif found.allowed:
        own = "" if found.own_list is None else f"; and through its own list: {', '.join(found.through_own)}"
        say(f"{name} may read {what}, through: {', '.join(found.through)}{own}.")
    elif found.own_list is None:
        say(f"{name} may not read {what}. On its list: {', '.join(found.on_list) or 'nobody'}.")
    else:
        lists = (found.own_list, found.through_own, "its own list"), (found.on_list, found.through, "the source's list")
        missing = [f"On {what}: {', '.join(names) or 'nobody'}." for names, through, what in lists if not through]
        say(f"{name} may not read {what}: one must be on both lists. {' '.join(missing)}")


# --- keys -----------------------------------------------------------------------------------------------------


@key.command("create")
def create_key(
    name: Name,
    permission: Annotated[list[str] | None, typer.Option(help="Of ask, read, write, operate, observe, admin.")] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_days: Annotated[int, typer.Option(min=1, max=3650, help="Days until it expires.")] = 90,
) -> None:
    """Make a key and print it once; it is kept as a hash only. Without --permission it may ask and read."""
    from app import audit, keys
    from app.auth import checked_permissions
    from app.cli_show import remark, say
    from app.people import principal
    from indexing.tables import LOCAL_PRINCIPAL_ID, utc_now

    wanted = checked_permissions(permission or ["ask", "read"])
    with open_catalog_only() as catalog, catalog.transaction() as session:
        end = utc_now() + timedelta(days=expires_days)
        owner = principal(session, name)
        record, text = keys.create_key(session, owner, wanted, label=label, expires_at=end)
        audit.record(session, LOCAL_PRINCIPAL_ID, "key.create", record.public_id, about=owner.id)
    say(text)
    remark(f"This is the only time that key {record.public_id} is shown. It expires on {end:%Y-%m-%d}.")


@key.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys; their secrets are not kept."""
    from app import keys
    from app.cli_show import print_json, table
    from indexing.principals import principals_with_ids

    with open_catalog_only() as catalog, catalog.reading() as session:
        listed = keys.keys(session)
        owners = principals_with_ids(session, {each.principal_id for each in listed})
    found = [(each, owners.get(each.principal_id)) for each in listed]
    if as_json:
        print_json([{"key": each, "principal": owner} for each, owner in found])
        return
    rows = [
        (e.public_id, owner.name if owner else "", e.label, ", ".join(e.permissions), e.expires_at, e.revoked_at)
        for e, owner in found
    ]
    table(("id", "of", "label", "permissions", "expires", "revoked"), rows, empty="No keys.")


@key.command("revoke")
def revoke_key(public_id: Annotated[str, typer.Argument(help="The key's id, as `metier key list` shows it.")]) -> None:
    """Revoke a key; it opens nothing from the next request on."""
    from app import audit, keys
    from app.cli_show import remark
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog, catalog.transaction() as session:
        owner_id = keys.revoke_key(session, public_id)
        audit.record(session, LOCAL_PRINCIPAL_ID, "key.revoke", public_id, about=owner_id)
    remark(f"Key {public_id} is revoked.")
