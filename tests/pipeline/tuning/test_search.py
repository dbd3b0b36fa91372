"""How many trials train side by side."""

from __future__ import annotations

import pytest

from pipeline.config import RunConfig, resolve
from pipeline.errors import UserError
from pipeline.tuning.search import concurrency
from pipeline.tuning.space import SweepSettings


def run(workers: object) -> RunConfig:
    document = {
        "defaults": {
            "storage": "unused",
            "data": {"train": "a", "val": "a"},
            "training": {"steps": 1, "global_batch_size": 8, "num_workers": workers},
        }
    }
    return resolve(document, "denoising_color", ())


@pytest.mark.parametrize(("workers", "cpus", "trials"), [(2, 5, 2), ([1, 2], 5, 2), ([2, 8], 4, 1), ([1, 8], 16, 2)])
def test_trials_side_by_side_never_wait_for_each_other(workers: object, cpus: int, trials: int) -> None:
    sweep = SweepSettings.model_validate(
        {"task": "denoising_color", "num_trials": 9, "space": {"seed": {"choice": (1,)}}}
    )
    assert concurrency(sweep, [run(workers)], {"CPU": cpus, "GPU": 0}) == trials
    with pytest.raises(UserError, match="training asks for"):
        concurrency(sweep, [run(workers)], {"CPU": 0, "GPU": 0})
