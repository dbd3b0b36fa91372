"""The one evaluator: each image of a plan observed once, restored by every method, measured, and pictured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from pydantic import BaseModel

import semanir
from pipeline.cluster import Shared, map_tasks
from pipeline.data.faults import DamagedSample
from pipeline.data.whole import read_image
from pipeline.degradations.image import Image
from pipeline.errors import UserError
from pipeline.metrics.catalog import PSNR, Yardstick, measure
from pipeline.metrics.lpips import LpipsWeights, build_lpips
from pipeline.metrics.psnr_ssim import psnr
from pipeline.scoring.model_files import Weights, build
from pipeline.scoring.observe import observe
from pipeline.scoring.plan import Plan
from pipeline.scoring.record import RESTORED, Score
from pipeline.scoring.restore_array import restore_image
from pipeline.tasks import Task

Supplied = TypeVar("Supplied")


@dataclass(frozen=True)
class Panel:
    """An image (H, W, C) in [0, 1], its score, and its title; the truth has no score."""

    title: str
    image: Image = field(repr=False)
    score: Score | None = None


@dataclass(frozen=True)
class ImageJob:
    """One image of a plan.

    weights: gives the model's files where the job runs; None for baselines alone. lpips: the same for the metric's
    weights; None: LPIPS is not measured. draw: makes the picture (PNG) of the first ``plan.pictures`` images: every
    method's panel, the truth last. deadline_s: how long an outage of S3 is waited out; None: the storage's default.
    """

    plan: Plan
    index: int
    weights: Callable[[], Weights] | None = None
    device: str = "cpu"
    lpips: Callable[[], LpipsWeights] | None = None
    draw: Callable[[Sequence[Panel]], bytes] | None = None
    deadline_s: float | None = None


@dataclass(frozen=True)
class ImageResult:
    """One score per method, and the picture (PNG) if the plan wants one of this image."""

    index: int
    key: str
    scores: tuple[Score, ...]
    picture: bytes | None = field(default=None, repr=False)


Mapper = Callable[[Sequence[ImageJob]], Iterator[tuple[int, ImageResult]]]


def observe_planned(plan: Plan, index: int, deadline_s: float | None = None) -> tuple[str, Image, Image]:
    """(key, lq, gt) of the ``index``-th image of a plan's set, read, and cropped as its rules say.

    deadline_s: how long an outage of S3 is waited out; None: the storage's default. Raises UserError, naming the
    image, when it is damaged or its pair does not belong together.
    """
    try:
        key, clean, degraded = read_image(plan.images, index, deadline_s)
    except DamagedSample as damage:
        raise UserError(str(damage)) from None
    clean, degraded = plan.rules.crop(clean), None if degraded is None else plan.rules.crop(degraded)
    lq, gt = observe(plan.resolved_task, plan.resolved_setting, clean, degraded, index=index, key=key)
    return key, lq, gt


def evaluate_image(job: ImageJob) -> ImageResult:
    """Run one job. Raises UserError naming the image when it is damaged or cannot be measured."""
    plan, index = job.plan, job.index
    task, setting = plan.resolved_task, plan.resolved_setting
    key, lq, gt = observe_planned(plan, index, job.deadline_s)
    results: list[tuple[str, int | None, Image]] = [
        (name, None, task.baselines[name](lq, setting)) for name in plan.baselines
    ]
    if job.weights is not None:
        model, network_input = build(job.weights(), job.device), task.to_input(lq)
        for k in plan.ks:
            image = restore_image(model, network_input, k, plan.tile, plan.overlap, plan.self_ensemble)
            results.append((RESTORED, k, image))
    yardstick = Yardstick(plan.convention, None if job.lpips is None else build_lpips(job.lpips(), job.device))
    panels = []
    for method, number, image in results:
        try:
            score = Score(index, key, method, number, measure(image, gt, yardstick))
        except ValueError as error:
            raise UserError(f"{task.name}: image {key!r}: {error}") from None
        panels.append(Panel(method if number is None else f"k = {number}", image, score))
    picture = job.draw([*panels, Panel("truth", gt)]) if job.draw is not None and index < plan.pictures else None
    return ImageResult(index, key, tuple(panel.score for panel in panels if panel.score is not None), picture)


def score_restored(
    model: semanir.SemanIR, task: Task, setting: BaseModel, clean: Image, degraded: Image | None, *,
    index: int, key: str, k: int | None = None,
) -> Score:  # fmt: skip
    """PSNR alone of ``model`` on the ``index``-th image of a set, by the same steps: what training validates by."""
    lq, gt = observe(task, setting, clean, degraded, index=index, key=key)
    restored = restore_image(model, task.to_input(lq), k=k)
    return Score(index, key, RESTORED, k, {PSNR: psnr(restored, gt, task.convention)})


def map_here(jobs: Sequence[ImageJob]) -> Iterator[tuple[int, ImageResult]]:
    """One job after the other, in this process."""
    return ((number, evaluate_image(job)) for number, job in enumerate(jobs))


def map_on_ray(workers: int | None = None, num_cpus: float = 1, num_gpus: float = 0) -> Mapper:
    """On the cluster: as many workers as it has room for, or at most ``workers``."""
    return partial(map_tasks, evaluate_image, num_cpus=num_cpus, num_gpus=num_gpus, at_once=workers)


def supply(weights: Supplied | None, on_ray: bool) -> Callable[[], Supplied] | None:
    """How jobs get a model's or a metric's weights: from the cluster's object store, or directly."""
    if weights is None:
        return None
    return Shared(weights).get if on_ray else lambda: weights
