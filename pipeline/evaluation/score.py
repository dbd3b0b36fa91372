"""One image, degraded as its task says, restored, and measured: the only scorer of training and of the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

import semanir
from pipeline.data.order import sample_generator
from pipeline.errors import UserError
from pipeline.metrics.lpips import Lpips, lpips
from pipeline.metrics.psnr_b import psnr_b
from pipeline.metrics.psnr_ssim import psnr, ssim
from pipeline.registry.seal import default_tile
from pipeline.tasks import Task
from pipeline.tasks.base import unchanged

Image = NDArray[np.float32]

EVALUATION_SEED = 0  # one draw of noise or weather per image, the same for every model and every world
OVERLAP = 32  # pixels of the network's input that tiles share


@dataclass(frozen=True)
class ImageScore:
    """PSNR in dB of one image by the task's convention: restored, and of each classical baseline."""

    key: str
    restored_psnr: float
    baseline_psnr: dict[str, float]
    pictures: dict[str, Image] = field(repr=False)  # degraded, restored, truth; each of the truth's size


@dataclass(frozen=True)
class Figures:
    """One restored image against its truth. dB for PSNR; SSIM by both windows; PSNR-B where the task shows it.

    lpips: None where it was not asked for.
    """

    psnr: float
    ssim_valid: float
    ssim_same: float
    psnr_b: float | None
    lpips: float | None


def score_image(
    model: semanir.SemanIR, task: Task, setting: BaseModel, clean: Image, degraded: Image | None, *,
    index: int, key: str, k: int | None = None,
) -> ImageScore:  # fmt: skip
    """PSNR of ``model`` and of the task's baselines on the ``index``-th image of a set; arguments as ``observe``."""
    lq, gt = observe(task, setting, clean, degraded, index=index, key=key)
    restored = restore_image(model, task.to_input(lq), k=k)
    baselines = {name: baseline(lq, setting) for name, baseline in task.baselines.items()}
    first = next(iter(baselines.values()))
    return ImageScore(
        key=key,
        restored_psnr=psnr(restored, gt, task.convention),
        baseline_psnr={name: psnr(image, gt, task.convention) for name, image in baselines.items()},
        pictures={"degraded": first, "restored": restored, "truth": gt},
    )


def observe(
    task: Task, setting: BaseModel, clean: Image, degraded: Image | None, *, index: int, key: str
) -> tuple[Image, Image]:
    """(lq, gt): what a person would have of the ``index``-th image of a set, and the truth.

    Where the set is paired, ``degraded`` (H, W, C) is the real partner of ``clean``. Otherwise the task degrades
    ``clean`` with a Philox generator keyed by (EVALUATION_SEED, index), so an image's noise does not depend on the
    model, the number of workers or the other images.

    Raises UserError, naming the image, for a pair whose sizes do not belong together.
    """
    gt = task.crop_gt(task.to_gt_channels(clean))
    if degraded is None:
        return task.degrade(gt, sample_generator(EVALUATION_SEED, index, 0), setting), gt
    lq = task.to_gt_channels(degraded) if task.to_input is unchanged else degraded
    height, width = gt.shape[0] // task.upscale, gt.shape[1] // task.upscale
    if lq.shape[:2] != (clean.shape[0] // task.upscale, clean.shape[1] // task.upscale):
        raise UserError(
            f"image {key!r}: its degraded partner is {lq.shape[1]}x{lq.shape[0]}, {task.name} needs {width}x{height} "
            f"for a truth of {gt.shape[1]}x{gt.shape[0]}; correct the pair and pack the set again"
        )
    return lq[:height, :width], gt


def measure(restored: Image, gt: Image, task: Task, perceptual: Lpips | None = None) -> Figures:
    """All figures of one image by the task's convention, and LPIPS where ``perceptual`` is given.

    Raises UserError for an image too small to measure.
    """
    convention = task.convention
    try:
        return Figures(
            psnr=psnr(restored, gt, convention),
            ssim_valid=ssim(restored, gt, convention, window="valid"),
            ssim_same=ssim(restored, gt, convention, window="same"),
            psnr_b=psnr_b(restored, gt, convention) if convention.blocking else None,
            lpips=None if perceptual is None else lpips(restored, gt, perceptual),
        )
    except ValueError as error:
        raise UserError(f"{task.name}: {error}") from None


def restore_image(
    model: semanir.SemanIR, image: Image, k: int | None = None, tile: int | None = None, overlap: int = OVERLAP,
    self_ensemble: bool = False,
) -> Image:  # fmt: skip
    """Restore the network input ``image`` (H, W, C) in [0, 1], tile by tile; returns (H·s, W·s, C) in [0, 1].

    tile: side in input pixels, which bounds memory whatever the image's size; None: about 256, as the model's window
    grid allows. self_ensemble: the mean over the eight flips and turns of the input (Timofte et al., "Seven ways to
    improve example-based single image super resolution", CVPR 2016).
    """
    device = next(model.parameters()).device
    side = default_tile(model) if tile is None else tile
    x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(device)

    def restore(view: Tensor) -> Tensor:
        return semanir.restore_tiled(model, view, side, overlap, k=k)

    with torch.inference_mode():
        y = _mean_over_symmetries(restore, x) if self_ensemble else restore(x)
    return y[0].clamp(0, 1).cpu().numpy().transpose(1, 2, 0)


def _mean_over_symmetries(restore: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    total: Tensor | None = None
    for flip in (False, True):
        for turns in range(4):
            view = torch.rot90(x.flip(-1) if flip else x, turns, (-2, -1)).contiguous()
            back = torch.rot90(restore(view), -turns, (-2, -1))
            back = back.flip(-1) if flip else back
            total = back if total is None else total + back
    assert total is not None
    return total / 8
