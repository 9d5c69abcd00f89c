"""The command line: ``metier COMMAND``. Commands live in the siblings of this file; errors end here, in one line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app import (
    cli_ask,
    cli_audit,
    cli_candidates,
    cli_doctor,
    cli_evaluate,
    cli_gate,
    cli_notify,
    cli_people,
    cli_personal,
    cli_runs,
    cli_schedule,
    cli_serve,
    cli_slack,
    cli_slack_channels,
    cli_slack_people,
    cli_sources,
    cli_specialist,
    cli_sync,
)
from app.version import version
from indexing.errors import IndexingError

if TYPE_CHECKING:
    from collections.abc import Sequence

cli = typer.Typer(
    name="metier",
    help="Ask your documents: cited answers from a program that runs on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"metier {version()}")
        raise typer.Exit


@cli.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Ask your documents: cited answers from a program that runs on your own machine."""


cli.command("quickstart")(cli_serve.quickstart)
cli.command("serve")(cli_serve.serve)
cli.add_typer(cli_sources.sources, name="sources")
cli.add_typer(cli_schedule.schedule, name="schedule")
cli.add_typer(cli_notify.notify, name="notify")
cli.command("plan")(cli_sync.plan)
cli.command("sync")(cli_sync.sync)
cli.add_typer(cli_runs.runs, name="runs")
cli.command("failures")(cli_sync.list_failures)
cli.command("gate")(cli_gate.gate)
cli.command("publish")(cli_gate.publish)
cli_specialist.specialist.command("golden")(cli_gate.golden)
cli_specialist.specialist.command("candidates")(cli_candidates.candidates)
cli.command("retry")(cli_sync.retry)
cli.command("deletions")(cli_personal.list_deletions)
cli.command("ask")(cli_ask.ask)
cli.command("search")(cli_ask.search)
cli.command("evaluate")(cli_evaluate.evaluate)
cli.add_typer(cli_specialist.specialist, name="specialist")
cli.add_typer(cli_people.people, name="people")
cli.add_typer(cli_people.access, name="access")
cli.add_typer(cli_people.key, name="key")
cli_people.people.command("export")(cli_personal.export_person)
cli_people.people.command("erase")(cli_personal.erase_person)
cli.add_typer(cli_audit.audit, name="audit")
cli.add_typer(cli_slack.slack, name="slack")
cli_slack.slack.command("link")(cli_slack_people.link)
cli_slack.slack.command("unlink")(cli_slack_people.unlink)
cli_slack.slack.command("people")(cli_slack_people.list_people)
cli_slack.slack.add_typer(cli_slack_channels.channel, name="channel")
cli.add_typer(cli_personal.retention, name="retention")
cli.command("doctor")(cli_doctor.doctor)
cli.command("migrate")(cli_doctor.migrate)
cli.command("openapi", hidden=True)(cli_serve.openapi)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Our own errors are one line on standard error and exit code 1; wrong usage is 2."""
    try:
        cli(arguments)
    except IndexingError as exc:
        _fail(f"{exc.message} {exc.remedy}")
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> None:
    from app.cli_show import clean

    sys.stderr.write("Error: " + " ".join(clean(message).split()) + "\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
