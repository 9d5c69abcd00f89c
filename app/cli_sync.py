"""``metier plan``, ``sync`` and ``failures``: keeping the index equal to the documents."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import load_settings, open_catalog_only, open_parts, quiet_logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.parts import Parts
    from indexing.db import Catalog
    from indexing.documents import FailureRecord, SourceRecord, SyncPlan, SyncReport

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Name = Annotated[str | None, typer.Argument(help="Name of a source; all sources when absent.")]
#: Uris of a kind that a plan lists before it only counts.
LISTED = 20


def chosen_sources(catalog: Catalog, name: str | None) -> list[SourceRecord]:
    """Return the source called *name*, or all. Raises NotFound, or NoIndexYet when there is no source at all."""
    from app.errors import NoIndexYet
    from app.places import source_named
    from indexing import store

    if name is not None:
        return [source_named(catalog, name)]
    with catalog.reading() as session:
        found = store.sources(session)
    if not found:
        raise NoIndexYet("There are no sources yet.")
    return found


def plan(name: Name = None, as_json: Json = False) -> None:
    """Show what a run would do, without doing it."""
    from app.cli_show import print_json
    from app.ingest import indexing_of
    from indexing.plan import plan_source

    with open_parts() as parts:
        plans = [plan_source(indexing_of(parts), source) for source in chosen_sources(parts.catalog, name)]
    if as_json:
        print_json(plans)
        return
    for each in plans:
        _show_plan(each)


def _show_plan(planned: SyncPlan) -> None:
    from app.cli_show import say
    from indexing.explain import span

    kinds = (
        ("new", planned.new),
        ("changed", planned.changed),
        ("stale", planned.stale),
        ("gone", planned.gone),
        ("retried", planned.retried),
    )
    counts = ", ".join(f"{len(uris)} {word}" for word, uris in kinds)
    say(f"{planned.source}: {counts}, {planned.unchanged} unchanged; {planned.bytes_to_read / 1e6:.1f} MB to read")
    for word, uris in kinds:
        for uri in uris[:LISTED]:
            say(f"  {word:8} {uri}")
        if len(uris) > LISTED:
            say(f"  {word:8} … and {len(uris) - LISTED} more")
    if planned.estimate is not None and (planned.new or planned.changed or planned.retried):
        least, most = (span(seconds) for seconds in planned.estimate.seconds)
        energy = between(*planned.estimate.energy_wh)
        say(f"  about {least} to {most}, and {energy} Wh of the processor's, judging by {planned.estimate.basis}")
    for problem in planned.problems:
        say(f"  problem  {problem}")


def between(low: float, high: float) -> str:
    """Return a range in two digits; one figure where both ends look the same."""
    ends = [f"{value:.2g}" if value >= 0.01 else "0.01" for value in (low, high)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def sync(
    name: Name = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and index each change as it happens.")] = False,
    confirm_deletions: Annotated[
        bool, typer.Option("--confirm-deletions", help="Delete documents even if implausibly many are gone.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Serve what is read at once, without asking the gate.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the index equal to the documents: read what is new or changed, delete what is gone."""
    from app.cli_show import print_json

    settings = load_settings()
    quiet_logs("warning")
    with open_parts(settings) as parts, interruptible() as cancel:
        wanted = chosen_sources(parts.catalog, name)
        reports = [
            run_once(parts, source, cancel, confirm_deletions=confirm_deletions, quiet=as_json, force=force)
            for source in wanted
            if not cancel.is_set()
        ]
        if as_json:
            print_json(reports)
        if watch and not cancel.is_set():
            _watch(parts, wanted, cancel, as_json=as_json)
    if any(report.state != "succeeded" for report in reports):
        raise typer.Exit(1)


def run_once(
    parts: Parts,
    source: SourceRecord,
    cancel: threading.Event,
    *,
    confirm_deletions: bool,
    quiet: bool,
    force: bool = False,
) -> SyncReport:
    """Run one source with its progress shown, publish the index and return the report, shown unless *quiet*."""
    from app.cli_show import run_progress
    from app.ingest import indexing_of
    from indexing.pipeline import sync_source

    with run_progress(source.name) as show:
        report = sync_source(
            indexing_of(parts),
            source,
            on_progress=show,
            confirm_deletions=confirm_deletions,
            cancel=cancel,
            force=force,
        )
    parts.index.publish()
    if not quiet:
        show_report(report)
    return report


def show_report(report: SyncReport) -> None:
    """Print what a run did, and the first documents that could not be read."""
    from app.cli_show import remark, say

    counts = (
        f"{report.added} added, {report.changed} changed, {report.moved} moved, {report.deleted} deleted, "
        f"{report.unchanged + report.touched} unchanged, {report.failed} failed"
    )
    say(f"{report.source}: {report.state} in {report.seconds:.1f} s: {counts}.")
    say(f"  {report.chunks_written} chunks written: {report.chunks_embedded} embedded, {report.chunks_reused} reused.")
    if report.error:
        remark(f"  {report.error}")
    for failure in report.failures[:LISTED]:
        remark(f"  {failure.uri}: {failure.reason} {failure.remedy}")
    if report.failed > LISTED:
        remark(f"  … and {report.failed - LISTED} more: `metier failures {report.source}` lists them.")


def _watch(parts: Parts, wanted: list[SourceRecord], cancel: threading.Event, *, as_json: bool) -> None:
    """Index changes of all *wanted* sources as they happen, until *cancel* is set."""
    from app.cli_show import print_json, remark
    from app.ingest import indexing_of
    from indexing.watch import watch_source

    def published(report: SyncReport) -> None:
        parts.index.publish()
        if as_json:
            print_json(report)
        else:
            show_report(report)

    remark("Watching for changes; stop with Ctrl-C.")
    threads = [
        threading.Thread(
            target=watch_source,
            args=(indexing_of(parts), source, cancel),
            kwargs={"on_report": published},
            name=f"watch-{source.name}",
        )
        for source in wanted
        if source.kind == "folder"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C (or SIGTERM) sets, so that a run ends after the document it is at.

    The second one interrupts at once; nothing acknowledged is lost by that either.
    """
    cancel = threading.Event()

    def stop(number: int, _frame: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        from app.cli_show import remark

        remark("Stopping after the current document; once more to stop at once.")
        del number

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def list_failures(name: Name = None, as_json: Json = False) -> None:
    """List the documents that could not be read, each with what to do about it."""
    from app.cli_show import print_json, table
    from app.places import source_named
    from indexing import runs

    with open_catalog_only() as catalog:
        source_id = None if name is None else source_named(catalog, name).id
        with catalog.reading() as session:
            found = runs.failures(session, source_id=source_id)
    if as_json:
        print_json(found)
        return
    rows = [(f.source, f.failure.uri, f.failure.stage, _next_try(f), f.failure.reason, f.failure.remedy) for f in found]
    columns = ("source", "document", "stage", "next", "reason", "what to do")
    table(columns, rows, empty="Every document could be read.")


def _next_try(record: FailureRecord) -> str:
    from indexing.compare import is_parked

    times = f"{record.attempts} attempt{'' if record.attempts == 1 else 's'}"
    parked = is_parked(record.failure.stage, record.failure.error, record.attempts)
    return f"parked after {times}" if parked else f"tried again; {times} so far"


def retry(
    name: Annotated[str, typer.Argument(help="The source.")],
    uri: Annotated[
        str | None, typer.Argument(help="One document as `metier failures` names it; all if absent.")
    ] = None,
) -> None:
    """Let the next run try documents again that could not be read, also those that are parked."""
    from app.cli_show import remark
    from app.errors import NotFound
    from app.places import source_named
    from indexing import runs

    with open_catalog_only() as catalog:
        source = source_named(catalog, name)
        with catalog.transaction() as session:
            count = runs.retry_failures(session, source.id, uri)
    if count == 0:
        raise NotFound("There is no such failure.", remedy=f"`metier failures {name}` lists them.")
    remark(f"The next run of {name} tries {count} again.")
