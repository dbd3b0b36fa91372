"""One image, degraded as its task says, restored, and measured beside the classical baselines."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

import semanir
from pipeline.data.order import sample_generator
from pipeline.evaluation.metrics import psnr
from pipeline.tasks import Task

Image = NDArray[np.float32]

EVALUATION_SEED = 0  # one draw of noise or weather per image, the same for every model and every world
TILE, OVERLAP = 256, 32  # pixels of the network's input: bounds memory whatever the image's size


@dataclass(frozen=True)
class ImageScore:
    """PSNR in dB of one image by the task's convention: restored, and of each classical baseline."""

    key: str
    restored_psnr: float
    baseline_psnr: dict[str, float]
    pictures: dict[str, Image] = field(repr=False)  # degraded, restored, truth; each of the truth's size


def score_image(
    model: semanir.SemanIR, task: Task, setting: BaseModel, clean: Image, degraded: Image | None, *,
    index: int, key: str, k: int | None = None,
) -> ImageScore:  # fmt: skip
    """Score ``model`` on the ``index``-th image of a set.

    ``degraded`` is the real partner of ``clean`` (H, W, C) where the set is paired; otherwise the task degrades
    ``clean`` with a generator that depends on ``index`` alone.
    """
    gt = task.crop_gt(task.to_gt_channels(clean))
    lq = task.degrade(gt, sample_generator(EVALUATION_SEED, index, 0), setting) if degraded is None else degraded
    restored = restore_image(model, task.to_input(lq), k=k)
    baselines = {name: baseline(lq, setting) for name, baseline in task.baselines.items()}
    first = next(iter(baselines.values()))
    return ImageScore(
        key=key,
        restored_psnr=psnr(restored, gt, task.convention),
        baseline_psnr={name: psnr(image, gt, task.convention) for name, image in baselines.items()},
        pictures={"degraded": first, "restored": restored, "truth": gt},
    )


def restore_image(
    model: semanir.SemanIR, image: Image, k: int | None = None, tile: int = TILE, overlap: int = OVERLAP
) -> Image:
    """Restore the network input ``image`` (H, W, C) in [0, 1], tile by tile; returns (H·s, W·s, C) in [0, 1]."""
    device = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(device)
    with torch.inference_mode():
        y = semanir.restore_tiled(model, x, tile, overlap, k=k)
    return y[0].clamp(0, 1).cpu().numpy().transpose(1, 2, 0)
