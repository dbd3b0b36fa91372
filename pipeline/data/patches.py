"""A task's training samples: crop, flip, degrade, to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from pipeline.data.images import to_float
from pipeline.data.manifest import Manifest
from pipeline.data.stream import DecodedSample
from pipeline.degradations.image import Image
from pipeline.errors import UserError
from pipeline.images.levels import Levels

if TYPE_CHECKING:
    from pipeline.tasks.base import Task


def to_tensor(image: Image) -> Tensor:
    """(H, W, C) float array to a contiguous (C, H, W) float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))


def augment(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """One of the eight symmetries of the square, ``turn`` in [0, 8): quarter turns, mirrored from 4 on."""
    turned = np.rot90(image, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned


def turned(pixels: Levels, turn: int) -> Levels:
    """A contiguous copy of ``augment`` of integer pixels (H, W, C), which are moved whole instead of by channel."""
    whole = np.ascontiguousarray(pixels).view(np.dtype((np.void, pixels.shape[2] * pixels.itemsize)))[:, :, 0]
    moved = np.ascontiguousarray(augment(whole, turn))
    return moved.view(pixels.dtype).reshape(*moved.shape, pixels.shape[2])


@dataclass(frozen=True)
class PatchSampler:
    """``make_sample`` of a task; see ``make_patch_sampler``. Picklable, so loader workers may be spawned."""

    task: Task
    settings: BaseModel
    patch_sizes: tuple[int, ...]

    def __call__(self, sample: DecodedSample, rng: np.random.Generator) -> dict[str, Tensor]:
        height, width = sample.size
        size, side = self.patch_size(sample.phase), self._side(height, width, sample.phase)
        if min(height, width) < size:
            raise UserError(
                f"image {sample.key!r} is {width}x{height}, smaller than the patch size {size}; choose a smaller patch"
            )
        top, left = _corner(height, width, side, rng)
        turn = int(rng.integers(8))

        def cut(pixels: Levels) -> Image:
            square = turned(pixels[top : top + side, left : left + side], turn)
            return np.ascontiguousarray(self.task.to_gt_channels(to_float(square)))

        gt = cut(sample.clean)
        lq = self.task.degrade(gt, rng, self.settings) if sample.degraded is None else cut(sample.degraded)
        edge = (side - size) // 2  # only tasks that keep the size have a margin
        inner = (slice(edge, edge + size),) * 2 if edge else (slice(None),) * 2
        return {"lq": to_tensor(self.task.to_input(lq[inner])), "gt": to_tensor(gt[inner])}

    def _side(self, height: int, width: int, phase: int) -> int:
        """Side of the square to cut: the patch, and around it what the degradation reaches, as far as it fits."""
        return min(self.patch_size(phase) + 2 * self.task.margin(self.settings), height, width)

    def patch_size(self, phase: int) -> int:
        """Side of the ground-truth patch in a phase of the schedule; the last one also serves later phases."""
        return self.patch_sizes[min(phase, len(self.patch_sizes) - 1)]

    def rows_needed(self, height: int, width: int, phase: int, rng: np.random.Generator) -> int:
        """The patch's bottom edge: nothing below it has to be decoded."""
        side = self._side(height, width, phase)
        if side < self.patch_size(phase):
            return height  # refused by name when the sample is made
        return _corner(height, width, side, rng)[0] + side


def _corner(height: int, width: int, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a random square: the first numbers that are drawn of a sample's generator."""
    return int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))


def make_patch_sampler(task: Task, settings: BaseModel, patch_size: int | Sequence[int]) -> PatchSampler:
    """A function that makes {"lq", "gt"} of a decoded image: random crop and symmetry, then the task's degradation.

    Stored pairs keep their stored degradation instead, cropped and turned alike.

    Args:
        task: what degrades, and how many channels it has: gray tasks convert color images, color tasks repeat gray.
        settings: the task's own knobs.
        patch_size: side of the ground-truth patch in pixels; one number, or one per phase of the schedule.

    Raises:
        UserError: a patch size that the task's scale or mosaic does not divide.
    """
    sizes = (patch_size,) if isinstance(patch_size, int) else tuple(patch_size)
    for size in sizes:
        if size < 1 or size % task.size_multiple:
            raise UserError(
                f"patch size {size} does not suit {task.name}: it must be a positive multiple of {task.size_multiple}"
            )
    return PatchSampler(task, settings, sizes)


def check_patch_fits(manifest: Manifest, patch_size: int) -> None:
    """Refuse a patch that some image cannot hold.

    Raises:
        UserError: names the smallest image's size.
    """
    smallest = min(manifest.min_height, manifest.min_width)
    if patch_size > smallest:
        raise UserError(
            f"patch size {patch_size} is larger than the smallest image side of {manifest.uri},"
            f" {smallest} pixels; choose at most {smallest}, or leave small images out"
        )
