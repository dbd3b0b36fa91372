"""MATLAB's ``imresize`` with the bicubic kernel, the convention of super-resolution benchmarks."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

# Output rows per matrix: the weights are banded, so one dense matrix for a large image would be mostly zeros.
_BLOCK = 128


def imresize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize the last two dimensions of a float tensor to (height, width), as MATLAB's ``imresize``.

    Keys' cubic kernel with a = -0.5, widened when shrinking (antialiasing), half-pixel centers, symmetric edges. Linear
    and differentiable; no clipping, so values may leave [0, 1]. Any number of leading dimensions.

    Raises ValueError for an integer tensor, fewer than two dimensions, or a size below 1.
    """
    if x.dim() < 2 or not x.is_floating_point():
        raise ValueError(f"imresize needs a float tensor (..., H, W), got {x.dtype} {tuple(x.shape)}")
    if height < 1 or width < 1 or 0 in x.shape[-2:]:
        raise ValueError(f"imresize needs sizes of at least 1, got {tuple(x.shape[-2:])} -> ({height}, {width})")
    # MATLAB resizes the axis with the smaller scale first.
    if height * x.shape[-1] <= width * x.shape[-2]:
        return _resize_columns(_resize_rows(x, height), width)
    return _resize_rows(_resize_columns(x, width), height)


def _resize_rows(x: Tensor, size: int) -> Tensor:
    if x.shape[-2] == size:
        return x
    parts = [matrix.to(x) @ x[..., first:last, :] for first, last, matrix in _blocks(x.shape[-2], size)]
    return torch.cat(parts, dim=-2) if len(parts) > 1 else parts[0]


def _resize_columns(x: Tensor, size: int) -> Tensor:
    if x.shape[-1] == size:
        return x
    parts = [x[..., first:last] @ matrix.to(x).mT for first, last, matrix in _blocks(x.shape[-1], size)]
    return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]


def _blocks(size: int, new_size: int) -> list[tuple[int, int, Tensor]]:
    # A compiled graph holds the weights as constants; the tracer does not want to see a cache.
    return _make_blocks(size, new_size) if torch.compiler.is_compiling() else _cached_blocks(size, new_size)


@lru_cache(maxsize=64)
def _cached_blocks(size: int, new_size: int) -> list[tuple[int, int, Tensor]]:
    # Outside inference mode: a matrix cached there could not take part in training later.
    with torch.inference_mode(False), torch.no_grad():
        return _make_blocks(size, new_size)


def _make_blocks(size: int, new_size: int) -> list[tuple[int, int, Tensor]]:
    """(first, last, matrix) per block: its output rows = matrix @ input[first:last]; float64, on the CPU."""
    shrink = min(new_size / size, 1)
    support = 4 / shrink
    taps = math.ceil(support) + 2

    def center(row: int) -> float:
        return (row + 0.5) * size / new_size - 0.5

    blocks = []
    for start in range(0, new_size, _BLOCK):
        stop = min(start + _BLOCK, new_size)
        # Input rows that the block reads, with those that a symmetric edge folds back inside.
        low, high = math.floor(center(start) - support / 2), math.floor(center(stop - 1) - support / 2) + taps
        first, last = max(0, min(low, 2 * size - high)), min(size, max(high, -low))
        centers = (torch.arange(start, stop, dtype=torch.float64, device="cpu") + 0.5) * size / new_size - 0.5
        index = torch.floor(centers - support / 2).long()[:, None] + torch.arange(taps, device="cpu")
        weights = _cubic(shrink * (centers[:, None] - index))
        weights = weights / weights.sum(1, keepdim=True)
        # Symmetric edges: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ...
        index = index % (2 * size)
        index = torch.where(index < size, index, 2 * size - 1 - index)
        matrix = torch.zeros(stop - start, last - first, dtype=torch.float64, device="cpu")
        blocks.append((first, last, matrix.scatter_add(1, index - first, weights)))
    return blocks


def _cubic(x: Tensor) -> Tensor:
    """Keys (1981) with a = -0.5."""
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))
