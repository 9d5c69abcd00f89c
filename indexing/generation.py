"""Immutable index generations on disk, each of which proves itself.

    cache/<catalog uuid>/g-<seq>-<sha8>/
        index.faiss  chunks.npy  documents.npy  sources.npy  acls.npy  lengths.npy  languages.npy
        keywords/…  manifest.json

The manifest is written last and holds the catalog's identity and log hash at *seq*, the embedding model's fingerprint,
probe vectors, the seed of the canary, counts, and the sha256 of every file. Nothing about generations is in SQL: the
directory is a cache that may be deleted at any time. One that is damaged, of another timeline, or that gives out the
canary's secrets is put aside (``bad-…``), never searched.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
import uuid
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from indexing import changelog, keywords, vectors
from indexing.canary import COUNT, Canary
from indexing.errors import GenerationDamaged, GenerationError, GenerationMismatch, StorageFull
from indexing.rows import Rows, rows_of
from indexing.store import index_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

log = structlog.get_logger(__name__)

FORMAT = 2
_PREFIX, _TEMPORARY, _BAD = "g-", "tmp-", "bad-"
_MANIFEST, _INDEX, _KEYWORDS = "manifest.json", "index.faiss", "keywords"
_PROBES = 64
_STALE_SECONDS = 24 * 3600  # a temporary directory this old belongs to a process that died
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Generation:
    """All rows of the catalog as they were at ``seq``: arrays by row number, vectors and keywords."""

    seq: int
    log_hash: str
    rows: Rows
    flat: vectors.FlatIndex | None  # None when there are no rows
    keywords: keywords.KeywordIndex | None
    path: Path | None = None
    probes: dict[str, list[float]] = field(default_factory=dict)  # text → what the model gave when this was built
    canary: Canary | None = None  # None when there are no rows

    @property
    def secret_rows(self) -> int:
        """How many of the rows are the canary's, not the catalog's."""
        return 0 if self.canary is None else COUNT


def empty(first_hash: str, dimension: int) -> Generation:
    """Return a generation of before the first change: everything is in the tail."""
    return Generation(0, first_hash, Rows.none(dimension), None, None)


def build(session: Session, cache: Path, fingerprint: str, dimension: int, probes: dict[str, list[float]]) -> Path:
    """Return the directory of a new generation of all rows that *session* sees, which must be one consistent read.

    Written aside, checked against a brute-force search, forced to disk, then renamed. Raises StorageFull,
    GenerationDamaged when the check fails.
    """
    state = changelog.state(session)
    home = cache / state.uuid
    temporary = home / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        manifest = _write_files(session, temporary, fingerprint, Canary(secrets.randbits(63), dimension))
        manifest |= {
            "catalog_uuid": state.uuid,
            "seq": state.seq,
            "log_hash": state.log_hash,
            "probes": probes,
        }
        content = json.dumps(manifest, indent=1, sort_keys=True).encode()
        _write_bytes(temporary / _MANIFEST, content)
        _self_check(_load(temporary, manifest))
        for directory in (temporary / _KEYWORDS, temporary):
            _sync_directory(directory)
        final = home / f"{_PREFIX}{state.seq:012d}-{hashlib.sha256(content).hexdigest()[:8]}"
        temporary.rename(final)
        _sync_directory(home)
    except OSError as exc:
        raise StorageFull(f"The index cache {home} cannot be written: {exc.strerror or exc}.") from exc
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _write_files(session: Session, directory: Path, fingerprint: str, canary: Canary) -> dict[str, Any]:
    """Write everything but the manifest and return what the manifest says of it."""
    (directory / _KEYWORDS).mkdir()
    writer = keywords.KeywordWriter(directory / _KEYWORDS)
    pieces: list[Rows] = []

    def batches() -> Iterator[Any]:
        for batch in chain(index_rows(session, fingerprint, None), [canary.batch()]):
            rows, terms = rows_of(batch)
            writer.add(terms)
            pieces.append(rows.without_vectors())
            yield batch.vectors

    flat = vectors.build(canary.dimension, batches())
    writer.commit()
    writer.close()
    rows = Rows.concatenate(pieces, canary.dimension)
    files = {_INDEX: vectors.write(flat, directory / _INDEX)}
    for name, array in rows.arrays().items():
        path = directory / f"{name}.npy"
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        files[path.name] = _sha256(path)
    for path in sorted((directory / _KEYWORDS).iterdir()):
        if path.name.endswith(".lock"):
            continue
        _sync_file(path)
        files[f"{_KEYWORDS}/{path.name}"] = _sha256(path)
    return {
        "format": FORMAT,
        "analysis": keywords.ANALYSIS_VERSION,
        "model": fingerprint,
        "index": vectors.INDEX_TYPE,
        "dimension": canary.dimension,
        "rows": len(rows) - COUNT,
        "canary": canary.seed,
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": {name: {"bytes": (directory / name).stat().st_size, "sha256": sha} for name, sha in files.items()},
    }


def newest(session: Session, cache: Path, fingerprint: str, dimension: int, above: int = -1) -> Generation | None:
    """Return the newest generation of this catalog and model that proves itself, with a seq greater than *above*.

    Those that are damaged, or of another timeline of this catalog, are put aside on the way.
    """
    state = changelog.state(session)
    for path in listed(cache / state.uuid):
        if _seq_of(path) <= above:
            return None
        try:
            return _open(session, path, state.uuid, fingerprint, dimension)
        except _OtherModel as exc:
            log.debug(
                "A generation is of another model.",
                action="generation_of_another_model",
                generation=path.name,
                model=str(exc),
            )
        except GenerationError as exc:
            log.warning(
                "A generation was put aside.", action="generation_put_aside", generation=path.name, reason=exc.message
            )
            put_aside(path)
    return None


def listed(home: Path) -> list[Path]:
    """Return the generations in *home*, newest first; [] when there is no such directory."""
    try:
        found = [path for path in home.iterdir() if path.name.startswith(_PREFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda path: (_seq_of(path), path.stat().st_mtime if path.exists() else 0), reverse=True)


def prune(home: Path, keep: int) -> None:
    """Delete all but the *keep* newest generations, what died half-written, and all but the last put aside."""
    for path in listed(home)[keep:]:
        shutil.rmtree(path, ignore_errors=True)
    if not home.is_dir():
        return
    bad = sorted(path for path in home.iterdir() if path.name.startswith(_BAD))
    stale = [
        path
        for path in home.glob(f"{_TEMPORARY}*")
        if path.exists() and time.time() - path.stat().st_mtime > _STALE_SECONDS
    ]
    for path in bad[:-1] + stale:
        shutil.rmtree(path, ignore_errors=True)


def older(home: Path, seq: int) -> list[Path]:
    """Return what is in *home* of before change *seq*: older generations, and all that were put aside."""
    aside = list(home.glob(f"{_BAD}*")) if home.is_dir() else []
    return [path for path in listed(home) if _seq_of(path) < seq] + aside


def discard_older(home: Path, seq: int) -> int:
    """Delete what ``older`` returns, and return how many that were. Whoever searches one of them may go on."""
    found = older(home, seq)
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return len(found)


class _OtherModel(GenerationMismatch):
    """The generation belongs to another embedding model, or another analysis of words: it may be wanted again."""


def _open(session: Session, path: Path, catalog_uuid: str, fingerprint: str, dimension: int) -> Generation:
    """Return the generation in *path*. Raises GenerationDamaged or GenerationMismatch."""
    try:
        manifest: dict[str, Any] = json.loads((path / _MANIFEST).read_bytes())
        ours = (manifest["format"], manifest["analysis"], manifest["index"], manifest["model"], manifest["dimension"])
        seq, log_hash = int(manifest["seq"]), manifest["log_hash"]
        same_catalog = manifest["catalog_uuid"] == catalog_uuid
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise GenerationDamaged(f"{path} has no readable manifest.") from exc
    if not same_catalog:
        raise GenerationMismatch(f"{path} belongs to another catalog.")
    if ours != (FORMAT, keywords.ANALYSIS_VERSION, vectors.INDEX_TYPE, fingerprint, dimension):
        raise _OtherModel(str(manifest["model"]))
    if changelog.hash_at(session, seq) != log_hash:
        raise GenerationMismatch(f"{path} belongs to another timeline: the catalog was restored from a backup.")
    return _load(path, manifest)


def _load(path: Path, manifest: dict[str, Any]) -> Generation:
    """Return the generation in *path*, each file checked against the manifest. Raises GenerationDamaged."""
    try:
        count, dimension, files = int(manifest["rows"]) + COUNT, int(manifest["dimension"]), dict(manifest["files"])
        canary = Canary(int(manifest["canary"]), dimension)
        checksums = {name: str(described["sha256"]) for name, described in files.items()}
        for name, sha256 in checksums.items():
            if name != _INDEX and _sha256(path / name) != sha256:
                raise GenerationDamaged(f"{path / name} does not match its checksum.")
        arrays = {name: np.load(path / f"{name}.npy", allow_pickle=False) for name in Rows.ARRAYS}
        flat = vectors.read(path / _INDEX, checksums[_INDEX], count, dimension)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise GenerationDamaged(f"{path} is not complete: {exc}.") from exc
    rows = Rows(**arrays, matrix=flat.matrix)
    if any(len(array) != count for array in arrays.values()):
        raise GenerationDamaged(f"{path} has arrays of different lengths.")
    words = keywords.open_keywords(path / _KEYWORDS)
    return Generation(int(manifest["seq"]), manifest["log_hash"], rows, flat, words, path, manifest["probes"], canary)


def _self_check(generation: Generation) -> None:
    """Compare FAISS with brute force on masked probes. Raises GenerationDamaged when a row differs."""
    rows, flat = generation.rows, generation.flat
    if flat is None or len(rows) == 0:
        return
    random = np.random.default_rng(generation.seq)
    for number in random.integers(0, len(rows), size=min(_PROBES, len(rows))):
        allowed = random.random(len(rows)) < random.choice([0.02, 0.5, 1.0])
        allowed[number] = True
        query = rows.matrix[number].astype(np.float32)
        found = flat.nearest(query, 10, allowed)
        scores = np.where(allowed, vectors.cosines(rows.matrix, query), -np.inf)
        expected = np.sort(scores)[::-1][: len(found)]
        if not allowed[found].all() or np.abs(np.sort(scores[found])[::-1] - expected).max() > 1e-5:
            raise GenerationDamaged("A new generation does not find what a plain scan finds.")


def put_aside(path: Path) -> None:
    """Rename a bad generation, so that nobody opens it again; gone already is fine."""
    try:
        path.rename(path.with_name(f"{_BAD}{path.name}-{uuid.uuid4().hex[:8]}"))
    except OSError as exc:
        log.warning(
            "A generation could not be put aside.",
            action="generation_not_put_aside",
            generation=str(path),
            reason=str(exc),
        )


def _seq_of(path: Path) -> int:
    number = path.name.removeprefix(_PREFIX).partition("-")[0]
    return int(number) if number.isdigit() else -1


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
