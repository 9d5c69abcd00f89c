"""What the command line prints: results on standard output, everything else on standard error.

Text of documents is shown without control characters: a document must not be able to move the cursor,
recolour the screen or rename the window of who reads it.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from indexing.documents import Progress as RunProgress

#: Seconds between two plain lines of progress where there is no terminal.
PLAIN_EVERY_S = 5.0
#: Characters of a uri that fit beside the bar.
URI_SHOWN = 40
#: Characters of a line where nobody looks at a screen.
PIPE_WIDTH = 10_000


def console() -> Console:
    """Return the console of standard output, for results."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def notes() -> Console:
    """Return the console of standard error, for progress and remarks."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def clean(text: str) -> str:
    """Return *text* without control characters (line breaks and tabs stay) and bidirectional overrides."""
    return "".join(c for c in text if c in "\n\t\u00a0\u202f" or (c.isprintable() and c not in _BIDI))


_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def say(text: str) -> None:
    """Print *text* as a result, as it is (no markup), without control characters."""
    console().print(clean(text), markup=False)


def remark(text: str) -> None:
    """Print *text* beside the results."""
    notes().print(clean(text), markup=False)


def print_json(value: Any) -> None:
    """Print *value* (records included) as JSON for a program; what a terminal would act on is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain)
    sys.stdout.write(text.translate({ord(c): json.dumps(c)[1:-1] for c in set(text) if not clean(c)}) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print *rows* under *columns*; the remark *empty* when there are none."""
    if not rows:
        remark(empty)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    # Cells are folded to the width of a terminal only: a file or a pipe gets whole lines.
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(file=sys.stdout, highlight=False, markup=False, width=width).print(grid)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return clean(str(value)).replace("\n", " ")


@contextmanager
def run_progress(name: str) -> Iterator[Callable[[RunProgress], None]]:
    """Show a run: a bar with the time that is left on a terminal, a plain line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _plain_progress(name)
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[uri]}", style="dim", markup=False),
        console=notes(),
        transient=True,
    )
    with bar:
        task = bar.add_task(name, total=None, uri="", left="")

        def show(progress: RunProgress) -> None:
            uri = clean(progress.uri)
            shown = uri if len(uri) <= URI_SHOWN else f"…{uri[-URI_SHOWN:]}"
            total = progress.total or None
            stage = f"{name}: {progress.stage}"
            left = _left(progress)
            bar.update(task, description=stage, completed=progress.done, total=total, uri=shown, left=left)

        yield show


def _plain_progress(name: str) -> Callable[[RunProgress], None]:
    import time

    last = time.monotonic()

    def show(progress: RunProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PLAIN_EVERY_S:
            return
        last = now
        left = _left(progress)
        remark(f"{name}: {progress.stage} {progress.done} of {progress.total or '?'}{left and f', {left}'}")

    return show


def _left(progress: RunProgress) -> str:
    """Return what is left, as the run itself estimates it by earlier runs and its own pace; "" while it does not."""
    seconds = progress.seconds_left
    if seconds is None:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 120 else f"about {seconds / 60:.0f} min left"
