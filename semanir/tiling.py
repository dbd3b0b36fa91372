"""Restoring an image of any size tile by tile, in memory bounded by the tile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from semanir.network import SemanIR
from semanir.parallel import each_in_order, threads_for

DEFAULT_TILE = 256  # input pixels: the most that a tile's side is by default
DEFAULT_OVERLAP = 32  # input pixels that neighboring tiles share by default


def restore_tiled(
    model: SemanIR,
    image: Tensor,
    tile: int,
    overlap: int,
    k: int | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Restore overlapping tiles and blend them. Without gradients.

    image: (C, H, W) or (B, C, H, W) float in [0, 1], on any device; the result stays there. tile, overlap: in input
        pixels; neighboring tiles share at least ``overlap`` pixels.
    progress: called with (tiles done, tiles in all) after each tile, in the caller's thread.
    Tile origins lie on the grid of windows and downsampling (:func:`tile_grid`), so a tile cuts windows where
    the whole image does. Blending weights rise linearly over the overlap and sum to one; tiles are added in the order
    of their origins, so the result does not depend on which was computed first.
    On a GPU one tile at a time is on the device. On a CPU as many tiles are computed at once as PyTorch has threads, at
    most eight: the network's operators on one tile are too small for several threads to share.

    Returns (C_out, H * upscale, W * upscale), with the batch dimension if given.
    Raises ValueError when overlap is negative or tile - overlap is below the grid (naming it).
    """
    if image.dim() == 3:
        return restore_tiled(model, image[None], tile, overlap, k, progress=progress)[0]
    if image.dim() != 4:
        raise ValueError(f"image must have shape (C, H, W) or (B, C, H, W), got {tuple(image.shape)}")
    batch, _, height, width = image.shape
    upscale = model.config.upscale
    grid = tile_grid(model)
    rows, columns = tile_origins(height, tile, overlap, grid), tile_origins(width, tile, overlap, grid)
    row_weights = dict(zip(rows, blending_weights(height, rows, tile, upscale), strict=True))
    column_weights = dict(zip(columns, blending_weights(width, columns, tile, upscale), strict=True))
    device = next(model.parameters()).device
    origins = list(product(sorted(rows), sorted(columns)))

    def restore(origin: tuple[int, int]) -> Tensor:
        y, x = origin
        with torch.no_grad():
            return model(image[..., y : y + tile, x : x + tile].to(device), k)

    total = image.new_zeros(batch, model.config.out_channels, height * upscale, width * upscale)
    threads = threads_for(device, len(origins))
    with torch.no_grad():
        for done, ((y, x), restored) in enumerate(
            zip(origins, each_in_order(restore, origins, threads), strict=True), 1
        ):
            weights = (row_weights[y][:, None] * column_weights[x]).to(total)
            area = total[..., y * upscale : (y + tile) * upscale, x * upscale : (x + tile) * upscale]
            area += restored.to(total) * weights
            if progress is not None:
                progress(done, len(origins))
    return total


def tile_grid(model: SemanIR) -> int:
    """Tile origins are multiples of this: a window of the coarsest level, in input pixels."""
    return model.config.window_size * model.config.size_multiple


def default_tile(model: SemanIR, overlap: int = DEFAULT_OVERLAP) -> int:
    """The side of a tile, input pixels: the largest the model's grid allows up to ``DEFAULT_TILE``, or its least."""
    grid = tile_grid(model)
    return overlap + max(1, (DEFAULT_TILE - overlap) // grid) * grid


def tile_origins(size: int, tile: int, overlap: int, grid: int) -> list[int]:
    """Origins along one axis: multiples of the grid; the last tile ends with the image and may be shorter."""
    step = (tile - overlap) // grid * grid
    if overlap < 0 or step < grid:
        raise ValueError(
            f"tile {tile} with overlap {overlap}: overlap must be at least 0, tile at least {grid} larger "
            f"(the model's window and downsampling grid); use tile >= {max(overlap, 0) + grid}"
        )
    return list(range(0, max(size - (tile - step), 1), step))


def blending_weights(size: int, origins: list[int], tile: int, upscale: int) -> list[Tensor]:
    """Weights (float64) of each tile along one axis at output resolution; they sum to one at every pixel."""
    ramps = torch.zeros(len(origins), size * upscale, dtype=torch.float64)
    spans = [(origin, min(origin + tile, size)) for origin in origins]
    for index, (start, end) in enumerate(spans):
        position = torch.arange(start * upscale, end * upscale, dtype=torch.float64) + 0.5
        weight = torch.ones_like(position)
        if index > 0:
            weight = torch.minimum(weight, (position - start * upscale) / ((spans[index - 1][1] - start) * upscale))
        if index + 1 < len(spans):
            weight = torch.minimum(weight, (end * upscale - position) / ((end - spans[index + 1][0]) * upscale))
        ramps[index, start * upscale : end * upscale] = weight
    ramps /= ramps.sum(0)
    return [ramps[index, start * upscale : end * upscale] for index, (start, end) in enumerate(spans)]
