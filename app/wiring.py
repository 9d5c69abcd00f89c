"""The composition root: the only file that names concrete classes. Server, command line and tests all call ``build``.

Nothing heavy happens here: models are loaded by whoever first needs them, so that ``metier sources list``
costs no second of loading weights.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.lazy import LazyEmbedder
from app.parts import Parts
from indexing.errors import SettingsError, StorageFull

if TYPE_CHECKING:
    from app.generator import Generator
    from app.settings import AppSettings
    from indexing.db import Catalog


def build(settings: AppSettings, **overrides: Any) -> Parts:
    """Return the parts for *settings*; each of *overrides* (by field name of Parts) takes the place of ours.

    Opens the catalog, and creates it when there is none yet and it is SQLite. Raises SettingsError and the errors
    of ``open_catalog``.
    """
    from app.reading import TrainedReader
    from indexing.parse import ParserPool
    from indexing.search import SearchIndex

    chosen = dict(overrides)
    catalog = chosen.pop("catalog", None) or open_or_create(settings)
    embedder = chosen.pop("embedder", None) or LazyEmbedder(settings)
    return Parts(
        settings=settings,
        catalog=catalog,
        embedder=embedder,
        index=chosen.pop("index", None) or SearchIndex(catalog, embedder, settings),
        parsers=chosen.pop("parsers", None) or ParserPool(settings),
        reads=chosen.pop("reads", None) or TrainedReader(precision=settings.embed_precision, threads=settings.threads),
        generator=chosen.pop("generator", None) or generator_of(settings),
        **chosen,
    )


def warm(parts: Parts) -> None:
    """Load the packaged models and open the index. Raises IndexingError, as the first question would."""
    from app.reading import Text

    parts.embedder.embed_questions(["warm-up"])
    parts.reads.read("warm-up", [Text("warm-up")])
    parts.index.refresh()


def close(parts: Parts) -> None:
    """Stop what *parts* has started (parsers, generator) and close the catalog."""
    for part in (parts.parsers, parts.generator, parts.catalog):
        stop = getattr(part, "close", None)
        if stop is not None:
            stop()


def generator_of(settings: AppSettings) -> Generator:
    """Return the generator that *settings* names; its model is loaded with the first question."""
    if settings.generator == "transformers":
        from app.llm import LocalGenerator

        return LocalGenerator(
            settings.generator_model or "",
            context_tokens=settings.context_tokens,
            queue_length=settings.generator_queue,
            threads=settings.threads,
        )
    if settings.generator == "openai":
        from app.llm_server import ServerGenerator

        key = settings.generator_api_key
        return ServerGenerator(
            settings.generator_url or "",
            settings.generator_model or "",
            api_key=None if key is None else key.get_secret_value(),
            context_tokens=settings.context_tokens,
            queue_length=settings.generator_queue,
        )
    from app.reader import Reader

    return Reader()


def open_or_create(settings: AppSettings) -> Catalog:
    """Return the open catalog; a SQLite catalog that does not exist yet is created.

    A catalog that exists is never migrated in passing: that is ``metier migrate``, after a backup.
    """
    from indexing.db import migrate, open_catalog

    path = sqlite_path(settings)
    if path is not None and not path.exists():
        make_folder(path.parent)
        migrate(settings.database)
    return open_catalog(settings.database)


def sqlite_path(settings: AppSettings) -> Path | None:
    """Return the catalog's file, or None when it is not SQLite."""
    scheme, separator, rest = settings.database.partition(":///")
    return Path(rest.partition("?")[0]) if separator and scheme.startswith("sqlite") else None


def make_folder(folder: Path) -> None:
    """Create the data directory. Raises SettingsError, naming the setting, or StorageFull."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise StorageFull from exc
        raise SettingsError(
            f"The data directory {folder} cannot be created: {exc.strerror}.",
            remedy="Point METIER_DATA_DIR to a folder that you may write to.",
        ) from exc
