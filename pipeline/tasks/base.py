"""What a restoration task is: how images are spoiled, what the network sees, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from pipeline.degradations.color import to_gray, to_rgb
from pipeline.degradations.image import Image
from pipeline.errors import UserError
from pipeline.metrics.convention import MetricConvention
from pipeline.settings import parse_settings
from pipeline.tasks.settings import TaskSettings

Degrade = Callable[[Image, Generator, Any], Image]
Baseline = Callable[[Image, Any], Image]
Bounds = Mapping[str, tuple[float, float]]
"""What of a picture can be estimated: "sigma" (8-bit gray levels), "quality" (JPEG's factor) -> (least, most)."""


def no_margin(settings: TaskSettings) -> int:
    """A patch is degraded by what is inside it."""
    del settings
    return 0


def nothing_outside(settings: TaskSettings) -> None:
    """The settings name nothing outside the configuration."""
    del settings


def nothing_bounded(settings: TaskSettings) -> Bounds:
    """The settings bound nothing that can be told from a picture."""
    del settings
    return {}


@dataclass(frozen=True)
class Strength:
    """One place on a task's range. label: as tables say it. setting: plain values, laid over the task's own."""

    label: str
    setting: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of the published tables, as data. Images are float32 (H, W, C) in [0, 1]."""

    name: str
    """The task's name in `--tasks` and, with dashes, in registered models."""
    group: str
    """The group that this is a member of, a name that `--tasks` takes: one of the paper's six, or of ours."""
    title: str
    """What a table prints."""
    channels: int
    """Channels of the ground truth: 1 gray, 3 RGB."""
    input_channels: int
    """Channels of the network's input."""
    upscale: int
    """Height of the ground truth over height of the network's input."""
    settings: type[TaskSettings]
    """The task's own knobs; the defaults are its real setting."""
    degrade: Degrade
    """(gt, rng, settings) -> lq, what a person would have: gt as from an 8-bit file, cropped by ``crop_gt``."""
    to_input: Callable[[Image], Image]
    """lq -> network input (demosaicking: the Malvar image; elsewhere the same image)."""
    baselines: Mapping[str, Baseline]
    """name -> (lq, settings) -> image of the ground truth's size. The first is the table's "input"."""
    convention: MetricConvention
    """Channel and border of the metrics."""
    model: str
    """Published size of the model, a name of ``semanir.list_models()``."""
    tiny_model: str
    """The same shape, small enough to train on two CPU cores."""
    loss: str
    """Name of the published training loss."""
    size_multiple: int = 1
    """Ground-truth sides must be a multiple of this."""
    margin: Callable[[Any], int] = no_margin
    """settings -> pixels around a patch that its degradation reaches; only for tasks that keep the size."""
    check_files: Callable[[Any], None] = nothing_outside
    """settings -> nothing; raises UserError, in one line, when a file that they name is missing or bad."""

    bounds: Callable[[Any], Bounds] = nothing_bounded
    """settings -> the ranges that a picture can be held against (pipeline.estimation.fit)."""

    strengths: tuple[Strength, ...] = ()
    """The range on which harm is measured, nothing wrong first, then mildest to strongest; empty for one strength."""

    def crop_gt(self, gt: Image) -> Image:
        """Cut the bottom and right edges so that both sides are a multiple of ``size_multiple``.

        Raises UserError when nothing would remain.
        """
        height, width = (side - side % self.size_multiple for side in gt.shape[:2])
        if height == 0 or width == 0:
            raise UserError(
                f"image of {gt.shape[0]}x{gt.shape[1]} is too small for {self.name}: "
                f"it needs at least {self.size_multiple}x{self.size_multiple} pixels"
            )
        return gt[:height, :width]

    def to_gt_channels(self, image: Image) -> Image:
        """Gray or RGB image -> the task's channels: rounded MATLAB luma for gray tasks, repeated gray for RGB."""
        return to_gray(image) if self.channels == 1 else to_rgb(image)

    def parse_settings(self, values: Mapping[str, Any] | None = None) -> TaskSettings:
        """Validated settings from plain values (as YAML gives them); what is left out keeps its default.

        Raises UserError naming the task, the key, the value and what is allowed.
        """
        return parse_settings(self.settings, values or {}, where=f"settings of {self.name}")


def unchanged(image: Image) -> Image:
    """The network sees what a person has."""
    return image


def identity(lq: Image, settings: TaskSettings) -> Image:
    """The baseline that does nothing."""
    del settings
    return lq
