from __future__ import annotations

import torch
from safetensors.torch import save_file

from indexing.deltas import added, packed, read_deltas


def test_what_was_packed_is_read_again_within_half_a_step_of_its_row(tmp_path):
    torch.manual_seed(0)
    deltas = {"layer.weight": torch.randn(8, 16), "layer.bias": torch.randn(8)}
    save_file(packed(deltas), tmp_path / "d.safetensors")

    found = read_deltas(tmp_path / "d.safetensors")

    step = deltas["layer.weight"].abs().amax(1, keepdim=True) / 127
    assert (found["layer.weight"] - deltas["layer.weight"]).abs().le(step * 0.6).all()
    assert torch.allclose(found["layer.bias"], deltas["layer.bias"], atol=1e-2)


def test_products_of_full_rank_lose_nothing_but_rounding(tmp_path):
    torch.manual_seed(0)
    low = torch.randn(32, 4) @ torch.randn(4, 32)
    save_file(packed({"w": low}, rank=4), tmp_path / "d.safetensors")

    assert (read_deltas(tmp_path / "d.safetensors")["w"] - low).norm() < 0.03 * low.norm()


def test_one_byte_stands_for_a_number():
    stored = packed({"w": torch.randn(10, 100)})

    assert sum(t.numel() * t.element_size() for t in stored.values()) == 10 * 100 + 10 * 2


def test_only_named_parameters_change():
    before = {"a": torch.ones(2), "b": torch.ones(2)}

    after = added(before, {"a": torch.ones(2), "head": torch.ones(3)})

    assert after.keys() == before.keys()
    assert after["a"].tolist() == [2, 2]
    assert after["b"].tolist() == [1, 1]
    assert before["a"].tolist() == [1, 1]
