"""Restoring an image of any size tile by tile, in memory bounded by the tile."""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.network import SemanIR

DEFAULT_TILE = 256  # input pixels: the most that a tile's side is by default
DEFAULT_OVERLAP = 32  # input pixels that neighboring tiles share by default


@torch.no_grad()
def restore_tiled(model: SemanIR, image: Tensor, tile: int, overlap: int, k: int | None = None) -> Tensor:
    """Restore overlapping tiles and blend them.

    image: (C, H, W) or (B, C, H, W) float in [0, 1], on any device; the result stays there. Only one tile at
        a time is on the model's device. tile, overlap: in input pixels; neighboring tiles share at least
        ``overlap`` pixels.
    Tile origins lie on the grid of windows and downsampling (:func:`tile_grid`), so a tile cuts windows where
    the whole image does. Blending weights rise linearly over the overlap and sum to one; sums are in float64,
    so the order of the tiles does not show in float32.

    Returns (C_out, H * upscale, W * upscale), with the batch dimension if given.
    Raises ValueError when overlap is negative or tile - overlap is below the grid (naming it).
    """
    if image.dim() == 3:
        return restore_tiled(model, image[None], tile, overlap, k)[0]
    if image.dim() != 4:
        raise ValueError(f"image must have shape (C, H, W) or (B, C, H, W), got {tuple(image.shape)}")
    batch, _, height, width = image.shape
    upscale = model.config.upscale
    grid = tile_grid(model)
    rows, columns = tile_origins(height, tile, overlap, grid), tile_origins(width, tile, overlap, grid)
    device = next(model.parameters()).device

    total = torch.zeros(
        batch,
        model.config.out_channels,
        height * upscale,
        width * upscale,
        dtype=torch.float64,
        device=image.device,
    )
    row_weights = blending_weights(height, rows, tile, upscale)
    column_weights = blending_weights(width, columns, tile, upscale)
    for y, weights_y in zip(rows, row_weights, strict=True):
        for x, weights_x in zip(columns, column_weights, strict=True):
            restored = model(image[..., y : y + tile, x : x + tile].to(device), k).to(total)
            weights = (weights_y[:, None] * weights_x).to(total)
            area = total[..., y * upscale : (y + tile) * upscale, x * upscale : (x + tile) * upscale]
            area += restored * weights
    return total.to(image.dtype)


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
