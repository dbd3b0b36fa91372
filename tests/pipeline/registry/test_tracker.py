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
