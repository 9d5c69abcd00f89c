"""``metier serve`` and ``metier quickstart``: the server, and the shortest way from a folder to a cited answer."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import load_settings, local_scope, open_parts, quiet_logs
from app.errors import Conflict
from indexing.errors import SettingsError

if TYPE_CHECKING:
    from app.parts import Parts
    from app.settings import AppSettings
    from app.specialists import Specialist
    from indexing.db import Catalog
    from indexing.documents import SourceRecord

Host = Annotated[str | None, typer.Option(help="Address to listen on (METIER_HOST).")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port (METIER_PORT); 0 takes a free one.")]

#: Questions with known answers, one JSON object a line.
GOLDEN = "golden.jsonl"
#: Time for requests in progress when the server is told to stop.
GRACE_S = 5


def serve(host: Host = None, port: Port = None) -> None:
    """Serve REST, server-sent events and the OpenAI-compatible routes."""
    settings = load_settings(host=host, port=port)
    with bound(settings) as listener:
        quiet_logs(settings.log_level)
        with open_parts(settings) as parts:
            run_server(parts, listener)


def bound(settings: AppSettings) -> socket.socket:
    """Return a socket bound to the address; nobody can connect before the server listens on it.

    Bound before anything is loaded, so that a port in use is an error at once. Raises Conflict for that, and
    SettingsError for an address that this machine does not have.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as exc:
        listener.close()
        if exc.errno in (errno.EADDRINUSE, errno.EACCES):
            why = "is in use" if exc.errno == errno.EADDRINUSE else "needs more rights than you have"
            raise Conflict(
                f"Port {settings.port} on {settings.host} {why}.",
                remedy="Stop the other program, or choose another port with --port or METIER_PORT.",
            ) from exc
        raise SettingsError(
            f"This machine cannot listen on {settings.host}: {exc.strerror}.",
            remedy="Correct --host or METIER_HOST; 127.0.0.1 is this machine only.",
        ) from exc
    return listener


def run_server(parts: Parts, listener: socket.socket) -> None:
    """Serve *parts* on *listener* until the process is told to stop."""
    import uvicorn

    from app.cli_show import remark
    from app.server import create_app

    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    remark(f"Métier serves on http://{shown}:{port} (Ctrl-C stops it).")
    if (token := first_admin_token(parts)) is not None:
        remark("Nobody who signs in is an admin yet. Sign in, and within an hour send this token to /v1/first-admin:")
        remark(token)
    config = uvicorn.Config(
        create_app(parts),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    # The server stops gracefully at a signal and then raises it again; ours does nothing with it, so that the parts
    # are closed in order and the process ends with 0.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def first_admin_token(parts: Parts) -> str | None:
    """Return a one-time token for the first admin; None where nobody can sign in, or an admin already can."""
    from app import sessions
    from indexing.principals import principals

    registered = parts.settings.registration
    if registered is None:
        return None
    with parts.catalog.transaction() as session:
        known = principals(session)
        if any(p.issuer == registered.issuer and p.role == "admin" and p.state == "active" for p in known):
            return None
        return sessions.offer_first_admin(session)


def quickstart(
    docs: Annotated[Path, typer.Argument(help="Folder of documents.")] = Path("examples"),
    question: Annotated[str | None, typer.Option(help="What to ask first.")] = None,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Stop after the first answer.")] = False,
    host: Host = None,
    port: Port = None,
) -> None:
    """Index a folder, ask one question, print the cited answer, then serve."""
    from app.cli_ask import show_answer
    from app.cli_show import remark, say
    from app.specialists import DEFAULT
    from indexing.sources.folder import existing_folder

    settings = load_settings(host=host, port=port)
    folder, golden = documents_of(Path(existing_folder(str(docs))))
    listener = None if no_serve else bound(settings)
    quiet_logs("warning")
    with open_parts(settings) as parts:
        _index(parts, folder)
        asked = (question, DEFAULT) if question else first_question(parts, golden)
        if asked is None:
            remark("No document could be read, so there is nothing to ask. `metier failures` says why.")
        else:
            say(f"\nQuestion: {asked[0]}\n")
            show_answer(parts, *asked)
            say("")
        if listener is not None:
            quiet_logs(settings.log_level)
            run_server(parts, listener)
        elif asked is None:
            raise typer.Exit(1)


def documents_of(folder: Path) -> tuple[Path, Path | None]:
    """Return the folder to index and the golden set that belongs to it, if there is one.

    In our ``examples/`` the documents are in ``handbook/`` and the golden set is beside it: indexed with them, it
    would answer its questions from itself.
    """
    inside = folder / "handbook"
    if (folder / GOLDEN).is_file() and inside.is_dir():
        return inside, folder / GOLDEN
    beside = folder.parent / GOLDEN
    return folder, beside if folder.name == "handbook" and beside.is_file() else None


def source_for(catalog: Catalog, folder: Path) -> SourceRecord:
    """Return the source that reads *folder*, added under the folder's name when there is none."""
    from app.places import NewSource, add_source
    from indexing import store

    with catalog.reading() as session:
        known = store.sources(session)
    existing = next((s for s in known if s.kind == "folder" and s.location == str(folder)), None)
    if existing is not None:
        return existing
    taken = {s.name for s in known}
    wanted = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-._")[:80] or "documents"
    free = next(name for n in range(1, len(taken) + 2) if (name := wanted if n == 1 else f"{wanted}-{n}") not in taken)
    return add_source(catalog, NewSource(free, "folder", str(folder)))


def _index(parts: Parts, folder: Path) -> None:
    from app.cli_show import remark
    from app.cli_sync import interruptible, run_once

    source = source_for(parts.catalog, folder)
    remark(f"Indexing {folder} as the source {source.name} …")
    with interruptible() as cancel:
        run_once(parts, source, cancel, confirm_deletions=False, quiet=False)
        if cancel.is_set():
            raise KeyboardInterrupt


def first_question(parts: Parts, golden: Path | None) -> tuple[str, Specialist] | None:
    """Return what to ask first, and whom: the golden set's first answerable question, or one made of a title.

    A question made of a title is asked of somebody who answers in any case: it is there to show a citation.
    """
    from app.specialists import DEFAULT
    from indexing import store

    if golden is not None:
        entries = (json.loads(line) for line in golden.read_text(encoding="utf-8").splitlines() if line.strip())
        return next(((str(entry["question"]), DEFAULT) for entry in entries if entry.get("answerable")), None)
    scope = local_scope(parts.catalog)
    with parts.catalog.reading() as session:
        documents = store.document_list(session, scope, limit=50)
    if not documents:
        return None
    fullest = max(documents, key=lambda d: d.chunks)
    question = f"Que dit « {fullest.title} » ?" if fullest.language == "fr" else f"What does “{fullest.title}” say?"
    return question, replace(DEFAULT, threshold=0.0)


def openapi() -> None:
    """Print the description of the REST interface; docs/openapi.json is made by it."""
    from app.cli_show import print_json
    from app.server import openapi_document

    print_json(openapi_document())
