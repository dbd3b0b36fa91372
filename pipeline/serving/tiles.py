"""Tiles of one or several images in batches: what a GPU needs to be busy, and what replicas share of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semanir.network import SemanIR
from semanir.tiling import blending_weights, tile_grid, tile_origins

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tile:
    """One tile: the number of its image, its origin (y, x) in input pixels, and its pixels (C, h, w)."""

    image: int
    y: int
    x: int
    pixels: Tensor


class Canvas:
    """Collects the restored tiles of one image in any order and blends them as :func:`semanir.restore_tiled` does.

    height, width: of the network's input. Sums are in float64, so the order of the tiles does not show in float32.
    """

    def __init__(self, height: int, width: int, model_shape: ModelShape, tile: int, overlap: int) -> None:
        upscale = self.upscale = model_shape.upscale
        self.rows = tile_origins(height, tile, overlap, model_shape.grid)
        self.columns = tile_origins(width, tile, overlap, model_shape.grid)
        self._row_weights = dict(zip(self.rows, blending_weights(height, self.rows, tile, upscale), strict=True))
        self._column_weights = dict(
            zip(self.columns, blending_weights(width, self.columns, tile, upscale), strict=True)
        )
        self._total = torch.zeros(model_shape.channels, height * upscale, width * upscale, dtype=torch.float64)

    def add(self, y: int, x: int, restored: Tensor) -> None:
        """Add the restored tile (C_out, h * upscale, w * upscale) whose origin in the input is (y, x)."""
        height, width = restored.shape[1:]
        area = self._total[:, y * self.upscale :, x * self.upscale :][:, :height, :width]
        area += restored.to(self._total) * (self._row_weights[y][:, None] * self._column_weights[x])

    def result(self) -> Tensor:
        """(1, C_out, H * upscale, W * upscale), float32."""
        return self._total[None].float()


@dataclass(frozen=True)
class ModelShape:
    """What blending must know of a model: tile origins are multiples of ``grid``; ``channels`` come out."""

    grid: int
    upscale: int
    channels: int

    @classmethod
    def of(cls, model: SemanIR) -> ModelShape:
        """The model's own."""
        return cls(tile_grid(model), model.config.upscale, model.config.out_channels)


def restore_images(
    images: Sequence[Tensor], run: Run, shape: ModelShape, *, tile: int, overlap: int, batch: int
) -> list[Tensor]:
    """Restore network inputs (1, C, H, W) tile by tile, up to ``batch`` tiles of equal size at once, across images.

    run: (B, C, h, w) to (B, C_out, h * upscale, w * upscale). tile: in input pixels; 0 takes each image whole.
    Equal to restoring each image alone, up to rounding (a batch's products may be summed in another order).

    Returns one (1, C_out, H * upscale, W * upscale) per image. Raises ValueError for a tile that is too small.
    """
    canvases = [
        Canvas(height, width, shape, tile, overlap) if 0 < tile < max(height, width) else None
        for height, width in (tuple(image.shape[2:]) for image in images)
    ]
    results: dict[int, Tensor] = {}
    for group in in_groups(_tiles(images, canvases, tile), batch):
        restored = run(torch.stack([part.pixels for part in group])).cpu()
        for part, output in zip(group, restored, strict=True):
            canvas = canvases[part.image]
            if canvas is None:
                results[part.image] = output[None]
            else:
                canvas.add(part.y, part.x, output)
    for number, canvas in enumerate(canvases):
        if canvas is not None:
            results[number] = canvas.result()
    return [results[number] for number in range(len(images))]


def _tiles(images: Sequence[Tensor], canvases: Sequence[Canvas | None], tile: int) -> Iterator[Tile]:
    for number, (image, canvas) in enumerate(zip(images, canvases, strict=True)):
        if canvas is None:
            yield Tile(number, 0, 0, image[0])
            continue
        for y in canvas.rows:
            for x in canvas.columns:
                yield Tile(number, y, x, image[0, :, y : y + tile, x : x + tile])


def in_groups(tiles: Iterator[Tile], batch: int) -> Iterator[list[Tile]]:
    """Tiles of equal size, up to ``batch`` together; each tile once."""
    waiting: dict[tuple[int, ...], list[Tile]] = {}
    for part in tiles:
        group = waiting.setdefault(tuple(part.pixels.shape), [])
        group.append(part)
        if len(group) == batch:
            yield waiting.pop(tuple(part.pixels.shape))
    yield from waiting.values()
