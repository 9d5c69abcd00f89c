"""``metier audit``: who asked or changed what and when, whether the log is intact, and its lines for elsewhere."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Annotated

import typer

from app.cli_open import open_catalog_only

audit = typer.Typer(
    help="Who asked or changed what, and when; ids, never content.", no_args_is_help=True, rich_markup_mode=None
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Who = Annotated[str | None, typer.Option(help="Name of who did it, or whom it concerns.")]
Action = Annotated[str | None, typer.Option(help="An action such as key.create, or its first word.")]
Since = Annotated[datetime | None, typer.Option(help="Only lines from then on, in this machine's time.")]


@audit.command("list")
def list_lines(
    who: Who = None,
    action: Action = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="Most lines to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List the newest lines, newest first."""
    from app import audit as log
    from app.cli_show import print_json, table
    from app.people import principal

    with open_catalog_only() as catalog, catalog.reading() as session:
        chosen = None if who is None else principal(session, who).id
        wanted = log.Wanted(chosen, action, None if since is None else since.astimezone())
        found = list(log.lines(session, wanted, limit=limit, newest=True))
    if as_json:
        print_json(found)
        return
    rows = [(e.seq, e.at, e.by or "the program", e.door, e.action, e.object, e.about, e.outcome) for e in found]
    columns = ("line", "at", "who", "door", "action", "object", "about", "outcome")
    table(columns, rows, empty="No such lines.")


@audit.command("verify")
def verify(
    noted: Annotated[str | None, typer.Option(help="A head that was noted earlier: it must be in the log.")] = None,
) -> None:
    """Check that no line was altered, removed or added; exit code 1 when one was. Prints the log's head, to note."""
    from app import audit as log
    from app.cli_show import say
    from app.errors import BadRequest

    seq, colon, digest = (noted or "0:").partition(":")
    if not colon or not seq.isdecimal():
        raise BadRequest(f"{noted} is no head of an audit log.", remedy="Give it as `metier audit verify` printed it.")
    earlier = log.Head(int(seq), digest) if noted else None
    with open_catalog_only() as catalog, catalog.reading() as session:
        broken, end = log.verify(session, earlier), log.head(session)
    if broken is not None:
        say(f"Line {broken} was altered, removed or added.")
        raise typer.Exit(1)
    say(f"The audit log is intact. Its head: {end}")


@audit.command("export")
def export(since: Since = None) -> None:
    """Print the lines as JSON, one a line, oldest first; that they were exported is the last of them."""
    from dataclasses import asdict

    from app import audit as log
    from indexing.tables import LOCAL_PRINCIPAL_ID

    with open_catalog_only() as catalog:
        with catalog.transaction() as session:
            log.record(session, LOCAL_PRINCIPAL_ID, "audit.export")
        with catalog.reading() as session:
            for line in log.lines(session, log.Wanted(since=None if since is None else since.astimezone())):
                sys.stdout.write(json.dumps(asdict(line) | {"at": line.at.isoformat()}) + "\n")
