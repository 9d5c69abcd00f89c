"""``metier people export`` and ``erase``, ``metier retention``: a person's data, and how long it is kept."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path  # noqa: TC003 -- Typer resolves annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_open import load_settings, open_catalog_only

if TYPE_CHECKING:
    from datetime import datetime

retention = typer.Typer(help="How long records are kept.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Name = Annotated[str, typer.Argument(help="Who: a user or service; issuer|name for one of an identity provider.")]


def export_person(
    name: Name, file: Annotated[Path, typer.Argument(help="New JSON file that only you may read.", dir_okay=False)]
) -> None:
    """Write all that is kept of a person to a file: questions, answers, feedback, keys, groups, audit lines."""
    from app import personal
    from app.cli_show import remark
    from app.people import principal

    with open_catalog_only() as catalog, catalog.transaction() as session:
        found = personal.export_person(session, principal(session, name))
        _write(file, found)  # before the commit: if it fails, nothing was exported
    remark(f"Wrote all that is kept of {name} to {file}. It may quote documents: read it before you hand it on.")


def _write(file: Path, found: dict[str, Any]) -> None:
    from app.errors import BadRequest

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            json.dump(found, out, ensure_ascii=False, indent=2, default=_moment)
    except OSError as exc:
        raise BadRequest(f"{file} cannot be written: {exc.strerror}.", remedy="Name a new file.") from exc


def _moment(value: datetime) -> str:
    return value.isoformat()


def erase_person(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a person: questions, answers, feedback, keys, memberships, list entries and the name, for good."""
    from app import personal
    from app.cli_show import print_json, remark, say, table
    from app.errors import Conflict
    from app.people import principal

    with open_catalog_only() as catalog:
        with catalog.reading() as session:
            who = principal(session, name)
        if not yes:
            if not sys.stdin.isatty():
                raise Conflict("What is erased cannot be had again.", remedy="Add --yes.")
            typer.confirm(f"Erase the {who.kind} {name} and all that is kept of it, for good?", abort=True)
        with catalog.transaction() as session:
            receipt = personal.erase_person(session, who)
        scrubbed = catalog.scrub()
    if as_json:
        print_json({"receipt": receipt, "scrubbed": scrubbed})
        return
    rows = [*sorted(receipt.deleted.items()), ("access lists", receipt.lists)]
    table(("what", "erased"), rows, empty="")
    say(f"Principal {receipt.principal_id} is erased. Line of the audit log: {receipt.line}")
    if not scrubbed:
        remark(
            "Somebody reads the catalog: the bytes go with the next `metier retention apply`, at the latest in a day."
        )


@retention.command("apply")
def apply_retention(as_json: Json = False) -> None:
    """Delete now what is older than METIER_ANSWERS_KEPT_DAYS and METIER_AUDIT_KEPT_DAYS; a server does so daily."""
    from app import retention as kept
    from app.cli_show import print_json, say

    settings = load_settings()
    with open_catalog_only(settings) as catalog:
        done = kept.apply(catalog, settings)
    if as_json:
        print_json(done)
        return
    say(f"{done.answers} answers, {done.audit_lines} lines of the audit log and {done.runs} runs were deleted.")
    say(f"{done.receipts} deleted documents are gone from the files of this host too.")


def list_deletions(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most receipts to list.")] = 100,
    as_json: Json = False,
) -> None:
    """List receipts of deleted documents: when each left the answers, and when its bytes were gone from this host."""
    from app.cli_show import print_json, say, table
    from indexing import deletions

    with open_catalog_only() as catalog, catalog.reading() as session:
        found = deletions.receipts(session, limit)
    if as_json:
        print_json({"deletions": [{"state": one.state, "receipt": one} for one in found], "remains": deletions.BEYOND})
        return
    rows = [(one.document_id, one.source, one.uri_hash[:16], one.left_at, one.state, one.gone_at) for one in found]
    table(("document", "source", "sha256 of its name", "left answers", "state", "bytes gone"), rows, empty="None yet.")
    if any(one.gone_at is None for one in found):
        say("`metier retention apply` takes away what is left; a server does so daily.")
    for line in deletions.BEYOND:
        say(line)
