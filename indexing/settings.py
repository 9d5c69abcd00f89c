"""The indexing package's settings: environment ``METIER_*`` first, then files of secrets, ``metier.toml``, the default.

A secret need not be in the environment, which child processes and crash reports may show: METIER_SECRETS_DIR names a
folder of files called like the settings (``metier_api_token``), as container secrets and systemd credentials are.

This file and ``app/settings.py`` are the only readers of the environment. An unknown or unparsable
setting stops the program: a typo that silently keeps a default is worse than no setting at all.
"""

from __future__ import annotations

import os
import tomllib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableSetting

from indexing.errors import SettingsError
from indexing.outbound_rules import parse_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable

ENV_PREFIX = "METIER_"
#: Where files of settings are. No setting itself: it can come from the environment only.
SECRETS_DIR = "METIER_SECRETS_DIR"
#: Read by the evaluation scripts in benchmarks/ and by tests, not settings of the product.
NOT_SETTINGS = {"METIER_DATA", "METIER_TEST_EXAMPLES", "METIER_TEST_POSTGRES"}

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class IndexingSettings(BaseSettings):
    """All that the indexing package can be told. Units are in the names; every default works offline."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, toml_file="metier.toml", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Field(Path(".metier"), description="Folder of the catalog (SQLite) and of the index cache.")
    database_url: SecretStr | None = Field(
        None, description="Catalog, as postgresql+psycopg://user:password@host/name; SQLite in data_dir when unset."
    )
    embed_model: str = Field(
        "minilm", description="Embedding model: minilm (packaged), a local directory, or a hub name."
    )
    embed_revision: str | None = Field(None, description="Revision of a hub model; a commit hash is best.")
    embed_query_prefix: str = Field("", description='Put before each question, for models that need it ("query: ").')
    embed_passage_prefix: str = Field("", description='Put before each passage ("passage: ").')
    embed_precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto takes bf16 where the CPU has it in hardware (AMX, AVX512-BF16)."
    )
    threads: PositiveInt | None = Field(None, description="Threads for models; the physical cores when unset.")
    chunk_tokens: Annotated[int, Field(ge=32, le=8192)] = Field(
        200, description="Most tokens in a chunk, context included; never more than the embedding model reads."
    )
    parse_workers: PositiveInt = Field(2, description="Parser processes.")
    parse_timeout_s: PositiveFloat = Field(120, description="Longest time for one file; its parser is killed then.")
    parse_memory_mb: Annotated[int, Field(ge=512)] = Field(2048, description="Most memory of one parser process.")
    parse_output_mb: PositiveInt = Field(50, description="Most text from one file.")
    ocr_languages: str = Field("eng+fra", description="Languages given to tesseract for scans.")
    max_file_mb: PositiveInt = Field(200, description="Larger files become a failure row.")
    outbound_allow: tuple[str, ...] = Field(
        (), description='Networks, hosts and places besides public ones that sources may reach: ["10.0.0.0/8"].'
    )
    shrink_limit: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="A listing that lost more than this share of a source's documents deletes nothing."
    )
    tail_rows: PositiveInt = Field(20_000, description="Changed chunks after which a new generation is built.")
    generations_kept: PositiveInt = Field(3, description="Generations kept in the cache, the newest included.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, that over files of secrets, those over metier.toml. No .env is read."""
        return init_settings, env_settings, file_secret_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("outbound_allow")
    @classmethod
    def _can_be_allowed(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        parse_allowed(entries)
        return entries

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the catalog, password included: never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'catalog.db'}"

    @property
    def secret_folders(self) -> tuple[Path, ...]:
        """The folders of the secrets of sources: ``indexing/secrets.py``."""
        given = os.environ.get(SECRETS_DIR)
        return (self.data_dir / "secrets", *([Path(given)] if given else []))

    @property
    def cache_dir(self) -> Path:
        """The folder of index generations: may be deleted at any time."""
        return self.data_dir / "cache"

    @property
    def incoming_dir(self) -> Path:
        """The folder of what is being taken in; made if it is not there."""
        folder = self.data_dir / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Return the settings of this process.

        Raises SettingsError that names each unknown or unparsable setting and where it was found.
        """
        folder = os.environ.get(SECRETS_DIR) or None
        cls._refuse_unknown(os.environ, "the environment")
        try:
            if folder is not None:
                cls._refuse_unknown((file.name for file in Path(folder).iterdir()), folder)
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # a file of a secret that cannot be read, for one
                return cls(_secrets_dir=folder, **overrides)
        except UnreadableSetting as exc:
            raise SettingsError(f"A file of {SECRETS_DIR} cannot be used: {exc.__cause__ or exc}.") from exc
        except ValidationError as exc:
            problems = "; ".join(
                f"{'.'.join(str(p) for p in e['loc']) or 'settings'}: {e['msg']}" for e in exc.errors()
            )
            raise SettingsError(f"A setting cannot be used: {problems}.") from exc
        except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as exc:
            raise SettingsError(f"metier.toml or a file of {SECRETS_DIR} cannot be read: {exc}.") from exc

    @classmethod
    def _refuse_unknown(cls, names: Iterable[str], where: str) -> None:
        known = {f"{ENV_PREFIX}{name}".upper() for name in cls.model_fields} | NOT_SETTINGS | {SECRETS_DIR}
        if unknown := sorted(k for k in names if k.upper().startswith(ENV_PREFIX) and k.upper() not in known):
            raise SettingsError(f"Unknown setting in {where}: {', '.join(unknown)}.")
