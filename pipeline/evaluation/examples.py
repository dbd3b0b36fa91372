"""The README's pictures: what a shipped model makes of the built-in photographs that none of them learned from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image as PilImage

import semanir
from pipeline.data.images import decode_image, to_float
from pipeline.data.packing.builtin import builtin_sources
from pipeline.degradations.image import Image
from pipeline.degradations.quantize import to_uint8
from pipeline.evaluation.pictures import busiest_crop
from pipeline.metrics.psnr_ssim import psnr
from pipeline.scoring.observe import observe
from pipeline.scoring.restore_array import restore_image
from pipeline.shipped.locate import SCHEME
from pipeline.tasks import TASKS

SIDE = 240  # pixels of each detail: three pairs stand below each other on a first screen
GAP = 4
QUALITY = 90  # WebP's: 20 to 60 kB a pair; what it loses is below what the figures tell


@dataclass(frozen=True)
class Example:
    """A photograph of the built-in test split, what is done to it, and the shipped model that restores it."""

    photograph: str
    task: str
    words: str
    model: str = "unified_color"
    setting: Mapping[str, Any] = field(default_factory=dict)


EXAMPLES = (
    Example("chelsea", "denoising_color", "noise, σ 25", setting={"sigma": 25}),
    Example("coffee", "denoising_color", "noise, σ 50", setting={"sigma": 50}),
    Example("rocket", "demosaicking", "a camera's mosaic, Malvar's filters"),
)


@dataclass(frozen=True)
class Drawn:
    """An example restored: PSNR of the whole image in the task's convention, before and after, dB; a WebP picture."""

    example: Example
    before_db: float
    after_db: float
    picture: bytes = field(repr=False)

    @property
    def file(self) -> str:
        """The picture's name."""
        return f"{self.example.photograph}.webp"


def table(drawn: Sequence[Drawn], folder: str) -> str:
    """Markdown of all of them side by side, for a README beside which ``folder`` lies."""
    titles = [f"{one.example.photograph}, {one.example.words}" for one in drawn]
    pictures = [f"![before and after]({folder}/{one.file})" for one in drawn]
    figures = [f"{one.before_db:.1f} → {one.after_db:.1f} dB, `{one.example.model}`" for one in drawn]
    rows = (titles, ["---"] * len(drawn), pictures, figures)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw_example(example: Example, index: int) -> Drawn:
    """Spoil, restore, measure and draw. index: of the noise's draw. Raises UserError when the model is not there."""
    task = TASKS[example.task]
    setting = task.parse_settings(dict(example.setting))
    lq, gt = observe(task, setting, _read(example.photograph), None, index=index, key=example.photograph)
    before = task.to_input(lq)
    after = restore_image(semanir.load(SCHEME + example.model), before)
    as_it_was, restored = (psnr(image, gt, task.convention) for image in (before, after))
    return Drawn(example, as_it_was, restored, _pair(before, after, busiest_crop(gt, SIDE)))


def draw_all(examples: Sequence[Example] = EXAMPLES) -> list[Drawn]:
    """All of the README's."""
    return [draw_example(example, index) for index, example in enumerate(examples)]


def _read(photograph: str) -> Image:
    source = next(source for source in builtin_sources("test") if source.key == photograph)
    return to_float(decode_image(source.clean.read()))


def _pair(before: Image, after: Image, crop: tuple[int, int, int]) -> bytes:
    top, left, side = crop
    details = [to_uint8(image[top : top + side, left : left + side]) for image in (before, after)]
    white = np.full((side, GAP, 3), 255, np.uint8)
    buffer = io.BytesIO()
    sheet = PilImage.fromarray(np.concatenate([details[0], white, details[1]], axis=1))
    sheet.save(buffer, "WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()
