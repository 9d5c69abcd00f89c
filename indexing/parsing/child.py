"""The parser process: reads jobs from standard input, one JSON line each, and answers each with one JSON line.

Started by ``indexing.parse.ParserPool`` as ``python -m indexing.parsing.child '{"memory_mb": …}'`` with its own
process group, environment and directory. It trusts nothing in a file; the pool trusts nothing in its answers.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from indexing.errors import ParseError, ParseLimit
from indexing.parsing import confine
from indexing.parsing.job import Job, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from indexing.documents import Parsed


def read_file(job: Job) -> Parsed:
    """Return what is in the file of *job*. Raises ParseError, or whatever a vendor's reader raises."""
    from indexing.parsing.formats import read

    return read(job)


def main(read: Callable[[Job], Parsed] = read_file, layers: Collection[str] = confine.LAYERS) -> None:
    """Serve jobs with *read* until standard input is closed, confined by *layers*."""
    limits = Limits(**json.loads(sys.argv[-1]))
    parent = os.getppid()
    requests, answers = _take_pipes()
    with _open_statm() as statm:
        place = Path.cwd().parent
        _answer(answers, {"layers": confine.confine(limits, place, layers)})
        scratch = Path.cwd() / "scratch"
        while line := requests.readline():
            confine.die_with_parent(answers.fileno(), armed=True)
            if os.getppid() != parent:  # it went before the watch was set
                return
            confine.limit_cpu(limits.timeout_s)
            scratch.mkdir(exist_ok=True)
            try:
                answer = _serve(read, json.loads(line), limits, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            confine.die_with_parent(answers.fileno(), armed=False)
            _answer(answers, answer | {"memory_mb": _resident_mb(statm)})
    shutil.rmtree(place, ignore_errors=True)  # the service ended without closing its pool


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return private copies of standard input and output, and point the public ones at nothing.

    So a library that prints, or a program that reads its input, cannot break the protocol.
    """
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, answers


def _answer(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    answers.flush()


def _serve(read: Callable[[Job], Parsed], request: dict[str, Any], limits: Limits, scratch: Path) -> dict[str, Any]:
    """Return the answer to one request: {"parsed": …} or {"error": …}."""
    job = Job(
        path=Path(request["path"]),
        name=request["name"],
        media_type=request["media_type"],
        workdir=Path(request["workdir"]),
        scratch=scratch,
        limits=limits,
        deadline=time.monotonic() + limits.timeout_s,
    )
    try:
        parsed = read(job)
    except ParseError as exc:
        return {"error": {"class": type(exc).__name__, "message": exc.message, "remedy": exc.remedy}}
    except (MemoryError, RecursionError) as exc:
        what = "nested too deeply" if isinstance(exc, RecursionError) else f"more than {limits.memory_mb} MB of memory"
        return {"error": {"class": ParseLimit.__name__, "message": f"Reading it took {what}.", "remedy": None}}
    except Exception as exc:  # noqa: BLE001 -- the boundary: whatever a vendor's reader raises is about this file
        detail = " ".join(str(exc).split())[:300]
        message = f"It could not be read: {type(exc).__name__}: {detail}."
        return {"error": {"class": ParseError.__name__, "message": message, "remedy": None}}
    return {
        "parsed": {
            "blocks": [[b.text, b.kind, b.page, b.heading_path] for b in parsed.blocks],
            "title": parsed.title,
            "attachments": [[a.name, str(a.path)] for a in parsed.attachments],
            "notes": parsed.notes,
        }
    }


def _open_statm() -> IO[bytes]:
    """Return the kernel's file about this process's memory, opened before /proc is out of reach; else an empty one."""
    try:
        return Path("/proc/self/statm").open("rb", buffering=0)
    except OSError:
        return Path(os.devnull).open("rb", buffering=0)


def _resident_mb(statm: IO[bytes]) -> int:
    """Return this process's resident memory, in MB; 0 where the kernel does not tell."""
    statm.seek(0)
    fields = statm.read().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") >> 20 if fields else 0


if __name__ == "__main__":
    main()
