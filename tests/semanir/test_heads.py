"""Padding the head dimension for a kernel changes neither the projections' values nor their gradients."""

from __future__ import annotations

import pytest
import torch

from semanir.heads import HeadsToOutput, TokensToHeads, aligned_head_dim


@pytest.mark.parametrize(
    ("backend", "device", "expected"),
    [("triton", "cpu", 32), ("auto", "cuda", 32), ("auto", "cpu", 30), ("dense", "cuda", 30), ("mask", "cpu", 30)],
)
def test_aligned_head_dim(backend: str, device: str, expected: int) -> None:
    assert aligned_head_dim(30, backend, torch.device(device)) == expected


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
