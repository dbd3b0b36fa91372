"""One whole run between a real S3 and a real MLflow server, each behind a proxy that may harm one call of it."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import psutil
from mlflow import MlflowClient
from PIL import Image

from infra.local.folders import PROJECT_ROOT
from pipeline.config import RunConfig, resolve
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.registry import registered_name
from pipeline.storage import open_storage
from pipeline.storage.s3 import s3_client
from tests.http_faults import Fault, FaultyProxy

Server = Literal["S3", "MLflow"]
TASK = "demosaicking"  # which no other test registers on the shared server
DATA, RUNS = "s3://tests/whole-run/data", "s3://tests/whole-run/runs"
HANGS_S = 120.0
REFUSED = 2  # the exit status of bad input, as the command's
OUTAGE_S = 16.0  # what a server's silence may last; of S3 one answer a quarter of it, of MLflow one answer:
ANSWER_S = 6.0
LAST = "step-000000004"
# What is drawn anew in every run: its ids in MLflow, and numbers of experiments, versions and uploads.
_MODEL = re.compile(r"(/models/\*/artifacts/).+")
_DRAWN = re.compile(r"\b(m-)?[0-9a-f]{32}\b|(?<=[/=])\d+(?=[/&]|$)|\?.*")


def kind_of(call: str) -> str:
    """A call without what differs between runs: "GET /api/2.0/mlflow/runs/search"."""
    method, _, path = call.partition(" ")
    listing = re.search(r"[?&]prefix=([^&]*)", path)
    kind = f"{method} {_DRAWN.sub(lambda found: '' if found[0].startswith('?') else '*', path)}"
    kind = _MODEL.sub(r"\1…", re.sub(rf"runs/{TASK}-[0-9a-f-]+", "runs/RUN", kind))
    return f"{kind} (list)" if listing is not None or "list-type" in path else kind


@dataclass(frozen=True)
class Cell:
    """The ``number``-th call (from 0) of a ``kind`` to a server, and what is done to it."""

    server: Server
    kind: str
    number: int
    fault: Fault


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (-9: killed), what it said, and how long it took."""

    status: int
    said: str
    seconds: float

    @property
    def refusal(self) -> str:
        """Its one line, "" where it has none."""
        lines = [line for line in self.said.splitlines() if line.startswith("refused: ")]
        return lines[0].removeprefix("refused: ") if lines else ""


def configuration() -> RunConfig:
    """Four steps with checkpoints after the second and the last, of which one is kept."""
    document = {
        "defaults": {
            "storage": RUNS,
            "model": {"name": "ushape_tiny"},
            "data": {"train": DATA, "val": DATA, "patch_size": 16, "streams": 4, "block_size": 2},
            "training": {
                "steps": 4, "global_batch_size": 4, "learning_rate": 2e-3, "loss": "pseudo_huber", "ema_decay": 0.9,
                "log_every": 1, "validate_every": 2, "checkpoint_every": 2, "num_workers": 1, "num_to_keep": 1,
                "use_gpu": False, "outage_deadline_s": OUTAGE_S,
            },
        }
    }  # fmt: skip
    return resolve(document, TASK, ())


class Laboratory:
    """Runs the same command on clean ground, harmed or not, and says what it left behind."""

    def __init__(self, folder: Path, s3_address: str, mlflow_address: str) -> None:
        self.folder, self._config = folder, configuration().model_dump_json()
        addresses: dict[Server, str] = {"S3": s3_address, "MLflow": mlflow_address}
        self.proxies = {server: FaultyProxy(address) for server, address in addresses.items()}
        self._listeners = {server: listeners(address) for server, address in addresses.items()}
        self._mlflow = MlflowClient(mlflow_address)
        self._experiment = ""
        self._pid, self._started = 0, threading.Event()
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.runs.plain_run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=PROJECT_ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, bufsize=1, start_new_session=True,
        )  # fmt: skip
        pack(folder)

    def close(self) -> None:
        self._warm.kill()
        self._warm.wait()
        for proxy in self.proxies.values():
            proxy.close()

    def clear(self) -> None:
        """Nothing is left of the runs before, but experiments, which are not looked at again."""
        self._experiment = f"whole-run-{uuid.uuid4().hex[:8]}"
        bucket, _, prefix = RUNS.removeprefix("s3://").partition("/")
        for entry in list(open_storage(RUNS).list()):  # folders too, which no key of ours may name
            s3_client().delete_object(Bucket=bucket, Key=f"{prefix}/{entry.key}")
        for model in self._mlflow.search_registered_models(f"name='{registered_name(TASK)}'"):
            self._mlflow.delete_registered_model(model.name)

    def arm(self, cell: Cell | None, act: Callable[[], None] | None = None) -> None:
        """Harm that call of the next command, None: none of it; ``act`` stands in for its being killed."""
        for server, proxy in self.proxies.items():
            if cell is None or cell.server != server:
                proxy.arm(lambda number, call: False, "lost")
            else:
                proxy.arm(Nth(cell), cell.fault, act or self.kill)

    def signal(self, server: Server, number: signal.Signals) -> None:
        """Send a signal to the processes that listen there."""
        for pid in self._listeners[server]:
            os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to the command that runs, workers and all."""
        assert self._started.wait(HANGS_S)  # its first call may be faster than the news of its start
        os.kill(self._pid, signal.SIGKILL)

    def start(self) -> None:
        """Begin the command, of which there is one at a time."""
        job = {
            "config": self._config, "experiment": self._experiment, "log": str(self.log),
            "patience_s": OUTAGE_S,
            "environment": {
                "AWS_ENDPOINT_URL_S3": self.proxies["S3"].address,
                "MLFLOW_TRACKING_URI": self.proxies["MLflow"].address,
                "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{ANSWER_S:g}",
                "XDG_CACHE_HOME": str(self.folder / "cache"),
            },
        }  # fmt: skip
        assert self._warm.stdin is not None
        self.log.write_text("")
        self._began = time.monotonic()
        self._pid = 0
        self._started.clear()
        self._warm.stdin.write(json.dumps(job) + "\n")
        self._pid = self._answer(5 * HANGS_S)  # the first waits for the interpreter to be warm
        self._started.set()

    def end(self, patience_s: float = HANGS_S) -> Ended:
        """Wait for it. Fails when it hangs, ends in an error that is not ours, or leaves a process behind."""
        status = os.waitstatus_to_exitcode(self._answer(patience_s))
        ended = Ended(status, self.log.read_text(errors="replace"), time.monotonic() - self._began)
        assert status in (0, REFUSED, -signal.SIGKILL), ended.said
        assert "Traceback" not in ended.said, ended.said
        assert not [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if session(pid) == self._pid]
        return ended

    def run(self, patience_s: float = HANGS_S) -> Ended:
        self.start()
        return self.end(patience_s)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def _answer(self, patience_s: float) -> int:
        assert self._warm.stdout is not None
        ready, _, _ = select.select([self._warm.stdout], [], [], patience_s)
        if not ready:
            with suppress(ProcessLookupError):
                os.kill(self._pid or self._warm.pid, signal.SIGKILL)
            self._warm.stdout.readline()  # the next answer is the next command's
            raise AssertionError(f"hangs: {self.log.read_text()}")
        return int(self._warm.stdout.readline())

    def statuses(self) -> list[str]:
        """Of the runs in MLflow."""
        return sorted(run.info.status for run in self._runs())

    def _runs(self) -> list[Any]:
        experiment = self._mlflow.get_experiment_by_name(self._experiment)
        return [] if experiment is None else list(self._mlflow.search_runs([experiment.experiment_id]))

    def result(self) -> dict[str, Any]:
        """What the ended run made, to the last bit. Fails when more or less of it is there than should be."""
        (version,) = self._mlflow.search_model_versions(f"name='{registered_name(TASK)}'")
        assert version.status == "READY"
        assert self._mlflow.get_registered_model(version.name).aliases == {"champion": version.version}
        runs = self._runs()
        (run,) = (run for run in runs if run.info.run_id == version.run_id)
        assert run.info.status == "FINISHED"
        assert all(other.info.status == "KILLED" for other in runs if other is not run)
        (logged,) = self._mlflow.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
        )
        assert logged.status == "READY"
        assert version.source == f"models:/{logged.model_id}"
        assert not s3_client().list_multipart_uploads(Bucket="tests").get("Uploads")
        store = open_storage(RUNS)
        files = {entry.key.partition("/")[2]: entry for entry in store.list() if not entry.key.endswith("/")}
        assert {name.partition("/")[0] for name in files} == {LAST, "lease"}, sorted(files)
        lease = files[max(name for name in files if name.startswith("lease/"))]  # the one before may stay beside it
        assert json.loads(store.read(lease.key))["released"]
        return {
            # ETags are MD5 digests. Lists count attempts, and figures tell times.
            "files": {
                name: (entry.size, entry.version)
                for name, entry in files.items()
                if not name.startswith(("lease/", f"{LAST}/parts/", f"{LAST}/figures"))
            },
            "figures": {key: self._history(run.info.run_id, key) for key in ("loss", "val_psnr", "learning_rate")},
            "version": {key: value for key, value in version.tags.items() if key != "training_run_id"},
            "artifacts": sorted(file.path for file in self._mlflow.list_artifacts(run.info.run_id)),
            "data": sorted(given.dataset.digest for given in run.inputs.dataset_inputs),
        }

    def _history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """(step, value); a step that was done twice has the same value twice."""
        return sorted({(one.step, one.value) for one in self._mlflow.get_metric_history(run_id, key)})


class Nth:
    """Chooses the call of a cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell, self._before = cell, 0

    def __call__(self, number: int, call: str) -> bool:
        del number
        if kind_of(call) != self._cell.kind:
            return False
        self._before += 1
        return self._before > self._cell.number


def pack(folder: Path) -> None:
    """Three small images on S3."""
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        coarse = rng.integers(0, 256, (6, 6 + number, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 36)).save(folder / "images" / f"{number}.png")
    pack_dataset(folder_sources(str(folder / "images")), DATA, replace=True)


def listeners(address: str) -> set[int]:
    """The processes that take calls there."""
    return {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == urlsplit(address).port and one.pid is not None
    }


def session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def counted(proxy: FaultyProxy) -> Counter[str]:
    """How many calls of each kind passed since the proxy was armed, in the order of their first."""
    return Counter(map(kind_of, proxy.calls))


@contextmanager
def laboratory(folder: Path, s3_address: str, mlflow_address: str) -> Iterator[Laboratory]:
    lab = Laboratory(folder, s3_address, mlflow_address)
    try:
        yield lab
    finally:
        lab.close()
