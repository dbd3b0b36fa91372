"""What a person would have of an image: its real degraded partner, or the task's degradation of it."""

from __future__ import annotations

from pydantic import BaseModel

from pipeline.data.order import sample_generator
from pipeline.degradations.image import Image
from pipeline.errors import UserError
from pipeline.tasks import Task
from pipeline.tasks.base import unchanged

EVALUATION_SEED = 0  # one draw of noise or weather per image, the same for every model and every world


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
