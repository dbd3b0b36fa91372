"""Inputs of attention that the tests of all backends share, and how results are compared."""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.ops import key_semantic_attention, key_semantic_dictionary

NAMES = ("out", "query", "key", "value", "scale", "bias")
CASES = {
    # windows, heads, tokens, head_dim, k
    "n64": (3, 2, 64, 16, 16),
    "n144_odd_dim": (1, 2, 144, 15, 40),
    "n33_not_word": (2, 1, 33, 7, 9),
    "k1": (2, 2, 20, 8, 1),
    "k_all": (2, 2, 20, 8, 20),
    "one_token": (3, 2, 1, 4, 1),
    "n256": (1, 2, 256, 30, 64),
}


def make_inputs(case: str, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    """(query, key, value, scale, bias), all leaves, and a dictionary."""
    windows, heads, tokens, head_dim, k = CASES[case]
    generator = torch.Generator().manual_seed(len(case))
    # As in the layer: one projection, viewed with heads before tokens.
    qkv = torch.randn(windows, tokens, 3, heads, head_dim, generator=generator, dtype=dtype)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    scale = torch.rand(heads, generator=generator, dtype=dtype) * 30 + 5
    bias = torch.rand(heads, tokens, tokens, generator=generator, dtype=dtype) * 16
    regions = torch.arange(tokens)[None] // max(1, 2 * tokens // 3)  # the second region is smaller than some k
    # Few levels: many tokens tie, and are equally similar.
    features = torch.randint(-2, 3, (windows, tokens, 6), generator=generator).float()
    dictionary = key_semantic_dictionary(features, k, regions if tokens > 30 else None)
    return [t.detach().requires_grad_() for t in (query, key, value, scale, bias)], dictionary


def run(backend: str, inputs: list[Tensor], dictionary: Tensor) -> list[Tensor]:
    """The output and the gradient of every input."""
    query, key, value, scale, bias = inputs
    out = key_semantic_attention(query, key, value, dictionary, scale=scale, bias=bias, backend=backend)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(out)
    return [out.detach(), *torch.autograd.grad(out, inputs, grad)]


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """Relative error of every tensor; absolute where the reference is zero. NaN fails."""
    for name, a, b in zip(NAMES, found, expected, strict=True):
        error, norm = (a.double() - b.double()).norm(), b.double().norm()
        # With one key per row the softmax is constant: gradients of query, key, scale and bias are zero.
        if norm < 1e-6 * max(b.numel(), 1) ** 0.5:
            assert a.abs().max() <= 1e-6, name
        else:
            assert error / norm <= tolerance, f"{name}: relative error {error / norm:.2e}"


def assert_no_worse(found: list[Tensor], low_precision: list[Tensor], exact: list[Tensor]) -> None:
    """Error against ``exact`` at most twice that of a reference computed in the same low precision."""
    for name, a, reference, truth in zip(NAMES, found, low_precision, exact, strict=True):
        error, allowed = ((t.float() - truth).norm() / truth.norm() for t in (a, reference))
        assert error <= 2 * allowed + 1e-6, f"{name}: {error:.2e}, reference {allowed:.2e}"
