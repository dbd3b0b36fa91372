"""The MLflow run of a training: found again by its identity, with its data, its curves, and an end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.manifest import load_manifest
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.registry.client import connect
from pipeline.registry.curves import draw_curves
from pipeline.registry.lineage import UsedData
from pipeline.registry.lost_runs import close_lost_runs
from pipeline.registry.speed import last_speed
from pipeline.registry.system_metrics import NodeFigures, watch_node
from pipeline.registry.tracking import FOLDER_TAG, Tracker, open_experiment
from pipeline.storage.lease import is_held, sole_writer


def test_a_run_continues_with_other_workers(tracking: Path) -> None:
    experiment = open_experiment("continued")
    params = {"training.num_workers": 2, "seed": 0}
    first = Tracker(experiment, "run", params=params, tags={}, title="what people see")
    first.finish("KILLED")
    again = Tracker(experiment, "run", params={"training.num_workers": [1, 2], "training.steps": 9}, tags={})
    again.finish()
    assert again.run_id == first.run_id
    run = connect().get_run(again.run_id)
    assert run.data.params == {"training.num_workers": "2", "seed": "0", "training.steps": "9"}
    assert (run.info.run_name, run.data.tags["semanir.run_name"]) == ("what people see", "run")


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


def test_a_run_names_its_data_and_ends_with_its_curves(tracking: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    pack_dataset(folder_sources(str(tmp_path / "images")), str(tmp_path / "set" / "train"))
    manifest = load_manifest(str(tmp_path / "set" / "train"))
    tracker = Tracker(open_experiment("lineage"), "run", params={}, tags={})
    for _ in range(2):  # a run that continues says it again
        tracker.used([UsedData(manifest, "training", 3), UsedData(manifest, "validation")])
    for step in range(1, 4):
        tracker.log(step, {"loss": 1 / step, "val_psnr": 20.0 + step})
    tracker.curves("a title")
    tracker.finish()
    found = connect().get_run(tracker.run_id)
    (dataset,) = {entry.dataset.digest: entry.dataset for entry in found.inputs.dataset_inputs}.values()
    assert (dataset.name, dataset.digest) == ("set/train", manifest.digest[:36])
    profile, schema = json.loads(dataset.profile), json.loads(dataset.schema)
    assert (profile["num_rows"], profile["smallest_height"], profile["manifest_sha256"]) == (2, 20, manifest.digest)
    assert [column["name"] for column in schema["mlflow_colspec"]] == ["key", "clean"]
    contexts = {tag.value for entry in found.inputs.dataset_inputs for tag in entry.tags}
    assert "training" in contexts
    assert "loss_and_psnr.png" in {file.path for file in connect().list_artifacts(tracker.run_id)}


def test_files_lie_where_their_names_say(tracking: Path) -> None:
    tracker = Tracker(open_experiment("files"), "run", params={}, tags={})
    for name in ("top.txt", "pictures/one.txt", "a/b/deep.txt"):
        tracker.file(name, name.encode())
    tracker.finish()
    for name in ("top.txt", "pictures/one.txt", "a/b/deep.txt"):
        path = connect().download_artifacts(tracker.run_id, name, str(tracking))
        assert Path(path).read_text() == name


def test_a_run_says_who_made_it_and_by_what(tracking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/semanir", "train"])
    tracker = Tracker(open_experiment("made"), "run", params={}, tags={})
    tracker.finish()
    tags = connect().get_run(tracker.run_id).data.tags
    assert (tags["mlflow.user"], tags["mlflow.source.name"]) == ("ada", "semanir")


def test_curves_have_their_units() -> None:
    upper, lower = draw_curves([(1, 0.5), (2, 0.4)], [], "a title").axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("training loss", "validation PSNR (dB)")
    assert upper.lines[0].get_ydata().tolist() == [0.5, 0.4]


def test_a_run_whose_process_died_does_not_stay_running(tracking: Path, tmp_path: Path) -> None:
    experiment = open_experiment("lost")
    runs = {
        name: Tracker(experiment, name, params={}, tags={FOLDER_TAG: str(tmp_path / name)})
        for name in ("dead", "alive", "own")
    }
    with sole_writer(str(tmp_path / "alive"), "a run"):
        assert close_lost_runs(experiment, ["own"], is_held) == ["dead"]
        states = {name: connect().get_run(run.run_id).info.status for name, run in runs.items()}
    assert states == {"dead": "KILLED", "alive": "RUNNING", "own": "RUNNING"}
    for run in runs.values():
        run.finish()


def test_the_last_speed_is_that_of_an_equal_run(tracking: Path) -> None:
    experiment = open_experiment("speed")
    params = {"task": "sr_x2", "model.name": "columnar_tiny", "training.num_workers": 2, "training.steps": 9}
    for name, workers, speed in (("slow", 2, 10.0), ("other", 4, 99.0), ("fast", 2, 20.0)):
        run = Tracker(experiment, name, params={**params, "training.num_workers": workers}, tags={"task": "sr_x2"})
        run.log(1, {"samples_per_second": speed, "time_validation_s": 3.0})
        run.finish()
    found = last_speed("speed", {**params, "training.steps": 50}, 2, [0])
    assert found is not None
    assert (found.run, found.samples_per_second, found.validation_s, found.checkpoint_s) == ("fast", (20.0,), 3.0, 0.0)
    for other in (
        {"model.k": 8}, {"training.phases": "[1]"}, {"training.zero_optimization.offload_optimizer.device": "cpu"},
        {"data.loader_workers": 4}, {"training.random_k": "[4]"},
    ):  # fmt: skip
        assert last_speed("speed", {**params, **other}, 2, [0]) is None, other
    assert last_speed("no such experiment", params, 2, [0]) is None


def test_the_last_speed_is_of_each_phase_and_of_as_many_workers(tracking: Path) -> None:
    experiment = open_experiment("phases")
    params = {"task": "sr_x2", "training.num_workers": "[1, 4]", "training.phases": "two"}
    run = Tracker(experiment, "grew and shrank", params=params, tags={"task": "sr_x2"})
    for step, workers, speed in ((1, 4, 50.0), (5, 4, 80.0), (6, 4, 7.0), (8, 4, 8.0), (9, 1, 2.0)):
        run.log(step, {"samples_per_second": speed, "workers": workers})
    run.finish()
    found = last_speed("phases", params, 4, [0, 5])
    assert found is not None
    assert found.samples_per_second == (80.0, 8.0)
    assert last_speed("phases", params, 1, [0, 5]) is None  # the first phase was never seen with one worker
    assert last_speed("phases", params, 4, [0, 5, 9]) is None


def test_a_server_that_is_away_stops_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with watch_node("a run", "a node"):
        pass


def test_a_node_is_watched_once(tracking: Path) -> None:
    run = Tracker(open_experiment("nodes"), "run", params={}, tags={})
    with watch_node(run.run_id, "10.0.0.1"), NodeFigures(run.run_id, "10.0.0.1")("10.0.0.1"):
        pass
    run.finish()
    assert connect().get_run(run.run_id).info.status == "FINISHED"
