"""Registration is one transaction that can be repeated: harmed at any HTTP call, the same command ends it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import semanir
from pipeline.registry import ModelCard, client, register, registered_name
from pipeline.registry.client import connect
from pipeline.registry.patience import patiently
from pipeline.registry.promotion import METRIC_TAG
from pipeline.registry.tracking import Tracker, open_experiment
from pipeline.registry.versions import all_versions
from pipeline.tasks import TASKS
from tests.http_faults import Fault, FaultyProxy

TASK = "denoising_gray"
EXPERIMENT = "transactions"
PATIENCE_S = 120.0  # longer means that it hangs
ALL_FAULTS: tuple[Fault, ...] = ("refused", "lost", "stalled", "killed", "killed_after")
# The calls that change what others see; the walk below takes every call.
TURNS = ("runs/create", "POST /api/2.0/mlflow/logged-models", "model-versions/create", "alias", "runs/update")

WHOLE = "PATCH /api/2.0/mlflow/logged-models"


def train(tracking_uri: str, cache: Path, name: str, folder: Path, card: ModelCard) -> None:
    """What a task's run does with MLflow, from its run to the end of it; in a process forked from one that began before
    this test, whose environment is not this test's."""
    os.environ |= {
        "MLFLOW_TRACKING_URI": tracking_uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3", "XDG_CACHE_HOME": str(cache),
    }  # fmt: skip
    client.CONNECT_TIMEOUT_S = 3.0
    tracker = Tracker(open_experiment(EXPERIMENT), name, params={"seed": 0}, tags={"task": TASK})
    tracker.log(1, {"loss": 0.5})
    tracker.flush()
    registered = patiently("registering", lambda: register(folder, card, run_id=tracker.run_id))
    tracker.tag({"model_version": str(registered.version)})
    tracker.finish()


def model(folder: Path, seed: int) -> Path:
    task = TASKS[TASK]
    torch.manual_seed(seed)
    network = semanir.create_model(task.tiny_model, in_channels=1, out_channels=1, zero_init_last=False)
    return semanir.save(network, folder / str(seed))


def check(name: str) -> None:
    """One READY version of the run's weights, champion, and a FINISHED run with one whole model."""
    mlflow = connect()
    experiment = mlflow.get_experiment_by_name(EXPERIMENT).experiment_id
    (run,) = mlflow.search_runs([experiment], f"tags.`semanir.run_name` = '{name}'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["loss"] == 0.5
    (logged,) = mlflow.search_logged_models([experiment], filter_string=f"source_run_id = '{run.info.run_id}'")
    assert logged.status == "READY"
    assert {output.model_id for output in run.outputs.model_outputs} == {logged.model_id}
    (version,) = (v for v in all_versions(mlflow, registered_name(TASK)) if v.run_id == run.info.run_id)
    assert version.status == "READY"
    assert version.source == f"models:/{logged.model_id}"
    assert run.data.tags["model_version"] == str(version.version)
    aliases = mlflow.get_registered_model(registered_name(TASK)).aliases
    assert {alias for alias, number in aliases.items() if int(number) == int(version.version)} == {"champion"}


class Commands:
    """The same command, in a process of its own where it may be killed."""

    def __init__(self, proxy: FaultyProxy, folder: Path, make_card: Callable[..., ModelCard]) -> None:
        self._proxy, self._folder, self._make_card = proxy, folder, make_card
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "mlflow", "pipeline.registry.seal"])
        self._count = 0

    def run_harmed(self, chosen: Callable[[int, str], bool], fault: Fault) -> str:
        """Train with one call harmed, again if that killed it, then check; returns the call, "" if there was none."""
        # Better than all before, whichever test made them: it must end as the champion.
        best = max((float(v.tags[METRIC_TAG]) for v in all_versions(connect(), registered_name(TASK))), default=20.0)
        self._count += 1
        name, folder = f"{fault}-{best:.2f}", model(self._folder, self._count)
        card = self._make_card(TASK, restored=best + 0.01)
        arguments = (self._proxy.address, self._folder / "cache", name, folder, card)
        process: Any = self._context.Process(target=train, args=arguments)
        self._proxy.arm(chosen, fault, lambda: os.kill(process.pid, signal.SIGKILL))
        process.start()
        process.join(PATIENCE_S)
        harmed = self._proxy.harmed
        self._proxy.arm(lambda number, call: False, fault)  # the calls of the check are the test's own
        if fault.startswith("killed") and harmed:
            assert process.exitcode == -signal.SIGKILL
            process = self._context.Process(target=train, args=arguments)
            process.start()
            process.join(PATIENCE_S)
        assert process.exitcode == 0, (fault, harmed)
        check(name)
        return harmed


@pytest.fixture
def commands(proxy: FaultyProxy, tmp_path: Path, make_card: Callable[..., ModelCard]) -> Commands:
    return Commands(proxy, tmp_path, make_card)


@pytest.mark.parametrize(
    ("turn", "fault"),
    [
        (TURNS[2], "killed_after"),
        pytest.param(TURNS[2], "lost", marks=pytest.mark.slow),
        (TURNS[3], "killed"),
        (WHOLE, "refused"),
    ],
)
def test_where_it_once_went_wrong(commands: Commands, turn: str, fault: Fault) -> None:
    """A version without its alias, or two of one run; a model that could not be declared whole any more."""
    assert turn in commands.run_harmed(lambda number, call: turn in call, fault)


class Nth:
    """Chooses call ``number``; of the uploads, which are all alike, only the first and every twentieth count."""

    def __init__(self, number: int) -> None:
        self._left, self._uploads = number, 0

    def __call__(self, number: int, call: str) -> bool:
        del number
        if call.startswith("PUT"):
            self._uploads += 1
            if self._uploads % 20 != 1:
                return False
        self._left -= 1
        return self._left < 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ALL_FAULTS)
def test_every_call_of_a_registration(commands: Commands, fault: Fault) -> None:
    harmed: list[str] = []
    while call := commands.run_harmed(Nth(len(harmed)), fault):
        harmed.append(call)
    assert len(harmed) > 20
    assert all(any(turn in call for call in harmed) for turn in TURNS), harmed
