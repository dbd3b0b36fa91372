"""Continuous position bias: a small network over relative coordinates (SwinV2, arXiv:2111.09883)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PositionBias(nn.Module):
    """Bias of every (query, key) pair of a window, from their relative position.

    Log-spaced coordinates, Linear 2 -> hidden, ReLU, Linear hidden -> heads, then 16 * sigmoid (SwinV2's
    official code, also used by GRL). The parameters do not depend on the window. Coordinates are normalized
    by the configured ``window_size``, not by the window at hand, so an offset means the same in a window
    clamped to a small image.
    """

    def __init__(self, num_heads: int, window_size: int, hidden_dim: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.mlp = nn.Sequential(
            nn.Linear(2, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, num_heads, bias=False)
        )

    def table(self, window: tuple[int, int]) -> Tensor:
        """Bias by offset, (heads, 2h - 1, 2w - 1).

        Entry [h - 1 + dy, w - 1 + dx] serves the pairs whose query lies (dy, dx) from its key.
        """
        height, width = window
        weight = next(self.mlp.parameters())
        dy = torch.arange(1 - height, height, device=weight.device, dtype=torch.float32)
        dx = torch.arange(1 - width, width, device=weight.device, dtype=torch.float32)
        coordinates = log_spaced(torch.stack(torch.meshgrid(dy, dx, indexing="ij"), dim=-1), self.window_size)
        return 16 * torch.sigmoid(self.mlp(coordinates.to(weight.dtype))).permute(2, 0, 1)

    def forward(self, window: tuple[int, int]) -> Tensor:
        """(heads, N, N) for a window of h x w tokens, N = h * w, row-major; [head, query, key]."""
        return expand_bias(self.table(window), window)


def log_spaced(offsets: Tensor, window_size: int) -> Tensor:
    """SwinV2's coordinates of offsets in tokens: sign(x) log2(|x| + 1) / log2(8), x = 8 offset / (window_size - 1)."""
    x = offsets * (8 / max(window_size - 1, 1))
    return x.sign() * torch.log2(x.abs() + 1) / math.log2(8)


def expand_bias(table: Tensor, window: tuple[int, int]) -> Tensor:
    """(heads, 2h - 1, 2w - 1) by offset -> (heads, N, N) by pair: a view turned into one copy.

    Sliding windows over the flipped table, so the backward pass is a sum in fixed order (no atomics on a GPU).
    """
    height, width = window
    pairs = table.flip(1, 2).unfold(1, height, 1).unfold(2, width, 1)
    return pairs.flip(1, 2).reshape(table.shape[0], height * width, height * width)
