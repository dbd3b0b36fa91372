"""MATLAB's ``imresize`` with the bicubic kernel, the convention of super-resolution benchmarks."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

# Output rows per matrix: the weights are banded, so one dense matrix for a large image would be mostly zeros.
_BLOCK = 128


def imresize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize the last two dimensions (H, W) of a float tensor to (height, width), as MATLAB's ``imresize`` does.

    Keys' cubic kernel with a = -0.5, widened when shrinking (antialiasing), half-pixel centers, symmetric edges.
    Linear and differentiable; no clipping, so values may leave [0, 1]. Any number of leading dimensions.

    Raises ValueError for an integer tensor, fewer than two dimensions, or a size below 1.
    """
    if x.dim() < 2 or not x.is_floating_point():
        raise ValueError(f"imresize needs a float tensor (..., H, W), got {x.dtype} {tuple(x.shape)}")
    if height < 1 or width < 1 or 0 in x.shape[-2:]:
        raise ValueError(
            f"imresize needs sizes of at least 1, got {tuple(x.shape[-2:])} -> ({height}, {width})"
        )
    # MATLAB resizes the axis with the smaller scale first.
    if height * x.shape[-1] <= width * x.shape[-2]:
        return _resize_columns(_resize_rows(x, height), width)
    return _resize_rows(_resize_columns(x, width), height)


def _resize_rows(x: Tensor, size: int) -> Tensor:
    if x.shape[-2] == size:
        return x
    blocks = _weights(x.shape[-2], size)
    parts = [weights.to(x) @ x[..., first:last, :] for first, last, weights in blocks]
    return torch.cat(parts, dim=-2) if len(parts) > 1 else parts[0]


def _resize_columns(x: Tensor, size: int) -> Tensor:
    if x.shape[-1] == size:
        return x
    blocks = _weights(x.shape[-1], size)
    parts = [x[..., first:last] @ weights.to(x).mT for first, last, weights in blocks]
    return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]


@lru_cache(maxsize=64)
def _weights(size: int, new_size: int) -> list[tuple[int, int, Tensor]]:
    """Blocks (first, last, matrix): output rows of the block = matrix @ input[first:last]; float64."""
    scale = new_size / size
    support = 4 / min(scale, 1)
    taps = math.ceil(support) + 2
    # Not in inference mode, or a matrix cached there could not take part in training later.
    with torch.inference_mode(False), torch.no_grad():
        center = (torch.arange(new_size, dtype=torch.float64) + 0.5) / scale - 0.5
        index = torch.floor(center - support / 2).long()[:, None] + torch.arange(taps)
        weights = _cubic(min(scale, 1) * (center[:, None] - index))
        weights = weights / weights.sum(1, keepdim=True)
        # Symmetric edges: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ...
        index = index % (2 * size)
        index = torch.where(index < size, index, 2 * size - 1 - index)

        blocks = []
        for rows, row_weights in zip(index.split(_BLOCK), weights.split(_BLOCK), strict=True):
            used = rows[row_weights != 0]
            first, last = int(used.min()), int(used.max()) + 1
            matrix = torch.zeros(len(rows), last - first, dtype=torch.float64)
            # Taps of zero weight may lie outside; their clamped index adds nothing.
            matrix.scatter_add_(1, (rows - first).clamp(0, last - first - 1), row_weights)
            blocks.append((first, last, matrix))
    return blocks


def _cubic(x: Tensor) -> Tensor:
    """Keys (1981) with a = -0.5."""
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))
