"""One evaluation per strength of a task: what a harm curve is measured by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from pipeline.scoring.evaluator import ImageJob, Mapper
from pipeline.scoring.harm import Harm, harm_point
from pipeline.scoring.plan import Plan
from pipeline.scoring.record import Score


def strength_plans(plan: Plan) -> list[tuple[str, Plan]]:
    """One plan per strength, mildest first; empty for a task of one strength.

    plan: its own settings stay where no strength sets them; of its baselines the first remains, and no picture is made.
    """
    varied = []
    for strength in plan.resolved_task.strengths:
        setting = {**json.loads(plan.setting), **strength.setting}
        plan.resolved_task.parse_settings(setting)
        named = json.dumps(setting, sort_keys=True)
        varied.append((strength.label, replace(plan, setting=named, pictures=0, baselines=plan.baselines[:1])))
    return varied


def measure_harm(jobs: Sequence[ImageJob], mapper: Mapper) -> Harm | None:
    """The curve over the images of ``jobs`` (of one plan), all strengths at once over the mapper's workers.

    None where nothing can be varied: a task of one strength, or real pairs. A curve over only the first
    images carries the suffix /N, so it is never compared with one over the whole set.
    """
    plan = jobs[0].plan
    plans = [] if plan.paired else strength_plans(plan)
    if not plans:
        return None
    varied = [replace(job, plan=one, draw=None) for _, one in plans for job in jobs]
    scores: list[tuple[Score, ...]] = [()] * len(varied)
    for number, result in mapper(varied):
        scores[number] = result.scores
    points = []
    for row, (label, one) in enumerate(plans):
        of_strength = [score for each in scores[row * len(jobs) : (row + 1) * len(jobs)] for score in each]
        points.append(harm_point(label, of_strength, one.baselines[0]))
    part = "" if len(jobs) == plan.num_images else f"/{len(jobs)}"
    return Harm(plan.set_name + part, tuple(points))
