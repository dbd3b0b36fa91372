"""Ray Tune's objects for a sweep: search space, searcher, scheduler, and the reservation that cannot deadlock."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import ray.tune
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from pipeline.config import RunConfig
from pipeline.runs.room import Room, each_worker
from pipeline.tuning.space import Domain, SweepSettings, label
from pipeline.tuning.trial import MACS, PSNR, STEP

# What a trial's own process reserves. No CPU: it only waits, and any share of one would take a whole core from the
# training workers of a small machine (two workers do not fit into 1.99 CPUs).
DRIVER_MEMORY = 256 << 20
DRIVER_RESOURCES = PlacementGroupFactory([{"memory": float(DRIVER_MEMORY)}])


def concurrency(sweep: SweepSettings, configs: Sequence[RunConfig], total: Mapping[str, float]) -> int:
    """How many trials train side by side: all that each could need fits at once, so none waits for another's share.

    An elastic trial needs its ``max_workers``; one of them alone does with fewer.

    Raises:
        UserError: not even one fits.
    """
    room = Room(total)
    most: dict[str, float] = {}
    for config in configs:
        training = config.training
        room.check(each_worker(training), training.min_workers, config.task)
        for kind, amount in each_worker(training).items():
            most[kind] = max(most.get(kind, 0), training.max_workers * amount)
    fits = max(1, min(math.floor(total[kind] / amount) for kind, amount in most.items() if amount))
    return min(fits, sweep.max_concurrent or fits)


def param_space(sweep: SweepSettings) -> dict[str, Any]:
    """The space as Ray Tune's; choices travel as one-line YAML, which every searcher can tell apart."""
    return {path: _domain(domain, sweep.searcher == "grid") for path, domain in sweep.space.items()}


def _domain(domain: Domain, grid: bool) -> Any:
    if domain.uniform:
        return ray.tune.uniform(*domain.uniform)
    if domain.loguniform:
        return ray.tune.loguniform(*domain.loguniform)
    labels = [label(value) for value in domain.choice or ()]
    return ray.tune.grid_search(labels) if grid else ray.tune.choice(labels)


def searcher(sweep: SweepSettings) -> Searcher | None:
    """Optuna's TPE over one or both objectives, or None for Ray Tune's own grid and random search."""
    if sweep.searcher != "optuna":
        return None
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # A trial that was cut starts again from its checkpoint and reports some steps a second time.
    warnings.filterwarnings("ignore", message="The reported value is ignored", category=UserWarning)
    if sweep.objective == "psnr_and_macs":
        return OptunaSearch(metric=[PSNR, MACS], mode=["max", "min"], seed=sweep.seed)
    return OptunaSearch(metric=PSNR, mode="max", seed=sweep.seed)


def scheduler(sweep: SweepSettings, steps: int) -> TrialScheduler:
    """ASHA on the PSNR at each checkpoint, or none. A trial that reaches its last step ends by itself."""
    if sweep.asha is None:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr=STEP, metric=PSNR, mode="max", max_t=steps + 1,
        grace_period=sweep.asha.grace_steps, reduction_factor=sweep.asha.reduction_factor,
    )  # fmt: skip
