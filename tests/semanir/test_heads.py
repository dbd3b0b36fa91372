"""Padding the head dimension for a kernel changes neither the projections' values nor their gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import semanir
from semanir import layer
from semanir.heads import HeadsToOutput, TokensToHeads, aligned_head_dim
from semanir.ops.attention.backends import BACKENDS, Backend
from semanir.ops.attention.call import AttentionCall, runs_anywhere


@pytest.mark.parametrize(("backend", "expected"), [("triton", 32), ("dense", 30), ("mask", 30)])
def test_aligned_head_dim(backend: str, expected: int) -> None:
    assert aligned_head_dim(30, backend) == expected


@pytest.mark.parametrize(("dtype", "channels"), [(torch.bfloat16, 16), (torch.float32, 8)])
def test_heads_are_padded_for_the_backend_that_runs(
    dtype: torch.dtype, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under autocast to bf16 ``auto`` runs the kernel, which pads; in float32 it runs ``dense``, which does not."""
    seen = []

    def kernel(query: Tensor, key: Tensor, value: Tensor, *others: Tensor) -> Tensor:
        seen.append(("triton", query.shape[-1]))
        return value

    def dense(query: Tensor, key: Tensor, value: Tensor, *others: Tensor) -> Tensor:
        seen.append(("dense", query.shape[-1]))
        return value

    monkeypatch.setitem(BACKENDS, "triton", Backend(kernel, runs_anywhere, alignment=16))
    monkeypatch.setitem(BACKENDS, "dense", Backend(dense))
    # A CPU stands in for the GPU: the choice sees the same type, windows and channels, on another device.
    monkeypatch.setattr(layer, "AttentionCall", partial(on_a_gpu, AttentionCall))
    attention = layer.KeySemanticAttention(semanir.model_config("ushape_tiny"), dim=16, num_heads=2)
    with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
        out = attention(torch.rand(3, 64, 16), torch.ones(3, 64, 2, dtype=torch.int32), (8, 8))
    assert out.shape == (3, 64, 16)
    assert seen == [("triton" if channels == 16 else "dense", channels)]


def on_a_gpu(make: type[AttentionCall], device: torch.device, *values: Any) -> AttentionCall:
    return make(torch.device("cuda"), *values)


def test_padding_does_not_show() -> None:
    torch.manual_seed(0)
    into, out = TokensToHeads(12, 4), HeadsToOutput(12, 4)
    tokens, results = torch.rand(2, 5, 12), []
    for head_dim in (3, 16):
        qkv = into(tokens, head_dim)
        assert qkv.shape == (2, 5, 3, 4, head_dim)
        assert (qkv[..., 3:] == 0).all()
        projected = out(qkv[:, :, 2].transpose(1, 2).sin())
        parameters = [*into.parameters(), *out.parameters()]
        results.append([projected, *torch.autograd.grad(projected.square().sum(), parameters)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_same_as_plain_linear_layers() -> None:
    torch.manual_seed(0)
    into, tokens = TokensToHeads(12, 4), torch.rand(2, 5, 12)
    plain = torch.nn.functional.linear(tokens, into.weight, into.bias)
    torch.testing.assert_close(into(tokens, 3), plain.view(2, 5, 3, 4, 3))
