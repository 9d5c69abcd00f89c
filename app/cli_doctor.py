"""``metier doctor`` and ``metier migrate``."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli_open import load_settings, quiet_logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.parts import Parts
    from app.settings import AppSettings

#: Less free space than this beside the catalog is a warning.
LEAST_FREE_MB = 500
#: From this version on SQLite has no known fault that corrupts a WAL database used by several processes.
SAFE_SQLITE = (3, 51, 3)
#: Layer of the parsers' confinement → what is not stopped without it, and what to do.
JAIL = {
    "limits": ("A parser may take the machine's memory and disk.", "Run Métier on Linux or macOS."),
    "network": (
        "No network namespace here.",
        "Allow unprivileged user namespaces (user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns).",
    ),
    "files": (
        "A parser can read whatever the service can.",
        "Use Linux 5.13 or newer with landlock in its list of security modules (boot parameter lsm=landlock,…).",
    ),
    "calls": (
        "A parser can open sockets and reach other processes of the service's user.",
        "Use Linux on x86-64 or arm64, and a container profile that allows seccomp(2).",
    ),
}


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    state: str  # ok | warning | failed
    found: str
    remedy: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False) -> None:
    """Check that everything the program needs is there and intact; exit code 1 when something is not."""
    from app.cli_show import print_json, table

    quiet_logs("error")
    checks = run_checks()
    if as_json:
        print_json(checks)
    else:
        table(
            ("check", "state", "found", "what to do"), [(c.name, c.state, c.found, c.remedy) for c in checks], empty=""
        )
    if any(c.state == "failed" for c in checks):
        raise typer.Exit(1)


def run_checks() -> list[Check]:
    """Return the outcome of every check; one that fails does not keep the others from running."""
    from indexing.errors import IndexingError, SettingsError

    try:
        settings = load_settings()
    except SettingsError as exc:
        return [Check("settings", "failed", exc.message, exc.remedy)]
    checks = [Check("settings", "ok", "every setting is known and usable"), *_machine_checks(settings)]
    from app.wiring import build, close

    try:
        parts = build(settings)
    except IndexingError as exc:
        return [*checks, Check("catalog", "failed", exc.message, exc.remedy)]
    try:
        return checks + [_checked(check, parts) for check in _DEEP] + _jail(parts)
    finally:
        close(parts)


def _checked(check: Callable[[Parts], Check], parts: Parts) -> Check:
    from indexing.errors import IndexingError

    try:
        return check(parts)
    except IndexingError as exc:
        name = check.__name__.removeprefix("_check_").replace("_", " ")
        return Check(name, "failed", exc.message, exc.remedy)


def _machine_checks(settings: AppSettings) -> list[Check]:
    """Look at what is around the program: disk, SQLite, and the programs that some formats need."""
    checks = [_disk(settings), _sqlite(settings)]
    programs = (
        ("tesseract", ("tesseract",), "Scans and pictures cannot be read.", "Install tesseract-ocr with eng and fra."),
        (
            "LibreOffice",
            ("soffice", "libreoffice"),
            "Files of the formats doc, ppt and xls cannot be read.",
            "Install libreoffice-writer, -calc and -impress.",
        ),
    )
    for name, commands, without, remedy in programs:
        path = next((found for c in commands if (found := shutil.which(c))), None)
        checks.append(Check(name, "ok", path) if path else Check(name, "warning", f"Not installed. {without}", remedy))
    return checks


def _disk(settings: AppSettings) -> Check:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free >> 20
    if free_mb < LEAST_FREE_MB:
        return Check("disk", "warning", f"{free_mb} MB are free in {folder}", "Free some space.")
    return Check("disk", "ok", f"{free_mb} MB are free in {folder}")


def _sqlite(settings: AppSettings) -> Check:
    from app.wiring import sqlite_path

    if sqlite_path(settings) is None:
        return Check("sqlite", "ok", "not used: the catalog is another database")
    found = f"version {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < SAFE_SQLITE:
        remedy = "Run one process at a time on this catalog, or use PostgreSQL (METIER_DATABASE_URL)."
        return Check("sqlite", "warning", f"{found}: may corrupt a catalog that several processes write", remedy)
    return Check("sqlite", "ok", found)


def _jail(parts: Parts) -> list[Check]:
    """Return one check for each layer that confines the parsers. A layer that another makes up for is no warning."""
    from indexing.errors import ParseError
    from indexing.parsing.confine import gaps

    try:
        layers = parts.parsers.layers()
    except ParseError as exc:
        return [Check("parsers", "failed", exc.message, exc.remedy)]
    missing = gaps(layers)
    checks = []
    for name, (without, remedy) in JAIL.items():
        if name in missing:
            checks.append(Check(f"parser jail: {name}", "warning", without, remedy))
        elif name in layers:
            checks.append(Check(f"parser jail: {name}", "ok", layers[name]))
        else:
            checks.append(
                Check(f"parser jail: {name}", "ok", f"{without} The filter of calls refuses sockets instead.", remedy)
            )
    return checks


def _check_catalog(parts: Parts) -> Check:
    from app.cli_open import local_scope
    from indexing import runs, store

    scope = local_scope(parts.catalog)
    with parts.catalog.reading() as session:
        sources = len(store.sources(session))
        counts = store.counts(session, scope)
        failures = len(runs.failures(session))
    found = f"{parts.catalog.url}: {sources} sources, {counts.documents} documents, {counts.chunks} chunks"
    if failures:
        remedy = "`metier failures` lists them."
        return Check("catalog", "warning", f"{found}; {failures} documents could not be read", remedy)
    return Check("catalog", "ok", found)


def _check_permissions(parts: Parts) -> Check:
    from indexing import store
    from indexing.store_lists import stale_sources

    with parts.catalog.reading() as session:
        stale = stale_sources(session)
        hidden = [source for source in store.sources(session) if source.id in stale]
    if not hidden:
        return Check("permissions", "ok", "no source is hidden")
    named = ", ".join(f"{source.name} (older than {source.acl_max_age_minutes} minutes)" for source in hidden)
    return Check(
        "permissions", "warning", f"Hidden, because its permissions are too old: {named}", "Run `metier sync`."
    )


def _check_gates(parts: Parts) -> Check:
    from app.cli_open import local_scope
    from indexing import runs

    scope = local_scope(parts.catalog)
    with parts.catalog.reading() as session:
        held = runs.held_sources(session, scope)
    if not held:
        return Check("gates", "ok", "no source is held")
    remedy = "`metier runs` and `metier gate RUN` show why; `metier publish SOURCE --force` serves it all the same."
    return Check("gates", "warning", f"What is new waits, because answers would get worse: {', '.join(held)}", remedy)


def _check_notifications(parts: Parts) -> Check:
    from indexing import targets

    with parts.catalog.reading() as session:
        found = targets.targets(session)
    failing = [each for each in found if each.failed_in_row]
    if not failing:
        return Check(
            "notifications", "ok", f"{len(found)} targets" if found else "no target: nobody is told of trouble"
        )
    why = "; ".join(f"{each.id} ({each.failed_in_row} times): {each.last_error}" for each in failing)
    return Check("notifications", "warning", f"These targets could not be told: {why}", "`metier notify list`.")


def _check_change_log(parts: Parts) -> Check:
    from indexing import changelog

    with parts.catalog.reading() as session:
        changelog.verify(session)
        seq = changelog.state(session).seq
    return Check("change log", "ok", f"intact up to {seq}")


def _check_audit_log(parts: Parts) -> Check:
    from app import audit

    with parts.catalog.reading() as session:
        broken, end = audit.verify(session), audit.head(session)
    if broken is not None:
        remedy = "Somebody or something else wrote to the database; compare with an export, or with a backup."
        return Check("audit log", "failed", f"line {broken} was altered, removed or added", remedy)
    return Check("audit log", "ok", f"intact up to {end.seq}")


def _check_model(parts: Parts) -> Check:
    vector = parts.embedder.embed_questions(["doctor"])
    return Check(
        "model", "ok", f"{parts.settings.embed_model}: {vector.shape[1]} dimensions, {parts.embedder.fingerprint}"
    )


def _check_index(parts: Parts) -> Check:
    from indexing import changelog

    parts.index.refresh()
    snapshot = parts.index.snapshot()
    with parts.catalog.reading() as session:
        seq = changelog.state(session).seq
    if parts.index.leak is not None:
        return Check("index", "failed", parts.index.leak, "An index was put aside: report it as SECURITY.md says.")
    path = snapshot.generation.path
    name = "none yet: everything is in the tail" if path is None else path.name
    return Check("index", "ok", f"generation {name}; {len(snapshot)} chunks, seen up to change {snapshot.seq} of {seq}")


def _check_generator(parts: Parts) -> Check:
    load = getattr(parts.generator, "load", None)
    if load is not None:
        load()
    return Check("generator", "ok", parts.generator.name)


def migrate() -> None:
    """Create the catalog, or bring an older one to this version. Make a backup first."""
    from app.cli_show import remark
    from app.wiring import make_folder, sqlite_path
    from indexing import db

    settings = load_settings()
    quiet_logs("warning")
    path = sqlite_path(settings)
    if path is not None:
        make_folder(path.parent)
    db.migrate(settings.database)
    catalog = db.open_catalog(settings.database)
    remark(f"The catalog {catalog.url} is up to date.")
    catalog.close()


#: Checks that need the opened parts.
_DEEP = (
    _check_catalog,
    _check_permissions,
    _check_gates,
    _check_notifications,
    _check_change_log,
    _check_audit_log,
    _check_model,
    _check_index,
    _check_generator,
)
