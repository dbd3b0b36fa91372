"""The group that Ray Train makes before it starts the training: refused, it costs the run one failure and no room."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.pipeline.training.test_loop import config

pytestmark = pytest.mark.slow

# Two runs of two workers on a cluster that has room for two. The first groups of a run, as many as said, are refused as
# if a stranger were in them: a worker's place in the list of all says which group it is in.
RUNS = """
import fcntl, os, sys
from pathlib import Path

import ray

from pipeline.cluster import Board
from pipeline.config import RunConfig
from pipeline.training.ray_train import on_workers

config, folder = RunConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2])
refused, workers = folder / "refused", folder / "workers"


def refuse_the_first():
    from pipeline.training import known_peers

    def refuse(ranks):
        with workers.open("a+") as known:
            fcntl.flock(known, fcntl.LOCK_EX)
            known.seek(0)
            before = len(known.read().split())
            known.write(f"{os.getpid()}\\n")
        if before < 2 * int(refused.read_text()):
            raise known_peers.Stranger("port 7: somebody")

    known_peers.refuse_strangers = refuse


def loop(config, context):
    return f"{context.world_size} workers in one group"


ray.init(
    "local", num_cpus=2, include_dashboard=False, log_to_driver=False,
    runtime_env={"worker_process_setup_hook": refuse_the_first},
)
for refusals in (2, 1):
    refused.write_text(str(refusals))
    workers.write_text("")
    try:
        said = on_workers(config, f"run-{refusals}", Board(), loop)
    except ray.train.WorkerGroupError as error:
        said = " ".join(str(error).split())
    print("outcome", said, flush=True)
"""


def test_it_is_a_failure_of_the_workers(shards: Path, tmp_path: Path) -> None:
    overrides = ("training.num_workers=2", "training.max_failures=1", f"storage={tmp_path / 'runs'}")
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # Ray's sockets allow of no long names
        done = subprocess.run(
            [sys.executable, "-c", RUNS, config(shards, *overrides).model_dump_json(), tmp_path],
            env={**os.environ, "RAY_TMPDIR": short, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.startswith("outcome")] == [
        "outcome Training failed due to worker errors: port 7: somebody",
        "outcome 2 workers in one group",
    ], done.stdout + done.stderr
