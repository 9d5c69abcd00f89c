"""ParserPool: reads files in killable child processes. A file can end its child; it cannot end the service.

One call = one file = one child borrowed for its time. A child that takes too long, crashes, answers too much or
grows too large is killed with all that it started, and the next file gets a new one. The limits that the child sets
for itself are in ``parsing/confine.py``; those that must hold even when it lies are here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from indexing.documents import BLOCK_KINDS, Attachment, Block, Parsed
from indexing.errors import PARSE_ERRORS, EmptyDocument, ParseError, ParseLimit
from indexing.parsing.job import Limits

if TYPE_CHECKING:
    from types import TracebackType

    from indexing.settings import IndexingSettings

#: Changes whenever the blocks of any file could come out differently: then documents are parsed again.
PARSER_VERSION = "2"

#: A child is replaced after this many files, or when it holds this share of the memory that it may use.
_FILES_PER_CHILD = 400
_MEMORY_SHARE = 0.5
_START_TIMEOUT_S = 60.0
#: Names of the children's directories, and of the file in each that its owner keeps locked.
_PREFIX = "metier-parser-"
_LOCK = "owner.lock"
#: The children's programs are looked for here and nowhere else: the user's environment does not reach them.
_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin:/snap/bin"


@dataclass(slots=True)
class _Child:
    """One parser process and its private directory."""

    process: subprocess.Popen[bytes]
    directory: Path
    lock: IO[bytes]
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
        shutil.rmtree(self.directory, ignore_errors=True)
        self.lock.close()


class ParserPool:
    """Reads files in at most ``parse_workers`` child processes, started when they are first needed. Thread-safe.

    Use it as a context manager, or call ``close()``: both end the children.
    """

    def __init__(self, settings: IndexingSettings) -> None:
        """Remember the limits; nothing is started yet."""
        self._limits = Limits(
            timeout_s=settings.parse_timeout_s,
            memory_mb=settings.parse_memory_mb,
            output_mb=settings.parse_output_mb,
            file_mb=settings.max_file_mb,
            ocr_languages=settings.ocr_languages,
            ocr_timeout_s=settings.ocr_timeout_s,
        )
        self._free = threading.Semaphore(settings.parse_workers)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: list[_Child] = []
        self._closed = False

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
        request = {
            "path": str(path.resolve()),
            "name": name.encode("utf-8", "replace").decode("utf-8"),
            "media_type": media_type,
            "workdir": str(workdir.resolve()),
        }
        with self._free:
            child = self._borrow(name)
            keep = False
            try:
                answer = self._ask(child, request, name)
                keep = self._worth_keeping(child, answer)
            finally:
                self._give_back(child, keep=keep)
        return _parsed(answer, name, workdir.resolve())

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
        _remove_stale_directories()
        directory, lock = _private_directory()
        package_root = Path(__file__).resolve().parent.parent
        with (directory / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "indexing.parsing.child", json.dumps(asdict(self._limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=directory,
                env=_environment(directory, package_root),
                start_new_session=True,  # a group of its own: killed with all that it started
            )
        child = _Child(process, directory, lock)
        try:
            _receive(child, _START_TIMEOUT_S, 1 << 16)
        except (TimeoutError, EOFError, OverflowError) as exc:
            trouble = (directory / "stderr").read_text(encoding="utf-8", errors="replace")[-500:]
            child.kill()
            raise ParseError(
                f"The parser process could not be started: {trouble.strip() or exc}.",
                remedy="Check METIER_PARSE_MEMORY_MB and the installation with `metier doctor`.",
            ) from exc
        return child

    def _ask(self, child: _Child, request: dict[str, Any], name: str) -> dict[str, Any]:
        """Return the child's answer. Raises ParseLimit past the time or the output, ParseError when it died."""
        child.files += 1
        most = (self._limits.output_mb << 20) * 4 + (1 << 20)  # UTF-8 takes up to 4 bytes for a character
        try:
            _send(child, request)
            line = _receive(child, self._limits.timeout_s + 1, most)
        except TimeoutError as exc:
            raise ParseLimit(f"{name}: reading it took longer than {self._limits.timeout_s:g} s.") from exc
        except OverflowError as exc:
            raise ParseLimit(f"{name}: it gave more text than {self._limits.output_mb} MB.") from exc
        except (EOFError, BrokenPipeError) as exc:
            raise self._death(child, name) from exc
        try:
            answer = json.loads(line)
        except ValueError as exc:
            raise ParseError(f"{name}: the parser answered nonsense.") from exc
        if not isinstance(answer, dict):
            raise ParseError(f"{name}: the parser answered nonsense.")
        return answer

    def _death(self, child: _Child, name: str) -> ParseError:
        """Return the error for a child that ended while it read *name*."""
        code = child.process.wait()
        if code == -signal.SIGXCPU:
            return ParseLimit(f"{name}: reading it took longer than {self._limits.timeout_s:g} s of processor time.")
        if self._closed:
            return ParseError(f"{name}: the parser was closed.", remedy="Run sync again.")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return ParseError(f"{name}: the program that read it crashed ({how}).")

    def _worth_keeping(self, child: _Child, answer: dict[str, Any]) -> bool:
        memory = answer.get("memory_mb", 0)
        small = isinstance(memory, int) and memory < self._limits.memory_mb * _MEMORY_SHARE
        return small and child.files < _FILES_PER_CHILD


def _private_directory() -> tuple[Path, IO[bytes]]:
    """Return a new directory and the lock on it, which the kernel frees when this process ends, however it ends."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            lock = (directory / _LOCK).open("xb")
        except FileNotFoundError:  # another service took it for stale before it was locked, here and below
            continue
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (directory / _LOCK).exists():
                return directory, lock
        lock.close()


def _remove_stale_directories() -> None:
    """Remove the directories of services that were killed while a child was reading: nobody holds their lock."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it is gone by now, or not ours to touch
            if directory.is_symlink() or directory.lstat().st_uid != os.geteuid():
                continue
            if not (directory / _LOCK).exists():
                directory.rmdir()  # fails unless it is empty: its owner ended before it could lock it
                continue
            with (directory / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
                shutil.rmtree(directory, ignore_errors=True)


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


def _receive(child: _Child, seconds: float, most: int) -> bytes:
    """Return one line from the child. Raises TimeoutError, EOFError, or OverflowError past *most* bytes."""
    assert child.process.stdout is not None  # noqa: S101 -- as above
    descriptor = child.process.stdout.fileno()
    deadline = time.monotonic() + seconds
    pieces: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            piece = os.read(descriptor, 1 << 20)
            if not piece:
                raise EOFError
            pieces.append(piece)
            size += len(piece)
            if piece.endswith(b"\n"):
                return b"".join(pieces)
            if size > most:
                raise OverflowError


def _parsed(answer: dict[str, Any], name: str, workdir: Path) -> Parsed:
    """Return the record for a child's *answer*, which may be anything. Raises the error that it names."""
    try:
        if "error" in answer:
            error = answer["error"]
            kind = PARSE_ERRORS.get(str(error["class"]), ParseError)
            raise kind(f"{name}: {error['message']}", remedy=error["remedy"])
        parsed = answer["parsed"]
        blocks = tuple(
            Block(str(text), kind, page if page is None else int(page), tuple(str(heading) for heading in path))
            for text, kind, page, path in parsed["blocks"]
            if kind in BLOCK_KINDS and str(text).strip()
        )
        attachments = tuple(Attachment(str(label), _inside(workdir, file)) for label, file in parsed["attachments"])
        title = parsed["title"]
        notes = tuple(str(note) for note in parsed["notes"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as exc:
        raise ParseError(f"{name}: the parser answered nonsense.") from exc
    if not blocks and not attachments:
        raise EmptyDocument(f"{name}: no text was found in it.")
    return Parsed(blocks, None if title is None else str(title), attachments, notes)


def _inside(workdir: Path, file: str) -> Path:
    """Return *file* if it is a regular file directly in *workdir*; raises ValueError for any other place."""
    path = Path(file)
    if path.parent != workdir or path.is_symlink() or not path.is_file():
        raise ValueError(file)
    return path
