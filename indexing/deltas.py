"""What a training changed of a model's parameters, on disk: one byte a number, a scale a row, no pickle.

A file of safetensors holds for each parameter that changed either the difference itself (vectors: ``NAME``, fp16), or
the difference in rows of int8 (``NAME:int8``) with one fp16 scale each (``NAME:scale``), or two such matrices whose
product is the difference (``NAME:left:int8`` … ``NAME:right:scale``: LoRA, Hu et al., ICLR 2022).
Row-wise rounding to 8 bits moves no number by more than half of a 127th of its row's largest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_BYTES, _SCALE, _LEFT, _RIGHT = ":int8", ":scale", ":left", ":right"


def read_deltas(path: Path) -> dict[str, Tensor]:
    """Return the difference of each parameter that changed, fp32, by its name.

    Raises OSError when the file cannot be read, and SafetensorError when it is damaged.
    """
    from safetensors.torch import load_file

    stored = load_file(path)
    found = {name: value.float() for name, value in stored.items() if ":" not in name}
    for name in (key.removesuffix(_BYTES) for key in stored if key.endswith(_BYTES)):
        if name.endswith(_LEFT):
            whole = name.removesuffix(_LEFT)
            found[whole] = _matrix(stored, name) @ _matrix(stored, whole + _RIGHT)
        elif not name.endswith(_RIGHT):
            found[name] = _matrix(stored, name)
    return found


def packed(deltas: Mapping[str, Tensor], rank: int | None = None) -> dict[str, Tensor]:
    """Return the tensors to store for *deltas*; matrices as products of *rank*, the best by least squares, if given."""
    import torch

    stored: dict[str, Tensor] = {}
    for name, delta in deltas.items():
        if delta.dim() == 1:
            stored[name] = delta.half()
        elif rank is None or rank >= min(delta.shape):
            stored |= _rows(name, delta)
        else:
            u, s, v = torch.linalg.svd(delta.float(), full_matrices=False)
            root = s[:rank].sqrt()
            stored |= _rows(name + _LEFT, u[:, :rank] * root) | _rows(name + _RIGHT, root[:, None] * v[:rank])
    return stored


def added(parameters: Mapping[str, Tensor], deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all *parameters*, those that *deltas* name changed by them; what only *deltas* name is left out."""
    return {name: value + deltas[name] if name in deltas else value for name, value in parameters.items()}


def _matrix(stored: Mapping[str, Tensor], name: str) -> Tensor:
    return stored[name + _BYTES].float() * stored[name + _SCALE].float()


def _rows(name: str, matrix: Tensor) -> dict[str, Tensor]:
    import torch

    scale = (matrix.abs().amax(1, keepdim=True) / 127).clamp(min=1e-7).half()
    rounded = (matrix / scale.float()).round().clamp(-127, 127).to(torch.int8)
    return {name + _BYTES: rounded.contiguous(), name + _SCALE: scale}
