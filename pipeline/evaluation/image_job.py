"""All that is done with one image: observed once, restored by every method, measured, and pictured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.data.faults import DamagedSample
from pipeline.errors import UserError
from pipeline.evaluation.image_set import read_image
from pipeline.evaluation.pictures import Panel, draw_panels
from pipeline.evaluation.plan import Plan
from pipeline.evaluation.rows import RESTORED, Row
from pipeline.evaluation.score import Image, measure, observe, restore_image
from pipeline.evaluation.weights import Weights, build
from pipeline.metrics.lpips import LpipsWeights, build_lpips


@dataclass(frozen=True)
class ImageJob:
    """One image of a plan. ``weights`` gives the model's files where the job runs; None for baselines alone.

    lpips: the same for the metric's weights; None: LPIPS is not measured.
    """

    plan: Plan
    index: int
    weights: Callable[[], Weights] | None = None
    device: str = "cpu"
    lpips: Callable[[], LpipsWeights] | None = None


@dataclass(frozen=True)
class ImageResult:
    """One row per method, and the picture (PNG) if the plan wants one of this image."""

    index: int
    key: str
    rows: tuple[Row, ...]
    picture: bytes | None = field(default=None, repr=False)


def evaluate_image(job: ImageJob) -> ImageResult:
    """Run one job. Raises UserError naming the image when it is damaged or cannot be measured."""
    plan, index = job.plan, job.index
    task, setting = plan.resolved_task, plan.resolved_setting
    try:
        key, clean, degraded = read_image(plan.images, index)
    except DamagedSample as damage:
        raise UserError(str(damage)) from None
    lq, gt = observe(task, setting, clean, degraded, index=index, key=key)
    results: list[tuple[str, int | None, Image]] = [
        (name, None, task.baselines[name](lq, setting)) for name in plan.baselines
    ]
    if job.weights is not None:
        model, network_input = build(job.weights(), job.device), task.to_input(lq)
        for k in plan.ks:
            image = restore_image(model, network_input, k, plan.tile, plan.overlap, plan.self_ensemble)
            results.append((RESTORED, k, image))
    perceptual = None if job.lpips is None else build_lpips(job.lpips(), job.device)
    rows, panels = [], []
    for method, number, image in results:
        figures = measure(image, gt, task, perceptual)
        values = (figures.psnr, figures.ssim_valid, figures.ssim_same, figures.psnr_b, figures.lpips)
        rows.append(Row(index, key, method, number, *values))
        title = method if number is None else f"k = {number}"
        panels.append(Panel(f"{title}: {figures.psnr:.2f} dB", image))
    picture = draw_panels([*panels, Panel("truth", gt)]) if index < plan.pictures else None
    return ImageResult(index, key, tuple(rows), picture)
