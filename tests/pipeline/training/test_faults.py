"""A worker or the driver killed in a real run, on the real servers: the run ends as if nothing had happened.

Slow by nature: each is a whole training under Ray. Its short form, of plain processes, is test_loop's
``test_interrupted_run_equals_uninterrupted``.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pyarrow.fs
import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow
TASK = "denoising_color"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 300) -> Any:
    until = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < until, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)
    return value


def processes_of(stack: Any) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Each process that the stack's Ray or its clients started, and its command line."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            ours = process.environ().get("RAY_AUTH_TOKEN_PATH") == stack.env["RAY_AUTH_TOKEN_PATH"]
        except psutil.Error:
            continue
        if ours:
            yield process, command


def training_workers(stack: Any) -> list[psutil.Process]:
    titles = ((process, " ".join(command)) for process, command in processes_of(stack))
    return [process for process, title in titles if title.startswith("ray::") and "RayTrainWorker" in title]


def driver(stack: Any) -> psutil.Process | None:
    """The process of `jobs/train_all_tasks.py`, not of the `ray job submit` that follows it."""
    scripts = (process for process, command in processes_of(stack) if command[1:2] == ["jobs/train_all_tasks.py"])
    return next(scripts, None)


def runs_and_losses(stack: Any) -> list[tuple[str, dict[int, float]]]:
    """Name and loss (last value per step) of each training run, oldest first."""
    client = MlflowClient(stack.env["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("semanir")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"], max_results=100)
    chosen = [run for run in runs if run.data.params.get("task") == TASK]
    return [
        (
            run.data.tags["semanir.run_name"],
            {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "loss")},
        )
        for run in chosen
    ]


@contextmanager
def submitted(stack: Any, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A job that was sent with ``ray job submit …`` and is followed; it does not outlive a test that fails."""
    name = uuid.uuid4().hex
    following = subprocess.Popen(
        [*command[:3], "--submission-id", name, *command[3:]],
        cwd=stack.root, env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield following
    finally:
        if following.poll() is None:
            following.kill()
            stack.run(["ray", "job", "stop", name])


def checkpoints(stack: Any, run_name: str) -> dict[str, list[str]]:
    """Checkpoint folder → its entries, of one run."""
    filesystem = pyarrow.fs.S3FileSystem(
        access_key=stack.env["AWS_ACCESS_KEY_ID"], secret_key=stack.env["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=stack.env["AWS_ENDPOINT_URL_S3"], region=stack.env["AWS_REGION"],
    )  # fmt: skip
    root = f"semanir/runs/{run_name}"
    found: dict[str, list[str]] = {}
    for entry in filesystem.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True)):
        parts = entry.path.removeprefix(root + "/").split("/")
        if parts[0].startswith("step-"):
            found.setdefault(parts[0], []).append("/".join(parts[1:]))
    return found


def test_a_killed_worker_changes_no_loss(stack: Any, trained: str) -> None:
    (whole_name, whole), *_ = runs_and_losses(stack)
    name = f"{whole_name}-1"
    with submitted(stack, [*stack.short_training, "--retrain"]) as again:
        wait_for(lambda: checkpoints(stack, name) or again.poll() is not None, "the first checkpoint")
        victim = training_workers(stack)[0]
        victim.kill()
        output, _ = again.communicate(timeout=600)
    assert again.returncode == 0, output
    losses = dict(runs_and_losses(stack))
    assert sorted(losses[name]) == [1, 10, 20, 30]
    assert losses[name] == whole  # to the last bit
    # Nothing half-written is left: each checkpoint that stands can be loaded.
    for folder, files in checkpoints(stack, name).items():
        assert "state.json" in files, folder
        assert "best/model.safetensors" in files, folder


@pytest.fixture(scope="module")
def logging_each_step(stack: Any, trained: str) -> list[str]:
    """The command of a longer training that logs each step; it has run once, and trains again under a new name."""
    command = [
        *stack.short_training, "--set", "training.steps=60", "--set", "training.log_every=1",
        "--set", "training.checkpoint_every=20", "--set", "training.validate_every=60", "--retrain",
    ]  # fmt: skip
    done = stack.run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    return command


@pytest.mark.parametrize(
    ("victim", "number"),
    [("worker", signal.SIGTERM), ("driver", signal.SIGKILL), ("driver", signal.SIGTERM)],
    ids=["terminated worker", "killed driver", "terminated driver"],
)
def test_an_interruption_at_any_step_changes_no_loss(
    stack: Any, logging_each_step: list[str], victim: str, number: signal.Signals
) -> None:
    before = runs_and_losses(stack)
    whole = next(losses for _, losses in before if len(losses) == 60)
    at = random.Random(f"{victim} {number}").randrange(5, 40)
    with submitted(stack, logging_each_step) as again:
        name, _ = wait_for(lambda: runs_and_losses(stack)[len(before) :], "the new run")[0]
        wait_for(lambda: max(dict(runs_and_losses(stack))[name], default=0) >= at, f"step {at}")
        process = driver(stack) if victim == "driver" else training_workers(stack)[0]
        assert process is not None
        process.send_signal(number)
        output, _ = again.communicate(timeout=600)
    if victim == "worker":
        assert again.returncode == 0, output
    else:
        assert again.returncode != 0, output
        wait_for(lambda: not training_workers(stack), "the workers to leave", timeout_s=60)
        if number == signal.SIGTERM:
            assert "the same command continues" in output
            assert "143" in output, output
        continued = stack.run(logging_each_step)
        assert continued.returncode == 0, continued.stdout + continued.stderr
    assert [run for run, _ in runs_and_losses(stack)] == [*(run for run, _ in before), name]
    assert dict(runs_and_losses(stack))[name] == whole
