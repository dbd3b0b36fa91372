"""Restoring an image of any size tile by tile, in memory bounded by the tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from semanir.config import ModelConfig
from semanir.network import SemanIR
from semanir.parallel import each_in_order, threads_for
from semanir.reuse import Dictionaries

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
    dictionaries: Dictionaries | None = None,
) -> Tensor:
    """Restore overlapping tiles and blend them. Without gradients.

    image: (C, H, W) or (B, C, H, W) float in [0, 1], on any device; the result stays there. tile, overlap: in input
        pixels; neighboring tiles share at least ``overlap`` pixels.
    k: keys that each token keeps; None: the model's own.
    progress: called with (tiles done, tiles in all) after each tile, in the caller's thread.
    dictionaries: those of each tile are kept there for the next call; None: every call builds its own.
    Tile origins lie on the grid of windows and downsampling (:func:`tile_grid`), so a tile cuts windows where
    the whole image does. Blending weights rise linearly over the overlap and sum to one; tiles are added in the order
    of their origins, so the result does not depend on which was computed first.
    On a GPU one tile at a time is on the device. On a CPU as many tiles are computed at once as PyTorch has threads, at
    most eight: the network's operators on one tile are too small for several threads to share.

    Returns (C_out, H * upscale, W * upscale), with the batch dimension if given.
    Raises ValueError for an image of another shape, channels or type than the model takes, for a tile or overlap that
    :func:`check_tile` refuses, and for k outside 1..window_size**2.
    """
    if image.dim() == 3:
        return restore_tiled(model, image[None], tile, overlap, k, progress=progress, dictionaries=dictionaries)[0]
    if image.dim() != 4:
        raise ValueError(f"image must have shape (C, H, W) or (B, C, H, W), got {tuple(image.shape)}")
    batch, _, height, width = image.shape
    canvas = Canvas(ModelShape.of(model), (batch, height, width), tile, overlap, like=image)
    device = next(model.parameters()).device

    def restore(origin: tuple[int, int]) -> Tensor:
        y, x = origin
        with torch.no_grad():
            part = image[..., y : y + tile, x : x + tile].to(device)
            return model(part, k) if dictionaries is None else model(part, k, dictionaries.of_tile(origin))

    origins = canvas.origins
    with torch.no_grad():
        restored = each_in_order(restore, origins, threads_for(device, len(origins)))
        for done, (origin, part) in enumerate(zip(origins, restored, strict=True), 1):
            canvas.add(origin, part)
            if progress is not None:
                progress(done, len(origins))
    return canvas.total


@dataclass(frozen=True)
class ModelShape:
    """What tiling must know of a model: tile origins are multiples of ``grid``; ``channels`` come out."""

    grid: int
    upscale: int
    channels: int

    @classmethod
    def of(cls, model: SemanIR) -> ModelShape:
        """The model's own."""
        return cls(tile_grid(model), model.config.upscale, model.config.out_channels)


class Canvas:
    """Where the restored tiles of an image, or of a batch of one size, are blended.

    Attributes:
        origins: (y, x) of each tile in input pixels, row by row.
        total: what was added, (B, channels, H * upscale, W * upscale), in the type and on the device of ``like``.
    """

    def __init__(
        self, shape: ModelShape, size: tuple[int, int, int], tile: int, overlap: int, *, like: Tensor | None = None
    ) -> None:
        """``size``: (batch, height, width) of the input; ``like``: float32 on the CPU by default."""
        batch, height, width = size
        self._upscale = shape.upscale
        rows, columns = (tile_origins(side, tile, overlap, shape.grid) for side in (height, width))
        self.origins = list(product(sorted(rows), sorted(columns)))
        like = torch.empty(0) if like is None else like
        self.total = like.new_zeros(batch, shape.channels, height * shape.upscale, width * shape.upscale)
        self._rows = dict(zip(rows, blending_weights(height, rows, tile, shape.upscale), strict=True))
        self._columns = dict(zip(columns, blending_weights(width, columns, tile, shape.upscale), strict=True))

    def add(self, origin: tuple[int, int], restored: Tensor) -> None:
        """Add the restored tile (B, channels, h * upscale, w * upscale), or without B, that begins at ``origin``."""
        y, x = origin
        height, width = restored.shape[-2:]
        weights = (self._rows[y][:, None] * self._columns[x]).to(self.total)
        area = self.total[..., y * self._upscale :, x * self._upscale :][..., :height, :width]
        area += restored.to(self.total) * weights


def tile_grid(model: SemanIR) -> int:
    """Tile origins are multiples of this: a window of the coarsest level, in input pixels."""
    return config_grid(model.config)


def config_grid(config: ModelConfig) -> int:
    """:func:`tile_grid` of a model that is only described."""
    return config.window_size * config.size_multiple


def default_tile(model: SemanIR, overlap: int = DEFAULT_OVERLAP) -> int:
    """The side of a tile, input pixels: the largest the model's grid allows up to ``DEFAULT_TILE``, or its least."""
    grid = tile_grid(model)
    return overlap + max(1, (DEFAULT_TILE - overlap) // grid) * grid


def check_tile(tile: int, overlap: int, grid: int) -> None:
    """Raises ValueError unless overlap >= 0 and tile >= overlap + grid, all in input pixels (``grid``: tile_grid)."""
    if overlap < 0:
        raise ValueError(f"overlap {overlap} is negative: neighboring tiles share 0 pixels or more")
    if tile - overlap < grid:
        raise ValueError(
            f"tile {tile} with overlap {overlap}: this model takes tiles of at least {overlap + grid} pixels "
            f"(its grid of {grid}, plus the overlap)"
        )


def tile_origins(size: int, tile: int, overlap: int, grid: int) -> list[int]:
    """Origins along one axis: multiples of the grid; the last tile ends with the image and may be shorter.

    Raises ValueError as :func:`check_tile`.
    """
    check_tile(tile, overlap, grid)
    step = (tile - overlap) // grid * grid
    return list(range(0, max(size - (tile - step), 1), step))


def blending_weights(size: int, origins: list[int], tile: int, upscale: int) -> list[Tensor]:
    """Weights (float64) of each tile along one axis at output resolution; they sum to one at every pixel."""
    spans = [(origin, min(origin + tile, size)) for origin in origins]
    # The sum is kept along the axis and each tile's weights over the tile alone: a row per tile as long as the axis
    # would grow with the square of the image's side.
    total = torch.zeros(size * upscale, dtype=torch.float64)
    weights = []
    for index, (start, end) in enumerate(spans):
        position = torch.arange(start * upscale, end * upscale, dtype=torch.float64) + 0.5
        weight = torch.ones_like(position)
        if index > 0:
            weight = torch.minimum(weight, (position - start * upscale) / ((spans[index - 1][1] - start) * upscale))
        if index + 1 < len(spans):
            weight = torch.minimum(weight, (end * upscale - position) / ((end - spans[index + 1][0]) * upscale))
        total[start * upscale : end * upscale] += weight
        weights.append(weight)
    for weight, (start, end) in zip(weights, spans, strict=True):
        weight /= total[start * upscale : end * upscale]
    return weights
