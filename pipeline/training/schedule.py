"""Learning rate and neighbor count of a step: pure functions, so a resumed run needs no state for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.config import ScheduleSettings


def learning_rate(step: int, steps: int, peak: float, schedule: ScheduleSettings) -> float:
    """Learning rate of optimizer step ``step`` (0-based) of ``steps``.

    A linear warm-up from peak/warmup_steps, then ``cosine`` down to ``final_ratio * peak``, which it has reached when
    all ``steps`` are done, so that the last one is taken just above it (Loshchilov & Hutter, SGDR, eq. 5 without
    restarts), ``multistep`` times ``gamma`` at each milestone, or ``constant``.
    """
    if step < schedule.warmup_steps:
        return peak * (step + 1) / schedule.warmup_steps
    if schedule.kind == "multistep":
        return peak * schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)
    if schedule.kind == "constant":
        return peak
    progress = (step - schedule.warmup_steps) / max(1, steps - schedule.warmup_steps)
    floor = schedule.final_ratio
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def draw_k(seed: int, step: int, choices: Sequence[int]) -> int | None:
    """The k of one optimizer step, drawn from ``choices``; the same on every rank. None when there are none.

    SemanIR's "random top-k" training (Ren et al., NeurIPS 2024), by which one model serves every k.
    """
    if not choices:
        return None
    return choices[int(np.random.default_rng((seed, step)).integers(len(choices)))]
