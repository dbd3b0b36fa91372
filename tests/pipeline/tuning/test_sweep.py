"""Real sweeps on the real servers: killed half-way, resumed, and the winner trains."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import yaml
from mlflow import MlflowClient

pytestmark = pytest.mark.slow

DATA = "s3://semanir/datasets/builtin"
STEPS = 40
SMALL: dict[str, Any] = {
    "task": "denoising_color",
    "searcher": "optuna",
    "num_trials": 4,
    "asha": {"grace_steps": STEPS // 2, "reduction_factor": 2},
    "fixed": {
        "training": {
            "steps": STEPS, "num_workers": 1, "random_k": [],
            "validate_every": STEPS // 2, "checkpoint_every": STEPS // 2,
            "schedule": {"warmup_steps": 5},
        }
    },
    "space": {
        "model.k": {"choice": [4, 16]},
        "model.depths": {"choice": [[1, 1, 1], [2, 2, 2]]},
        "training.learning_rate": {"loguniform": [1e-4, 3e-3]},
    },
}  # fmt: skip


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 300) -> Any:
    until = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < until, f"waited {timeout_s} s for {what}"
        time.sleep(0.2)
    return value


def drivers_of(stack: Any) -> list[psutil.Process]:
    """The sweep's driver processes on this stack."""
    return [
        process
        for process in psutil.process_iter()
        if "jobs/tune.py" in (arguments := command_line(process)) and arguments and "python" in arguments[0]
        and variables(process).get("RAY_AUTH_TOKEN_PATH") == stack.env["RAY_AUTH_TOKEN_PATH"]
    ]  # fmt: skip


def training_workers(stack: Any) -> list[psutil.Process]:
    """Ray's processes of trials and their training workers on this stack."""
    marks = ("RayTrainWorker", "TrainController", "ImplicitFunc", "run_trial")
    return [
        process
        for process in psutil.process_iter()
        if any(mark in " ".join(command_line(process)) for mark in marks)
        and variables(process).get("RAY_AUTH_TOKEN_PATH") == stack.env["RAY_AUTH_TOKEN_PATH"]
    ]


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def variables(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


class Sweep:
    """One sweep file, submitted as a person would, its output read as it comes."""

    def __init__(self, stack: Any, folder: Path, values: dict[str, Any]) -> None:
        self.stack, self.folder = stack, folder
        (folder / "sweep.yaml").write_text(yaml.safe_dump(values))

    def start(self, name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                ["ray", "job", "submit", "--", "python", "jobs/tune.py", str(self.folder / "sweep.yaml"),
                 "--output", str(self.folder)],
                cwd=self.stack.root, env=self.stack.env, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def packed(stack: Any) -> None:
    command = [sys.executable, "jobs/prepare_data.py", "--builtin", "--output", DATA]
    subprocess.run(command, cwd=stack.root, env=stack.env, check=True, capture_output=True)


def children(stack: Any) -> list[Any]:
    client = MlflowClient(stack.env["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("semanir-sweeps")
    runs = client.search_runs([experiment.experiment_id], max_results=200)
    parents = {run.info.run_id for run in runs if run.data.tags.get("winner")}
    return [run for run in runs if run.data.tags.get("mlflow.parentRunId") in parents]


def saved_at(stack: Any) -> datetime:
    """When Ray Tune last saved the state of a sweep."""
    client = boto3.Session().client(
        "s3", endpoint_url=stack.env["AWS_ENDPOINT_URL_S3"], aws_access_key_id=stack.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=stack.env["AWS_SECRET_ACCESS_KEY"], region_name=stack.env["AWS_REGION"],
    )  # fmt: skip
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="semanir")
    objects = [found for page in pages for found in page.get("Contents", [])]
    times = [found["LastModified"] for found in objects if "experiment_state" in found["Key"]]
    return max(times, default=datetime.min.replace(tzinfo=UTC))


@pytest.mark.usefixtures("packed")
def test_a_killed_sweep_resumes_and_its_winner_trains(stack: Any, tmp_path: Path) -> None:
    sweep = Sweep(stack, tmp_path, SMALL)
    first = sweep.start("first")
    wait_for(lambda: "finished: " in sweep.output("first") or first.poll() is not None, "a finished trial")
    assert first.poll() is None, sweep.output("first")
    for _ in range(2):  # what is being saved at this moment may not know of that trial yet
        before = saved_at(stack)
        wait_for(lambda: saved_at(stack) > before, "Ray Tune to save what it knows")  # noqa: B023  called before the next
    for driver in drivers_of(stack):
        driver.kill()
    first.wait(120)
    wait_for(lambda: not training_workers(stack), "the killed sweep's workers to end", 60)
    done = [line.split()[0] for line in sweep.output("first").splitlines() if "finished: " in line]

    second = sweep.start("second")
    assert second.wait(600) == 0, sweep.output("second")
    resumed = sweep.output("second")
    for trial in done[:1]:
        assert trial in resumed.split("Trials:")[1]
        assert f"{trial:<16} training" not in resumed
    wait_for(lambda: not training_workers(stack), "the trials' workers to end", 60)
    assert len(children(stack)) == SMALL["num_trials"]
    assert {run.info.status for run in children(stack)} <= {"FINISHED", "KILLED"}

    trained = subprocess.run(
        ["ray", "job", "submit", "--", "python", "jobs/train_all_tasks.py", "--tasks", SMALL["task"],
         "--config", str(tmp_path / "winner.yaml")],
        cwd=stack.root, env=stack.env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "registered as semanir-denoising-color v" in trained.stdout
