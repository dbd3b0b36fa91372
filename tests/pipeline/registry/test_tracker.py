"""The MLflow run of a training that continues."""

from __future__ import annotations

from pathlib import Path

from pipeline.registry.client import connect
from pipeline.registry.tracking import Tracker, open_experiment


def test_a_run_continues_with_other_workers(tracking: Path) -> None:
    experiment = open_experiment("continued")
    first = Tracker(experiment, "run", params={"training.num_workers": 2, "seed": 0}, tags={})
    first.finish("KILLED")
    again = Tracker(experiment, "run", params={"training.num_workers": [1, 2], "training.steps": 9}, tags={})
    again.finish()
    assert again.run_id == first.run_id
    params = connect().get_run(again.run_id).data.params
    assert params == {"training.num_workers": "2", "seed": "0", "training.steps": "9"}


def test_figures_told_again_by_whoever_goes_on_are_kept_once(tracking: Path) -> None:
    experiment = open_experiment("told again")
    first = Tracker(experiment, "run", params={}, tags={})
    first.log(1, {"loss": 0.1 + 0.2, "workers": 2}, time_ms=1_700_000_000_001)
    first.finish("KILLED")
    again = Tracker(experiment, "run", params={}, tags={})
    again.log(1, {"loss": 0.1 + 0.2, "workers": 2}, time_ms=1_700_000_000_001)
    again.log(2, {"loss": 0.25, "workers": 2}, time_ms=1_700_000_000_500)
    again.finish()
    history = connect().get_metric_history(again.run_id, "loss")
    assert [(figure.step, figure.value) for figure in history] == [(1, 0.1 + 0.2), (2, 0.25)]
