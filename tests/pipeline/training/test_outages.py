"""MLflow or S3 killed under a real run: back in time, the run ends as if nothing had happened; too late, it is said."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from infra.local import processes
from tests.pipeline.training.test_faults import checkpoints, runs_and_losses, wait_for

STEPS = 60

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def command(stack: Any, trained: str) -> list[str]:
    """A longer training that logs each step, and ends with the first counted failure; it has run once.

    Workers wait for each other long enough for a server to start on a busy machine.
    """
    given = [
        *stack.short_training, "--retrain", "--set", f"training.steps={STEPS}", "--set", "training.log_every=1",
        "--set", "training.checkpoint_every=20", "--set", f"training.validate_every={STEPS}",
        "--set", "training.collective_timeout_s=300", "--set", "training.max_failures=0",
    ]  # fmt: skip
    done = stack.run(given)
    assert done.returncode == 0, done.stdout + done.stderr
    return given


class Run:
    """A training that has just begun, beside the uninterrupted one."""

    def __init__(self, stack: Any, command: list[str]) -> None:
        self.stack, self.before = stack, runs_and_losses(stack)
        self.whole_name, self.whole = next(run for run in self.before if len(run[1]) == STEPS)
        self.process = subprocess.Popen(
            command, cwd=stack.root, env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    @property
    def name(self) -> str:
        return runs_and_losses(self.stack)[len(self.before)][0]

    @property
    def id(self) -> str:
        """Of the run in MLflow."""
        client = MlflowClient(self.stack.env["MLFLOW_TRACKING_URI"])
        experiment = client.get_experiment_by_name("semanir")
        (found,) = client.search_runs([experiment.experiment_id], f"tags.`semanir.run_name` = '{self.name}'")
        return str(found.info.run_id)

    @property
    def losses(self) -> dict[int, float]:
        return dict(runs_and_losses(self.stack)[len(self.before) :]).get(self.name, {})

    def reach(self, step: int) -> None:
        wait_for(lambda: len(runs_and_losses(self.stack)) > len(self.before), "the new run", timeout_s=240)
        wait_for(lambda: max(self.losses, default=0) >= step, f"step {step}", timeout_s=240)

    def end(self) -> str:
        output, _ = self.process.communicate(timeout=400)
        return output


@contextmanager
def running(stack: Any, command: list[str]) -> Iterator[Run]:
    run = Run(stack, command)
    try:
        yield run
    finally:
        run.process.kill()


def kill(stack: Any, part: str) -> None:
    found = list(processes.find(stack.layout.folder, part))
    assert found
    for process in found:
        process.kill()
    psutil.wait_procs(found, timeout=10)


@pytest.fixture
def bring_back(stack: Any, infra_local: Any) -> Iterator[Any]:
    """Start again what was killed; also at the end of a test that failed."""

    def up() -> None:
        again = infra_local(stack.layout.folder, "up")
        assert again.returncode == 0, again.stdout + again.stderr

    yield up
    up()


def assert_whole(stack: Any, run: Run) -> None:
    """Every figure and every file of the run is that of the uninterrupted one."""
    assert run.losses == run.whole  # to the last bit
    assert sorted(run.losses) == list(range(1, STEPS + 1))
    found, expected = (checkpoints(stack, name) for name in (run.name, run.whole_name))
    assert {folder: sorted(files) for folder, files in found.items()} == {
        folder: sorted(files) for folder, files in expected.items()
    }


def test_figures_and_files_sent_while_mlflow_is_away_arrive(
    stack: Any, command: list[str], bring_back: Any, tmp_path: Path
) -> None:
    with running(stack, [*command, "--set", "training.profile_steps=[40, 41]"]) as run:
        run.reach(5)
        kill(stack, "mlflow")
        bring_back()
        output = run.end()
    assert run.process.returncode == 0, output
    assert_whole(stack, run)
    client = MlflowClient(stack.env["MLFLOW_TRACKING_URI"])
    names = [file.path for file in client.list_artifacts(run.id, "profile")]
    assert names == ["profile/steps-40-41.operators.txt", "profile/steps-40-41.trace.json.gz"]
    # The server declares the gzip as the transfer's encoding, so a download comes unpacked.
    trace = json.loads(Path(client.download_artifacts(run.id, names[1], str(tmp_path))).read_bytes())
    assert {"forward", "backward"} <= {event.get("name") for event in trace["traceEvents"]}


def test_a_checkpoint_waits_for_s3(stack: Any, command: list[str], bring_back: Any) -> None:
    with running(stack, command) as run:
        run.reach(21)
        kill(stack, "s3")
        run.reach(41)  # past the checkpoint of step 40
        bring_back()
        output = run.end()
    assert run.process.returncode == 0, output
    assert_whole(stack, run)


def test_s3_away_for_too_long_ends_the_run_which_goes_on_later(stack: Any, command: list[str], bring_back: Any) -> None:
    impatient = [*command, "--set", "training.outage_deadline_s=4"]
    with running(stack, impatient) as run:
        wait_for(lambda: len(runs_and_losses(stack)) > len(run.before), "the new run", timeout_s=240)
        wait_for(lambda: "step-000000020" in checkpoints(stack, run.name), "the first checkpoint", timeout_s=240)
        kill(stack, "s3")
        output = run.end()
    assert run.process.returncode == 1, output
    assert "exit code 1" in output
    (said,) = {line for line in output.splitlines() if line.startswith("denoising_color:")}
    assert "still failing after" in said
    assert said.endswith("bring the store back, then run again to continue")
    bring_back()
    continued = stack.run(impatient, timeout_s=400)
    assert continued.returncode == 0, continued.stdout + continued.stderr
    assert_whole(stack, run)
