"""Where in a passage the answer to a question stands: a small extractive model over the packaged MiniLM.

The model is BERT's for SQuAD 2.0 (Devlin et al., NAACL 2019): each token is scored as the first and as the last of an
answer, and [CLS] as "no answer here". Only what the training changed comes with the program
(``app/weights/reader.safetensors``; its card says on what data, with what scores); it is added to the packaged weights.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from indexing import french
from indexing.embed import clean, computing
from indexing.errors import ModelUnusable
from indexing.packaged import packaged_model
from indexing.threads import bound_torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

WEIGHTS = Path(__file__).parent / "weights" / "reader.safetensors"
#: As in the training: benchmarks/training/train_reader.py.
MAX_TOKENS, QUESTION_TOKENS, TITLE_TOKENS = 288, 48, 24
OVERLAP_TOKENS = 64  # of two windows over a passage that is too long for one
LONGEST_ANSWER = 40  # tokens
_CLS, _SEP = 101, 102


@dataclass(frozen=True, slots=True)
class Text:
    """A passage as it is read: *before* (title and headings) helps to understand *text*, and holds no answer."""

    text: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of a passage, and by how much they beat "no answer" (a difference of logits; above 0: it does)."""

    start: int
    end: int
    margin: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read in one passage: for each of its n tokens, how much it is the first, and the last, of an answer.

    ``starts`` and ``ends``, float32 (n,), are logits less the half of those of "no answer" that belongs to them.
    """

    offsets: tuple[tuple[int, int], ...]  # characters of the passage's text
    starts: npt.NDArray[np.float32]
    ends: npt.NDArray[np.float32]

    def best(self, start: int, end: int) -> Span | None:
        """Return the best span within the characters [start, end); None when no token stands there."""
        inside = [i for i, (a, b) in enumerate(self.offsets) if a >= start and b <= end and b > a]
        if not inside:
            return None
        first, stop = inside[0], inside[-1] + 1
        sums = self.starts[first:stop, None] + self.ends[None, first:stop]
        rows, columns = np.indices(sums.shape)
        length = columns - rows  # one less than the span's number of tokens
        sums = np.where((length >= 0) & (length < LONGEST_ANSWER), sums, -np.inf)
        i, j = np.unravel_index(int(sums.argmax()), sums.shape)
        return Span(self.offsets[first + i][0], self.offsets[first + j][1], float(sums[i, j]))


class SpanReader(Protocol):
    """Reads passages for the answer to a question."""

    def read(self, question: str, passages: Sequence[Text]) -> list[Reading]:
        """Return one Reading for each passage, in order. Raises ModelUnusable when the model cannot be loaded."""


class TrainedReader:
    """The model that comes with the program, loaded with the first question. Thread-safe."""

    def __init__(self, *, precision: str = "auto", threads: int | None = None, weights: Path = WEIGHTS) -> None:
        """Load nothing yet. *precision* is fp32, bf16, or auto: bf16 where the hardware has it."""
        self._precision, self._threads, self._weights = precision, threads, weights
        self._lock = threading.Lock()
        self._model: Any = None
        self._tokenizer: Any = None
        self._head: Any = None

    def read(self, question: str, passages: Sequence[Text]) -> list[Reading]:
        """Return one Reading for each passage, in order; a passage without any token has an empty one."""
        if not passages:
            return []
        model, tokenizer = self._loaded()
        asked = tokenizer.encode(clean(question), add_special_tokens=False).ids[:QUESTION_TOKENS]
        windows = [w for n, each in enumerate(passages) for w in _windows(tokenizer, asked, each, n)]
        logits = self._forward(model, windows)
        return [
            _merged([(w, rows) for w, rows in zip(windows, logits, strict=True) if w.passage == n])
            for n in range(len(passages))
        ]

    def _forward(self, model: Any, windows: Sequence[_Window]) -> list[npt.NDArray[np.float32]]:
        """Return for each window the logits of its tokens, float32 (tokens, 2), all windows in one batch."""
        import torch

        bound_torch(self._threads)
        longest = max(len(w.ids) for w in windows)
        ids = torch.zeros(len(windows), longest, dtype=torch.int64)
        mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, w in enumerate(windows):
            ids[row, : len(w.ids)] = torch.tensor(w.ids)
            mask[row, : len(w.ids)] = 1
            types[row, w.second : len(w.ids)] = 1
        with torch.inference_mode(), computing(self._precision, "cpu"):
            states = model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        weight, bias = self._head
        with torch.inference_mode():
            logits = (states.float() @ weight.T + bias).numpy()
        return [logits[row, : len(w.ids)] for row, w in enumerate(windows)]

    def _loaded(self) -> tuple[Any, Any]:
        with self._lock:
            if self._model is None:
                directory = packaged_model().directory
                self._tokenizer = french.tokenizer_of(directory)
                self._model, self._head = _load(directory, self._weights)
            return self._model, self._tokenizer


@dataclass(frozen=True, slots=True)
class _Window:
    passage: int
    ids: list[int]
    second: int  # where the second segment, title and passage, begins
    begin: int  # where the passage begins
    offsets: list[tuple[int, int]]  # of the passage's tokens


def _windows(tokenizer: Any, asked: list[int], passage: Text, number: int) -> list[_Window]:
    """Return the passage as one model input, or as several that overlap."""
    title = (
        tokenizer.encode(clean(passage.before), add_special_tokens=False).ids[:TITLE_TOKENS] if passage.before else []
    )
    encoded = tokenizer.encode(clean(passage.text), add_special_tokens=False)
    second = len(asked) + 2
    begin = second + len(title)
    room = MAX_TOKENS - begin - 1
    found = []
    for first in range(0, max(1, len(encoded.ids) - OVERLAP_TOKENS), room - OVERLAP_TOKENS):
        ids = encoded.ids[first : first + room]
        offsets = encoded.offsets[first : first + room]
        found.append(_Window(number, [_CLS, *asked, _SEP, *title, *ids, _SEP], second, begin, offsets))
    return found


def _merged(windows: Sequence[tuple[_Window, npt.NDArray[np.float32]]]) -> Reading:
    """Return the windows of one passage as one: of a token that two windows hold, the higher logits."""
    best: dict[tuple[int, int], tuple[float, float]] = {}
    for window, logits in windows:
        none = logits[0].sum() / 2
        for offset, (start, end) in zip(window.offsets, logits[window.begin : -1] - none, strict=True):
            old = best.get(offset, (-np.inf, -np.inf))
            best[offset] = (max(old[0], float(start)), max(old[1], float(end)))
    order = sorted(best)
    values = np.asarray([best[offset] for offset in order], dtype=np.float32).reshape(-1, 2)
    return Reading(tuple(order), values[:, 0], values[:, 1])


def _load(directory: Path, weights: Path) -> tuple[Any, Any]:
    """Return the encoder in transformers, and weight and bias of the head. Raises ModelUnusable."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    from indexing.deltas import added, read_deltas

    try:
        deltas = read_deltas(weights)
    except (OSError, SafetensorError) as exc:
        raise ModelUnusable(
            f"The reader's weights cannot be read: {weights}: {exc}.", remedy="Install Métier again."
        ) from exc
    original = load_file(directory / "model.safetensors")
    parameters = added(french.taught(original), deltas)
    config = BertConfig.from_pretrained(directory, vocab_size=len(parameters[french.EMBEDDINGS]))
    model = BertModel(config, add_pooling_layer=False)
    missing, _ = model.load_state_dict(parameters, strict=False)  # the packaged pooler is not used
    if missing:
        raise ModelUnusable(f"The packaged weights lack {missing[0]}.", remedy="Install Métier again.")
    model.eval()  # type: ignore[no-untyped-call]
    return model, (deltas["span.weight"], deltas["span.bias"])
