"""One training on a Ray cluster of two nodes, with faults: `python ray_run.py JOB.json` writes EVENTS.json beside it.

The job: ``config`` (a RunConfig as JSON), ``name`` and ``faults``, each ``{"step", "kind", "worker"}``; a fault comes
once the figures of its step have arrived. Kinds: ``kill`` (SIGKILL to a worker), ``terminate`` (SIGTERM to a worker),
``node`` (a node dies, another one comes), ``drain`` (a node is drained, then dies, another one comes).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from pipeline.cluster import Board
from pipeline.config import RunConfig
from pipeline.training.launch import run_training

DRAIN_S = 20


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


class Faults:
    """What can go wrong on ``cluster``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

    def strike(self, fault: dict[str, Any]) -> None:
        if fault["kind"] in ("kill", "terminate"):
            number = signal.SIGKILL if fault["kind"] == "kill" else signal.SIGTERM
            worker_processes()[fault["worker"]].send_signal(number)
            return
        node = self._nodes.pop(fault["worker"])
        self._nodes.append(self._cluster.add_node(num_cpus=1))
        if fault["kind"] == "drain":
            subprocess.run(
                [
                    "ray", "drain-node", "--address", self._cluster.address, "--node-id", node.node_id,
                    "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a test",
                    "--deadline-remaining-seconds", str(DRAIN_S),
                ],
                check=True,
            )  # fmt: skip
        else:
            self._cluster.remove_node(node, allow_graceful=False)


def main() -> None:
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())
    config, faults = RunConfig.model_validate_json(job["config"]), list(job["faults"])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        trouble = Faults(cluster)
        ray.init(address=cluster.address, log_to_driver=False)
        board, events = Board(), []
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(run_training, config, job["name"], board)
            while not run.done():
                time.sleep(0.02)
                step = 0
                for _, (step, metrics) in board.collect():
                    if "loss" in metrics:
                        events.append({"time": time.time(), "step": step, "loss": metrics["loss"]})
                if faults and step >= faults[0]["step"] and len(worker_processes()) == config.training.num_workers:
                    fault = faults.pop(0)
                    trouble.strike(fault)
                    events.append({"time": time.time(), "step": step, "fault": fault["kind"]})
        for _, (step, metrics) in board.collect():
            if "loss" in metrics:
                events.append({"time": time.time(), "step": step, "loss": metrics["loss"]})
        result = {"events": events, "steps": run.result().summary.steps, "best_psnr": run.result().summary.best_psnr}
        (path.parent / "events.json").write_text(json.dumps(result))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
