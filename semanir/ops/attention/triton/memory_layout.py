"""How the kernels' results lie in memory: stated apart, for the launcher and for the operator's shape function."""

from __future__ import annotations

from torch import Tensor


def empty_like_output(tokens: Tensor) -> Tensor:
    """Uninitialized (M, H, N, D) that lies in memory as (M, N, H, D), the order that the layer projects in."""
    windows, heads, num_tokens, dim = tokens.shape
    return tokens.new_empty(windows, num_tokens, heads, dim).transpose(1, 2)
