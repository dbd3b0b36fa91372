"""Many faults in one run of Ray Train on two nodes: each ends in recovery, and no step's loss changes by a bit."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig, resolve

RUN = Path(__file__).parent / "ray_run.py"
FAULTS = int(os.environ.get("SEMANIR_SOAK_FAULTS", "20"))
STEPS_PER_FAULT, CHECKPOINT_EVERY = 6, 4
KINDS = ("kill", "terminate", "kill", "node")
RECOVERY_S = 60

pytestmark = pytest.mark.slow


def config(shards: Path, storage: Path, steps: int, **training: Any) -> RunConfig:
    document = {
        "defaults": {
            "storage": str(storage),
            "setting": {"sigma": 25},
            "model": {"name": "ushape_tiny"},
            "data": {"train": str(shards), "val": str(shards), "patch_size": 16, "streams": 4, "block_size": 2},
            "training": {
                "steps": steps, "global_batch_size": 4, "learning_rate": 2e-3, "loss": "pseudo_huber", "ema_decay": 0.9,
                "random_k": [4, 16], "log_every": 1, "validate_every": steps, "checkpoint_every": CHECKPOINT_EVERY,
                "num_workers": 2, "max_failures": -1, "collective_timeout_s": 20, "schedule": {"warmup_steps": 2},
                **training,
            },
        }
    }  # fmt: skip
    return resolve(document, "denoising_color", ())


def run(folder: Path, config: RunConfig, faults: list[dict[str, Any]], **environment: str) -> dict[str, Any]:
    folder.mkdir()
    job = {"config": config.model_dump_json(), "name": "soak", "faults": faults}
    (folder / "job.json").write_text(json.dumps(job))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", **environment}
    done = subprocess.run(
        [sys.executable, str(RUN), str(folder / "job.json")],
        env=environment, capture_output=True, text=True, timeout=600 + RECOVERY_S * len(faults), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads((folder / "events.json").read_text())
    return result


def losses(result: dict[str, Any]) -> dict[int, float]:
    """Last value per step."""
    return {event["step"]: event["loss"] for event in result["events"] if "loss" in event}


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run without faults."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder / "run", config(shards, folder / "runs", STEPS_PER_FAULT * (FAULTS + 1)), [])


def test_faults_change_no_loss(whole: dict[str, Any], shards: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    faults = [
        {
            "step": number * STEPS_PER_FAULT + draw.randrange(1, STEPS_PER_FAULT),
            "kind": KINDS[number % len(KINDS)],
            "worker": draw.randrange(2),
        }
        for number in range(FAULTS)
    ]
    faulty = run(tmp_path / "run", config(shards, tmp_path / "runs", STEPS_PER_FAULT * (FAULTS + 1)), faults)
    events = faulty["events"]
    assert [event["fault"] for event in events if "fault" in event] == [fault["kind"] for fault in faults]
    assert losses(faulty) == losses(whole)
    assert (faulty["steps"], faulty["best_psnr"]) == (whole["steps"], whole["best_psnr"])
    gaps = [later["time"] - event["time"] for event, later in pairwise(events)]
    print(f"{FAULTS} faults, {len(events)} events, longest recovery {max(gaps):.1f} s")  # noqa: T201
    assert max(gaps) < RECOVERY_S


@pytest.mark.parametrize("kind", ["terminate", "drain"])
def test_a_worker_that_is_told_to_leave_loses_nothing(
    kind: str, whole: dict[str, Any], shards: Path, tmp_path: Path
) -> None:
    steps = STEPS_PER_FAULT * (FAULTS + 1)
    told = run(tmp_path / "run", config(shards, tmp_path / "runs", steps), [{"step": 5, "kind": kind, "worker": 1}])
    assert losses(told) == losses(whole)
    repeated = sum("loss" in event for event in told["events"]) - steps
    assert repeated == 0, f"{repeated} steps were trained twice"


@pytest.mark.parametrize("lost", [0, 1])
def test_a_run_goes_on_with_the_nodes_it_has(lost: int, shards: Path, run_group: Any, tmp_path: Path) -> None:
    settings = config(shards, tmp_path / "runs", 10**6, num_workers=[1, 2], max_failures=1, grow_after_s=1)
    faults = [
        {"workers": 2, "steps": 6, "kind": "lose", "worker": lost},
        {"workers": 1, "steps": 3, "kind": "join"},
        {"workers": 2, "steps": 5, "kind": "stop"},
    ]
    checks = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}
    elastic = run(tmp_path / "run", settings, faults, **checks)
    events = elastic["events"]
    figures = [event for event in events if "loss" in event]
    assert [event["fault"] for event in events if "fault" in event] == ["lose", "join", "stop"]
    assert [workers for workers, _ in groupby(figures, key=lambda event: event["workers"])] == [2, 1, 2]
    assert "is saved" in elastic["interrupted"]
    # The lost node takes the steps since the last checkpoint with it; growing costs none, and trains none twice.
    since = [event["step"] for event in figures[[event["workers"] for event in figures].index(1) :]]
    assert since == list(range(since[0], since[-1] + 1))
    whole = run_group(tmp_path, "loop", 2, config=settings.model_dump_json(), leave={"0": since[-1]})[0]
    expected = {step: metrics["loss"] for step, metrics in whole["logged"] if "loss" in metrics}
    assert sorted(losses(elastic)) == list(range(1, since[-1] + 1))
    assert losses(elastic) == pytest.approx(expected, rel=1e-5)
    print([(event.get("fault") or event["workers"], round(event["time"] - events[0]["time"], 1)) for event in events])  # noqa: T201
