"""Tiles of one or several images in batches: what a GPU needs to be busy, and what replicas share of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semanir.tiling import Canvas, ModelShape

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tile:
    """One tile: the number of its image, its origin (y, x) in input pixels, and its pixels (C, h, w)."""

    image: int
    y: int
    x: int
    pixels: Tensor


def restore_images(
    images: Sequence[Tensor], run: Run, shape: ModelShape, *, tile: int, overlap: int, batch: int
) -> list[Tensor]:
    """Restore network inputs (1, C, H, W) tile by tile, up to ``batch`` tiles of equal size at once, across images.

    run: (B, C, h, w) to (B, C_out, h * upscale, w * upscale). tile: in input pixels; 0 takes each image whole.
    Equal to restoring each image alone, up to rounding (a batch's products may be summed in another order).

    Returns one (1, C_out, H * upscale, W * upscale) per image. Raises ValueError for a tile that is too small.
    """
    canvases = [
        Canvas(shape, (1, height, width), tile, overlap) if 0 < tile < max(height, width) else None
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
                canvas.add((part.y, part.x), output)
    for number, canvas in enumerate(canvases):
        if canvas is not None:
            results[number] = canvas.total
    return [results[number] for number in range(len(images))]


def _tiles(images: Sequence[Tensor], canvases: Sequence[Canvas | None], tile: int) -> Iterator[Tile]:
    for number, (image, canvas) in enumerate(zip(images, canvases, strict=True)):
        if canvas is None:
            yield Tile(number, 0, 0, image[0])
            continue
        for y, x in canvas.origins:
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
