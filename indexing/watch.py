"""Watching a folder: a run whenever something in it has changed, one at a time, until told to stop."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from indexing.errors import RunInProgress, SourceError
from indexing.pipeline import sync_source
from indexing.sources.folder_access import ACCESS_FILE

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from indexing.documents import Progress, SourceRecord, SyncReport
    from indexing.pipeline import Indexing

#: A run begins when nothing has changed for the step, or when changes have gone on for the debounce time.
_STEP_MS = 400
_DEBOUNCE_MS = 5_000
_LOOK_MS = 500  # how often it looks whether to stop
#: Network shares tell of no changes, and even local disks forget some under load: a run costs a stat per file.
_AT_LEAST_EVERY_S = 300.0
_RETRY_S = 15.0

_log = structlog.get_logger(__name__)


def _no_progress(progress: Progress) -> None:
    """Show nobody."""


def watch_source(
    indexing: Indexing,
    source: SourceRecord,
    stop: threading.Event,
    *,
    on_report: Callable[[SyncReport], None],
    on_progress: Callable[[Progress], None] = _no_progress,
) -> None:
    """Synchronise *source* now, after each change in its folder and every five minutes, until *stop* is set.

    What changes during a run leads to another run. A run that fails is reported like any other and tried again after
    a while; so is a folder that is not there. Raises SourceError for a source that is no folder.
    """
    if source.kind != "folder":
        raise SourceError(
            f"Source {source.name} is of the kind {source.kind}: only folders can be watched.",
            remedy="Pushed documents are searchable at once; there is nothing to watch.",
        )

    def run_succeeds() -> bool:
        report = sync_source(indexing, source, on_progress=on_progress, cancel=stop)
        on_report(report)
        return report.state != "failed"

    while not stop.is_set():
        try:
            _run_on_changes(Path(source.location), stop, run_succeeds)
        except Exception as exc:  # noqa: BLE001 -- the boundary of one tick: watching goes on
            _log.error("Watching was interrupted.", action="watch_failed", source=source.name, exc_info=exc)
        stop.wait(_RETRY_S)


def _run_on_changes(root: Path, stop: threading.Event, run_succeeds: Callable[[], bool]) -> None:
    """Run at once and after changes; return when *stop* is set or a run failed, so that watching begins anew."""
    import watchfiles

    if not root.is_dir():
        run_succeeds()  # it fails, and its report says why
        return
    events = watchfiles.watch(
        root,
        watch_filter=lambda _, path: not _is_hidden(root, path),
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
        stop_event=stop,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )
    due = time.monotonic()  # the first events arrive, or do not, when watching has begun: then the first run
    with closing(events):
        for changes in events:
            if changes:
                due = time.monotonic()
            if time.monotonic() < due or stop.is_set():
                continue
            due = time.monotonic() + _AT_LEAST_EVERY_S
            try:
                if not run_succeeds():
                    return
            except RunInProgress as exc:
                _log.info("Waiting for another run to end.", action="watch_waits", why=exc.message)
                due = time.monotonic() + _RETRY_S


def _is_hidden(root: Path, path: str) -> bool:
    """Say whether the source passes over this path: else a data directory inside the folder would watch itself."""
    try:
        parts = Path(path).relative_to(root).parts
        return any(part.startswith(".") for part in (parts[:-1] if parts[-1:] == (ACCESS_FILE,) else parts))
    except ValueError:
        return False
