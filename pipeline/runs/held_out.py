"""The model of a run against the classical baselines on its held-out images, over the run's own workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import semanir
from pipeline.config import RunConfig
from pipeline.evaluation.pictures import draw_panels
from pipeline.scoring.evaluator import ImageJob, ImageResult, Panel, map_on_ray, supply
from pipeline.scoring.harm import Harm
from pipeline.scoring.model_files import read_weights
from pipeline.scoring.plan import make_plan
from pipeline.scoring.strengths import measure_harm
from pipeline.tasks import TASKS


def score_held_out(config: RunConfig, folder: Path, workers: int) -> tuple[list[ImageResult], Harm | None]:
    """Scores and pictures of the weights in ``folder`` on the run's test set (without one, its validation set), and
    the harm curve of its first ``config.harm_images`` (None: none are asked for, or nothing can be varied).

    Every image once, in the set's order, over ``workers`` Ray tasks.
    """
    weights = read_weights(folder)
    plan = make_plan(
        task=TASKS[config.task],
        setting=config.setting,
        images=config.data.test or config.data.val,
        config=semanir.load(folder).config,
        weights=weights.digest,
    )
    plan = replace(plan, pictures=plan.num_images)
    supplied, deadline_s = supply(weights, on_ray=True), config.training.storage_deadline_s
    jobs = [
        ImageJob(plan, index, supplied, draw=draw_observed, deadline_s=deadline_s) for index in range(plan.num_images)
    ]
    mapper = map_on_ray(workers, num_cpus=config.training.cpus_per_worker)
    results = sorted((result for _, result in mapper(jobs)), key=lambda result: result.index)
    return results, measure_harm(jobs[: config.harm_images], mapper) if config.harm_images else None


def draw_observed(panels: Sequence[Panel]) -> bytes:
    """PNG of one image with a detail as it was, restored, and as it should be; other baselines are left out."""
    return draw_panels([panels[0], *panels[-2:]])
