"""ParserPool: reads files in killable child processes. A file can end its child; it cannot end the service.

One call = one file = one child borrowed for its time. A child that takes too long, crashes, answers too much or
grows too large is killed with all that it started, and the next file gets a new one. The limits that the child sets
for itself are in ``parsing/confine.py``; those that must hold even when it lies are here.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import structlog

from indexing import parse_place
from indexing.errors import EmptyDocument, ParseError, ParseLimit
from indexing.parse_answer import decoded, nonsense, outcome_of
from indexing.parsing.confine import gaps
from indexing.parsing.job import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from indexing.documents import Parsed
    from indexing.settings import IndexingSettings

_log = structlog.get_logger(__name__)

#: Changes whenever the blocks of any file could come out differently: then documents are parsed again.
PARSER_VERSION = "2"
#: Longest time of tesseract for one page.
OCR_TIMEOUT_S = 60.0

#: A child is replaced after this many files, or when it holds this share of the memory that it may use.
_FILES_PER_CHILD = 400
_MEMORY_SHARE = 0.5
_START_TIMEOUT_S = 60.0
#: How often a child is looked at while it reads.
_WATCH_S = 0.25
#: The children's programs are looked for here and nowhere else: the user's environment does not reach them.
_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin:/snap/bin"


class _Trespass(Exception):
    """A child takes more of the machine than a reader needs."""


@dataclass(slots=True)
class _Child:
    """One parser process, its private directory, and the layers of its confinement: name → what it is."""

    process: subprocess.Popen[bytes]
    directory: Path
    lock: IO[bytes]
    layers: dict[str, str] = field(default_factory=dict)
    files: int = 0

    def kill(self) -> None:
        """End the process, everything in its group, and its directory. Safe to call twice."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()
        parse_place.remove(self.directory)
        self.lock.close()


class ParserPool:
    """Reads files in at most ``parse_workers`` child processes, started when they are first needed. Thread-safe.

    Use it as a context manager, or call ``close()``: both end the children.
    """

    def __init__(self, settings: IndexingSettings, entry: Sequence[str] = ("indexing.parsing.child",)) -> None:
        """Remember the limits; nothing is started yet. *entry*: the module that a child runs, and its arguments."""
        self._entry = tuple(entry)
        self._limits = Limits(
            timeout_s=settings.parse_timeout_s,
            memory_mb=settings.parse_memory_mb,
            output_mb=settings.parse_output_mb,
            file_mb=settings.max_file_mb,
            ocr_languages=settings.ocr_languages,
            ocr_timeout_s=OCR_TIMEOUT_S,
        )
        self._free = threading.Semaphore(settings.parse_workers)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: list[_Child] = []
        self._closed = False
        self._told = False

    def __enter__(self) -> Self:
        """Return the pool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the children."""
        self.close()

    def close(self) -> None:
        """End all children, the busy ones too: their callers get a ParseError. A closed pool reads nothing more."""
        with self._lock:
            self._closed = True
            children = self._idle + self._busy
            self._idle = []
            for child in self._busy:  # their borrowers reap them
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.process.pid, signal.SIGKILL)
            busy = list(self._busy)
        for child in children:
            if child not in busy:
                child.kill()

    @property
    def process_ids(self) -> frozenset[int]:
        """The ids of the children that run now."""
        with self._lock:
            return frozenset(child.process.pid for child in (*self._idle, *self._busy))

    def parse(self, path: Path, name: str, media_type: str | None, workdir: Path) -> Parsed:
        """Return what is in the file at *path*, which its owner calls *name*.

        Attachments are written into *workdir*, under names of ours. Raises a ParseError that says what to do: of the
        class EmptyDocument, EncryptedDocument, UnsupportedFormat, ParseLimit or ParserMissing where one of these fits.
        """
        try:
            size = path.stat().st_size
        except OSError as exc:
            raise ParseError(f"{name}: the file cannot be opened: {exc.strerror}.") from exc
        if size == 0:
            raise EmptyDocument(f"{name}: the file has 0 bytes.")
        if size > self._limits.file_mb << 20:
            raise ParseLimit(
                f"{name}: the file has {size >> 20} MB; the limit is {self._limits.file_mb} MB.",
                remedy="Split the file, or raise METIER_MAX_FILE_MB.",
            )
        with self._free:
            child = self._borrow(name)
            keep = False
            try:
                outcome, memory_mb = self._read(child, path, name, media_type, workdir)
                small = memory_mb < self._limits.memory_mb * _MEMORY_SHARE
                keep = small and child.files < _FILES_PER_CHILD
            except OSError as exc:
                raise ParseError(f"{name}: the parser's private directory failed it: {exc.strerror}.") from exc
            finally:
                self._give_back(child, keep=keep)
        if isinstance(outcome, ParseError):
            raise outcome
        return outcome

    def _read(
        self, child: _Child, path: Path, name: str, media_type: str | None, workdir: Path
    ) -> tuple[Parsed | ParseError, int]:
        """Return what *child* made of the file, or why it could not, and its memory in MB.

        Raises ParseError or OSError where the child itself is to blame: it is not used again.
        """
        child.files += 1
        copy, out = parse_place.hand_over(path, child.directory, child.files)
        label = name.encode("utf-8", "replace").decode("utf-8")
        request = {"path": str(copy), "name": label, "media_type": media_type, "workdir": str(out)}
        answer = self._ask(child, request, name)
        outcome = outcome_of(answer, name, out, workdir, self._limits.file_mb << 20)
        parse_place.take_back(child.directory, child.files)
        memory_mb = answer.get("memory_mb")
        if not isinstance(memory_mb, int):
            raise nonsense(name)
        return outcome, memory_mb

    def layers(self) -> dict[str, str]:
        """Return the layers of confinement that a child has here: name → what it is. Raises ParseError.

        The names are those of ``indexing.parsing.confine.LAYERS``; a layer that the system does not offer is missing.
        """
        with self._free:
            child = self._borrow("The check")
            self._give_back(child, keep=True)
        return child.layers

    def _borrow(self, name: str) -> _Child:
        with self._lock:
            if self._closed:
                raise ParseError(f"{name}: the parser was closed.", remedy="Run sync again.")
            while self._idle:
                child = self._idle.pop()
                if child.process.poll() is None:
                    self._busy.append(child)
                    return child
                child.kill()  # it was ended from outside while it waited
        child = self._start()
        with self._lock:  # should the pool be closed meanwhile, the child is ended when it is given back
            self._busy.append(child)
        return child

    def _give_back(self, child: _Child, *, keep: bool) -> None:
        with self._lock:
            self._busy.remove(child)
            if keep and not self._closed:
                self._idle.append(child)
                return
        child.kill()

    def _start(self) -> _Child:
        """Return a new child that is ready to read."""
        parse_place.remove_stale_directories()
        directory, lock = parse_place.private_directory()
        package_root = Path(__file__).resolve().parent.parent
        with (directory / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", *self._entry, json.dumps(asdict(self._limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=directory / "work",
                env=_environment(directory / "work", package_root),
                start_new_session=True,  # a group of its own: killed with all that it started
            )
        child = _Child(process, directory, lock)
        try:
            ready = decoded(_receive(child, _START_TIMEOUT_S, 1 << 16, self._limits.file_mb), "The parser process")
            child.layers = {str(name): str(what) for name, what in ready["layers"].items()}
        except (TimeoutError, EOFError, OverflowError) as exc:
            trouble = (directory / "stderr").read_text(encoding="utf-8", errors="replace")[-500:]
            child.kill()
            raise ParseError(
                f"The parser process could not be started: {trouble.strip() or exc}.",
                remedy="Check METIER_PARSE_MEMORY_MB and the installation with `metier doctor`.",
            ) from exc
        if (missing := gaps(child.layers)) and not self._told:
            self._told = True
            _log.warning(
                "The parsers are not fully confined: `metier doctor` says why.", action="jail", missing=missing
            )
        return child

    def _ask(self, child: _Child, request: dict[str, Any], name: str) -> dict[str, Any]:
        """Return the child's answer. Raises ParseLimit past the time or the output, ParseError when it died."""
        most = (self._limits.output_mb << 20) * 4 + (1 << 20)  # UTF-8 takes up to 4 bytes for a character
        try:
            _send(child, request)
            line = _receive(child, self._limits.timeout_s + 1, most, self._limits.file_mb)
        except TimeoutError as exc:
            raise ParseLimit(f"{name}: reading it took longer than {self._limits.timeout_s:g} s.") from exc
        except OverflowError as exc:
            raise ParseLimit(f"{name}: it gave more text than {self._limits.output_mb} MB.") from exc
        except (EOFError, BrokenPipeError) as exc:
            raise self._death(child, name) from exc
        except _Trespass as exc:
            raise ParseLimit(f"{name}: reading it took {exc}.", remedy="Convert it to PDF or plain text.") from exc
        return decoded(line, name)

    def _death(self, child: _Child, name: str) -> ParseError:
        """Return the error for a child that ended, or went silent for good, while it read *name*."""
        try:
            code = child.process.wait(1)
        except subprocess.TimeoutExpired:
            return nonsense(name)  # it lives on, and has closed its end of the pipe
        if code == -signal.SIGXCPU:
            return ParseLimit(f"{name}: reading it took longer than {self._limits.timeout_s:g} s of processor time.")
        if self._closed:
            return ParseError(f"{name}: the parser was closed.", remedy="Run sync again.")
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        with contextlib.suppress(ValueError):  # a real-time signal has no name
            how = f"signal {signal.Signals(-code).name}"
        return ParseError(f"{name}: the program that read it crashed ({how}).")


def _environment(directory: Path, package_root: Path) -> dict[str, str]:
    """Return all that a child knows of the world. Nothing is passed on from the service's own environment."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{_PATH}",
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(package_root),
        "PYTHONSAFEPATH": "1",  # its directory holds files that a parser wrote: nothing is imported from there
        "DO_NOT_TRACK": "1",
        "SCARF_NO_ANALYTICS": "1",
        "UNSTRUCTURED_DISABLE_NOTICE": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_THREAD_LIMIT": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _send(child: _Child, request: dict[str, Any]) -> None:
    assert child.process.stdin is not None  # noqa: S101 -- for the type checker: it was opened as a pipe
    child.process.stdin.write(json.dumps(request).encode() + b"\n")
    child.process.stdin.flush()


def _receive(child: _Child, seconds: float, most: int, file_mb: int) -> bytes:
    """Return one line from the child.

    Raises TimeoutError, EOFError, OverflowError past *most* bytes, or _Trespass when it takes too much elsewhere.
    """
    assert child.process.stdout is not None  # noqa: S101 -- as above
    descriptor = child.process.stdout.fileno()
    started = looked = time.monotonic()
    pieces: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (now := time.monotonic()) < started + seconds:
            if now > looked + _WATCH_S:
                looked = now
                if what := parse_place.trespass(child.process.pid, child.directory, file_mb):
                    raise _Trespass(what)
            if not selector.select(min(_WATCH_S, started + seconds - now)):
                continue
            piece = os.read(descriptor, 1 << 20)
            if not piece:
                raise EOFError
            pieces.append(piece)
            size += len(piece)
            if piece.endswith(b"\n"):
                return b"".join(pieces)
            if size > most:
                raise OverflowError
    raise TimeoutError
