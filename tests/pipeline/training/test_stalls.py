"""A worker or the driver that is stopped in its tracks (SIGSTOP): nothing hangs, and no loss changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.training.test_soak import RUN, config, losses, run

STEPS = 24
LONGEST_S = 120

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run without faults."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder / "run", config(shards, folder / "runs", STEPS), [])


def test_a_stopped_worker_is_replaced(whole: dict[str, Any], shards: Path, tmp_path: Path) -> None:
    faults = [{"step": 9, "kind": "stall", "worker": 1}]
    stalled = run(tmp_path / "run", config(shards, tmp_path / "runs", STEPS), faults)
    assert [event["fault"] for event in stalled["events"] if "fault" in event] == ["stall"]
    assert losses(stalled) == losses(whole)
    gaps = [later["time"] - event["time"] for event, later in pairwise(stalled["events"])]
    print(f"longest gap {max(gaps):.1f} s")  # noqa: T201
    assert max(gaps) < LONGEST_S
    assert stalled["left"] == []  # no process of the stopped worker's


def test_training_goes_on_while_the_driver_is_stopped(whole: dict[str, Any], shards: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    job = {"config": config(shards, tmp_path / "runs", STEPS).model_dump_json(), "name": "soak", "faults": []}
    (tmp_path / "run" / "job.json").write_text(json.dumps(job))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    driver = subprocess.Popen([sys.executable, str(RUN), str(tmp_path / "run" / "job.json")], env=environment)
    try:
        wait_for(tmp_path / "runs" / "soak", 1)
        driver.send_signal(signal.SIGSTOP)
        wait_for(tmp_path / "runs" / "soak", 3)  # two more, while nobody listens
        driver.send_signal(signal.SIGCONT)
        assert driver.wait(timeout=LONGEST_S) == 0
    finally:
        driver.send_signal(signal.SIGCONT)
        driver.kill()
    assert losses(json.loads((tmp_path / "run" / "events.json").read_text())) == losses(whole)


def wait_for(folder: Path, checkpoints: int) -> None:
    """Until ``checkpoints`` different ones have been seen in a run's folder."""
    seen: set[str] = set()
    end = time.monotonic() + LONGEST_S
    while len(seen) < checkpoints:
        assert time.monotonic() < end, f"{len(seen)} of {checkpoints} checkpoints after {LONGEST_S} s"
        seen |= {path.name for path in folder.glob("step-*")}
        time.sleep(0.05)
