"""A run goes on with another number of workers, in plain process groups: the same samples, the same update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.training.test_loop import STEPS, config, last_value_per_step

GROWS_BACK = ((2, {"0": 2}), (1, {"0": 2}), (2, {}))  # workers, and after how many steps which of them leaves


@pytest.mark.parametrize(
    ("stage", "worlds"),
    [
        (2, ((2, {"0": 2}), (1, {}))),
        *(pytest.param(stage, GROWS_BACK, marks=pytest.mark.slow) for stage in (0, 1, 2, 3)),
    ],
    ids=["2-shrinks", *(f"{stage}-grows back" for stage in (0, 1, 2, 3))],
)
def test_a_run_goes_on_with_another_number_of_workers(
    stage: int, worlds: tuple[tuple[int, dict[str, int]], ...], shards: Path, run_group: Any, tmp_path: Path
) -> None:
    job = config(shards, f"training.zero_stage={stage}", "training.ema_decay=0.9").model_dump_json()
    (tmp_path / "whole").mkdir()
    whole = last_value_per_step(run_group(tmp_path / "whole", "loop", 2, config=job)[0]["logged"], "loss")
    losses: dict[int, float] = {}
    for workers, leave in worlds:
        run = run_group(tmp_path, "loop", workers, config=job, leave=leave)[0]
        losses |= last_value_per_step(run["logged"], "loss")
    assert sorted(losses) == list(range(1, STEPS + 1))
    # The same samples and the same update; only the order of float32 sums differs.
    assert [losses[step] for step in whole] == pytest.approx(list(whole.values()), rel=1e-5)
    assert losses[1] == whole[1]
    assert losses[2] == whole[2]
