"""The projections into and out of attention heads, with the head dimension padded where a GPU kernel wants it.

Published head dimensions are 30: rows of 60 bytes, which a GPU cannot load 16 bytes at a time. Zero rows and columns
are added to the weights at run time, so parameters and results do not change.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from semanir.ops.attention.backends import BACKENDS
from semanir.ops.linear import linear


def aligned_head_dim(head_dim: int, backend: str) -> int:
    """Head dimension that a backend of the table computes with; never ``auto``, which may mean one that pads or not."""
    alignment = BACKENDS[backend].alignment
    return -(-head_dim // alignment) * alignment


class TokensToHeads(nn.Linear):
    """(M, N, C) -> (M, N, 3, H, head_dim): queries, keys and values; channels beyond C / H are zero."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, 3 * dim)
        self.num_heads = num_heads

    def forward(self, windows: Tensor, head_dim: int) -> Tensor:  # type: ignore[override]
        weight = self.weight.unflatten(0, (3, self.num_heads, -1))
        bias = self.bias.unflatten(0, (3, self.num_heads, -1))
        extra = head_dim - weight.shape[2]
        if extra:
            weight, bias = F.pad(weight, (0, 0, 0, extra)), F.pad(bias, (0, extra))
        qkv = linear(windows, weight.flatten(0, 2), bias.flatten())
        return qkv.unflatten(-1, (3, self.num_heads, head_dim))


class HeadsToOutput(nn.Linear):
    """(M, H, N, head_dim) -> (M, N, C); channels of a head beyond C / H are ignored."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, dim)
        self.num_heads = num_heads

    def forward(self, heads: Tensor) -> Tensor:
        weight = self.weight.unflatten(1, (self.num_heads, -1))
        extra = heads.shape[-1] - weight.shape[2]
        if extra:
            weight = F.pad(weight, (0, extra))
        return linear(heads.transpose(1, 2).flatten(2), weight.flatten(1), self.bias)
