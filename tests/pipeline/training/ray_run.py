"""One training on a Ray cluster of two nodes, with faults: `python ray_run.py JOB.json` writes EVENTS.json beside it.

The job: ``config`` (a RunConfig as JSON), ``name`` and ``faults``, each ``{"kind", "worker"}`` with the ``step`` whose
figures it follows, or with ``workers`` and ``steps``: after that many steps on so many workers since the fault before.
Kinds: ``kill``, ``terminate``, ``stall`` (SIGKILL, SIGTERM, SIGSTOP to a worker), ``node`` (one dies, another comes),
``drain`` (a node is drained, then dies, another one comes), ``lose`` (a node dies), ``join`` (a node comes), ``stop``
(the run is told to save and leave), ``take`` (another driver takes the run's lease).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar

import psutil
import ray
from ray.cluster_utils import Cluster

from pipeline.cluster import Board
from pipeline.config import RunConfig
from pipeline.storage import open_storage
from pipeline.storage.lease import HeldElsewhere, Lease, sole_writer, take
from pipeline.training.context import Figures, Interrupted, Said
from pipeline.training.ray_train import run_training

T = TypeVar("T")
DRAIN_S = 20
SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "stall": signal.SIGSTOP}


def worker_processes() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::") and "RayTrainWorker" in title:
            found.append(process)
    return sorted(found, key=lambda process: process.pid)


def meeting() -> list[str]:
    """The files in which workers of this run, or of an earlier one under its TMPDIR, meet; by the port they replace."""
    return sorted(path.name for path in Path(gettempdir()).glob("semanir-*/meeting-*/*"))


def listening() -> set[str]:
    """The ports on which workers listen."""
    sockets = [one for process in worker_processes() for one in process.net_connections("tcp")]
    return {str(one.laddr.port) for one in sockets if one.status == psutil.CONN_LISTEN}


def in_the_end(start: Callable[[], T]) -> T:
    """Ray waits 30 seconds for a node, a constant, which a busy machine exceeds: it is started up to three times."""
    for left in (2, 1, 0):
        try:
            return start()
        except Exception as error:  # Ray's own class for it
            if "timed out during startup" not in str(error) or not left:
                raise
    raise AssertionError


class Faults:
    """What can go wrong on ``cluster``."""

    def __init__(self, cluster: Cluster, folder: str) -> None:
        self._cluster, self.folder = cluster, folder
        self.taken: Lease | None = None
        self._nodes = [in_the_end(lambda: cluster.add_node(num_cpus=1)) for _ in range(2)]
        ray.init(address=cluster.address, log_to_driver=False)
        self.board = Board()

    def strike(self, fault: dict[str, Any]) -> None:
        if fault["kind"] in SIGNALS:
            worker_processes()[fault["worker"]].send_signal(SIGNALS[fault["kind"]])
            return
        if fault["kind"] == "stop":
            self.board.dismiss()
            return
        if fault["kind"] == "take":
            self.taken = take(open_storage(self.folder), "the run", force="a test")
            return
        if fault["kind"] in ("node", "drain", "join"):
            self._nodes.append(in_the_end(lambda: self._cluster.add_node(num_cpus=1)))
        if fault["kind"] == "join":
            return
        node = self._nodes.pop(fault["worker"])
        if fault["kind"] == "drain":
            subprocess.run(
                [
                    Path(sys.executable).with_name("ray"), "drain-node",
                    "--address", self._cluster.address, "--node-id", node.node_id,
                    "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a test",
                    "--deadline-remaining-seconds", str(DRAIN_S),
                ],
                check=True,
            )  # fmt: skip
        else:
            self._cluster.remove_node(node, allow_graceful=False)


def due(fault: dict[str, Any], events: list[dict[str, Any]], workers: int) -> bool:
    """Whether it is time for ``fault``, which finds as many workers as the run may have."""
    last = max((number for number, event in enumerate(events) if "fault" in event), default=-1)
    if "step" in fault:
        news = events[last + 1 :][-1:]
        return bool(news) and news[0]["step"] >= fault["step"] and len(worker_processes()) == workers
    return sum(event.get("workers") == fault["workers"] for event in events[last + 1 :]) >= fault["steps"]


def main() -> None:
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())
    config, faults = RunConfig.model_validate_json(job["config"]), list(job["faults"])
    cluster = in_the_end(
        lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    )
    try:
        folder = f"{config.storage}/{job['name']}"
        trouble, events = Faults(cluster, folder), []
        said: list[str] = []

        def collect() -> None:
            for _, notice in trouble.board.collect():
                if isinstance(notice, Said):
                    said.append(notice.line)
                elif isinstance(notice, Figures) and "loss" in notice.metrics and not notice.again:
                    figures = {"loss": notice.metrics["loss"], "workers": notice.metrics["workers"]}
                    events.append({"time": time.time(), "step": notice.step, **figures})

        with sole_writer(folder, "the run") as lease, ThreadPoolExecutor(1) as pool:
            run = pool.submit(run_training, config, job["name"], trouble.board, lease=lease.to_pass_on())
            while not run.done():
                time.sleep(0.02)
                collect()
                if faults and due(faults[0], events, config.training.max_workers):
                    fault = faults.pop(0)
                    event: dict[str, Any] = {"step": events[-1]["step"], "fault": fault["kind"]}
                    event |= {"meeting": meeting(), "listening": sorted(listening())}
                    trouble.strike(fault)
                    events.append(event | {"time": time.time()})
        collect()
        stopped = [process.pid for process in worker_processes() if process.status() == psutil.STATUS_STOPPED]
        result: dict[str, Any] = {"events": events, "said": said, "left": stopped, "meeting": meeting()}
        try:
            summary = run.result().summary
            result |= {"steps": summary.steps, "best_psnr": summary.best_psnr}
        except Interrupted as reason:
            result["interrupted"] = str(reason)
        except HeldElsewhere as reason:
            result["refused"] = str(reason)
        if trouble.taken is not None:
            trouble.taken.release()
        (path.parent / "events.json").write_text(json.dumps(result))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
