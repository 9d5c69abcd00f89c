"""Text to vectors: the ``Embedder`` protocol, and the one that sentence-transformers loads.

Tokens are counted with the ``tokenizers`` library alone, so that chunking and starting do not wait for torch.
Batches are sorted by length under a budget of tokens, and run in bfloat16 where the CPU has it in hardware: the
weights stay fp32 and the vectors are normalised in fp32, so that each keeps a cosine of 0.999 or more to fp32's.
"""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from indexing import french
from indexing.errors import EmbedError, ModelUnusable
from indexing.packaged import ModelFiles, find_model
from indexing.threads import cores, single_torch_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    import numpy.typing as npt

    from indexing.settings import IndexingSettings

_DESCRIPTIONS = ("modules.json", "config.json", "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json")
_SPECIAL_TOKENS = 2  # room for what the tokenizer puts around a text
_TINY = 1e-12

#: Tokens in one batch, padding included.
_BATCH_TOKENS = 4096


class Embedder(Protocol):
    """Gives a vector for a text. Rows are L2-normalised, so that an inner product is a cosine."""

    @property
    def fingerprint(self) -> str:
        """Name of what makes the vectors, at most 64 characters: other vectors, other fingerprint."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Most tokens of a passage that the model reads; its prefix and special tokens are not counted."""

    def embed_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each text, float32 (n, dimension); n may be 0."""

    def embed_questions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one row for each question, float32 (n, dimension); n may be 0."""

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character spans of the text's tokens, in order, special tokens left out."""


def load_embedder(settings: IndexingSettings) -> SentenceEmbedder:
    """Return the embedder that the settings name: its files are checked now, its weights are loaded when first used.

    Raises ModelUnusable, which names the setting, when there are no such weights or they are not safe to load.
    """
    return SentenceEmbedder(find_model(settings), settings)


class SentenceEmbedder:
    """An embedding model of sentence-transformers. Thread-safe: batches run in parallel, one thread each.

    Questions have a thread of their own, so that they do not wait behind the passages of a synchronisation.
    """

    def __init__(self, files: ModelFiles, settings: IndexingSettings) -> None:
        """Take the checked *files*; nothing is loaded yet but the tokenizer, when it is first needed."""
        self._files = files
        self._precision = settings.embed_precision
        self._query_prefix = settings.embed_query_prefix
        self._passage_prefix = settings.embed_passage_prefix
        self._lock = threading.Lock()
        workers = settings.threads or cores()
        self._workers = ThreadPoolExecutor(workers, "embed")
        self._for_questions = ThreadPoolExecutor(1, "embed-question")
        self._model: Any = None
        self._tokenizer: Any = None
        self.fingerprint = _fingerprint(files, settings)
        self.dimension = files.dimension
        prefix = len(self.token_spans(self._passage_prefix)) if self._passage_prefix else 0
        self.max_tokens = max(1, files.max_tokens - _SPECIAL_TOKENS - prefix)

    def embed_passages(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one L2-normalised row for each text, float32 (n, dimension). Raises EmbedError, ModelUnusable."""
        return self._embed([self._passage_prefix + clean(text) for text in texts], self._workers)

    def embed_questions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one L2-normalised row for each question, float32 (n, dimension). Raises as embed_passages does."""
        return self._embed([self._query_prefix + clean(text) for text in texts], self._for_questions)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character spans of the text's tokens, in order, special tokens left out."""
        offsets: list[tuple[int, int]] = self._encoder().encode(clean(text), add_special_tokens=False).offsets
        return offsets

    def _encoder(self) -> Any:
        if self._tokenizer is None:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(self._files.directory / "tokenizer.json"))
            tokenizer.no_truncation()  # files often carry the settings of the training
            tokenizer.no_padding()
            if self._files.knows_french:
                french.lengthen(tokenizer)
            self._tokenizer = tokenizer
        return self._tokenizer

    def _embed(self, texts: list[str], workers: Executor) -> npt.NDArray[np.float32]:
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return rows
        lengths = [len(self._encoder().encode(text).ids) for text in texts]
        lengths = [min(length, self._files.max_tokens) for length in lengths]
        model = self._loaded()
        planned = list(batches(lengths, _BATCH_TOKENS))
        given = workers.map(lambda batch: self._forward(model, [texts[i] for i in batch]), planned)
        for batch, vectors in zip(planned, given, strict=True):
            rows[batch] = vectors
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            raise EmbedError("The embedding model gave vectors that are not numbers.")
        normalised: npt.NDArray[np.float32] = rows / np.maximum(norms, _TINY)
        return normalised

    def _forward(self, model: Any, texts: list[str]) -> npt.NDArray[np.float32]:
        import torch
        from sentence_transformers.util import batch_to_device

        single_torch_thread()
        try:
            with torch.inference_mode(), computing(self._precision, model.device.type):
                features = batch_to_device(model.preprocess(texts), model.device)
                vectors = model(features)["sentence_embedding"]
        except (RuntimeError, ValueError, IndexError) as exc:
            raise EmbedError(f"The embedding model failed on a batch of {len(texts)} texts: {exc}.") from exc
        array: npt.NDArray[np.float32] = vectors.float().cpu().numpy()
        if array.shape[1] != self.dimension:
            raise ModelUnusable(f"The embedding model says {self.dimension} dimensions and gives {array.shape[1]}.")
        return array

    def _loaded(self) -> Any:
        """Return the model, loaded by the first call."""
        with self._lock:
            if self._model is None:
                self._model = _load(self._files)
            return self._model


def _load(files: ModelFiles) -> Any:
    """Return the model of the checked *files*. Raises ModelUnusable."""
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(
            str(files.directory),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": "float32"},
        )
        if files.knows_french:
            french.teach(model[0].model, model.tokenizer)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as exc:
        raise ModelUnusable(f"METIER_EMBED_MODEL: {files.directory} cannot be loaded: {exc}.") from exc
    return model.eval()


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield the numbers of the texts of each batch, longest first, each number once.

    A batch times its longest text is at most *budget* tokens, padding included; a text above it has one alone.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batch: list[int] = []
    for i in order:
        if batch and lengths[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def computing(precision: str, device: str) -> AbstractContextManager[Any]:
    """Return the context in which a model computes: in bfloat16 as *precision* says, or where the hardware has it."""
    import torch

    return torch.autocast(device, torch.bfloat16) if _use_bf16(precision, device) else nullcontext()


def _use_bf16(precision: str, device: str) -> bool:
    """Say whether to compute in bfloat16: as the setting says, or where the hardware has it."""
    import torch

    if precision != "auto":
        return precision == "bf16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # No public function tells; without the hardware bf16 is emulated and slower than fp32.
    known = (torch.cpu._is_avx512_bf16_supported(), torch.cpu._is_amx_tile_supported())  # noqa: SLF001
    return device == "cpu" and any(known)


def _fingerprint(files: ModelFiles, settings: IndexingSettings) -> str:
    """Return the name of the vectors: weights, tokenizer, pooling, length, prefixes, normalisation.

    Precision is left out on purpose: bf16 and fp32 vectors agree to 0.999, and hosts of one catalog may differ.
    """
    digest = hashlib.sha256()
    parts = [files.identity, str(files.dimension), str(files.max_tokens), "l2"]
    parts += [settings.embed_query_prefix, settings.embed_passage_prefix]
    modules = sorted(str(path.relative_to(files.directory)) for path in files.directory.glob("*/config.json"))
    for name in (*_DESCRIPTIONS, *modules):
        path = files.directory / name
        parts.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    name = "".join(c if c.isalnum() or c in "-." else "-" for c in settings.embed_model.rstrip("/").split("/")[-1])
    return f"{name[:31]}-{digest.hexdigest()[:32]}"


def clean(text: str) -> str:
    """Return the text with each lone surrogate replaced by "?": no tokenizer takes one. Positions are kept."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
