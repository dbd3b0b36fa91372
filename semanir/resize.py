"""MATLAB's ``imresize`` with the bicubic kernel, the convention of super-resolution benchmarks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
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
    parts = [torch.from_numpy(weights).to(x) @ x[..., first:last, :] for first, last, weights in blocks]
    return torch.cat(parts, dim=-2) if len(parts) > 1 else parts[0]


def _resize_columns(x: Tensor, size: int) -> Tensor:
    if x.shape[-1] == size:
        return x
    blocks = _weights(x.shape[-1], size)
    parts = [x[..., first:last] @ torch.from_numpy(weights).to(x).mT for first, last, weights in blocks]
    return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]


@lru_cache(maxsize=64)
def _weights(size: int, new_size: int) -> list[tuple[int, int, np.ndarray]]:
    """Blocks (first, last, matrix): output rows of the block = matrix @ input[first:last]; float64."""
    scale = new_size / size
    support = 4 / min(scale, 1)
    taps = int(np.ceil(support)) + 2
    center = (np.arange(new_size) + 0.5) / scale - 0.5
    index = np.floor(center - support / 2).astype(np.int64)[:, None] + np.arange(taps)
    weights = _cubic(min(scale, 1) * (center[:, None] - index))
    weights /= weights.sum(axis=1, keepdims=True)
    # Symmetric edges: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ...
    index = index % (2 * size)
    index = np.where(index < size, index, 2 * size - 1 - index)

    blocks = []
    for start in range(0, new_size, _BLOCK):
        rows, row_weights = index[start : start + _BLOCK], weights[start : start + _BLOCK]
        first, last = int(rows[row_weights != 0].min()), int(rows[row_weights != 0].max()) + 1
        matrix = np.zeros((len(rows), last - first))
        inside = row_weights != 0
        np.add.at(matrix, (np.nonzero(inside)[0], rows[inside] - first), row_weights[inside])
        blocks.append((first, last, matrix))
    return blocks


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys (1981) with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
