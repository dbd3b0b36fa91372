"""Many faults in one run of Ray Train on two nodes: each ends in recovery, and no step's loss changes by a bit."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from itertools import pairwise
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


def config(shards: Path, storage: Path, steps: int) -> RunConfig:
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
            },
        }
    }  # fmt: skip
    return resolve(document, "denoising_color", ())


def run(folder: Path, shards: Path, steps: int, faults: list[dict[str, Any]]) -> dict[str, Any]:
    folder.mkdir()
    job = {"config": config(shards, folder / "runs", steps).model_dump_json(), "name": "soak", "faults": faults}
    (folder / "job.json").write_text(json.dumps(job))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, str(RUN), str(folder / "job.json")],
        env=environment, capture_output=True, text=True, timeout=120 + RECOVERY_S * len(faults), check=False,
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
    return run(tmp_path_factory.mktemp("whole") / "run", shards, STEPS_PER_FAULT * (FAULTS + 1), [])


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
    faulty = run(tmp_path / "run", shards, STEPS_PER_FAULT * (FAULTS + 1), faults)
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
    told = run(tmp_path / "run", shards, steps, [{"step": 5, "kind": kind, "worker": 1}])
    assert losses(told) == losses(whole)
    repeated = sum("loss" in event for event in told["events"]) - steps
    assert repeated == 0, f"{repeated} steps were trained twice"
