"""The elastic policy on a real cluster, asked as by Ray Train: `python real_policy.py FILE` writes what it answers."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
from ray.cluster_utils import Cluster
from ray.train.v2.api.config import ScalingConfig

from pipeline.cluster import Board
from pipeline.ray_internals import ResizeDecision
from pipeline.training.elastic import ElasticPolicy

WAIT_S = 60


def until(condition: Callable[[], Any]) -> Any:
    """What ``condition`` comes to, asked again as the controller does; None when it never does."""
    end = time.monotonic() + WAIT_S
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return value


def started(policy: ElasticPolicy) -> int | None:
    decision = policy.make_decision_for_non_running_worker_group()
    return decision.num_workers if isinstance(decision, ResizeDecision) else None


def called_for_more(policy: ElasticPolicy, board: Board, running: int) -> bool:
    state: Any = SimpleNamespace(num_workers=running, start_time=float("-inf"))
    decision = policy.make_decision_for_running_worker_group(state, None)
    assert not isinstance(decision, ResizeDecision), "Ray Train would kill the workers"
    return board.dismissed("run", running)


def main(result: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=5)
        ray.init(address=cluster.address, log_to_driver=False)
        board = Board()
        scaling = ScalingConfig(
            num_workers=(1, 8), resources_per_worker={"CPU": 2}, elastic_resize_monitor_interval_s=0
        )
        policy = ElasticPolicy(scaling, [1, 2, 4, 8], "run", board)
        found: dict[str, Any] = {}
        policy.after_controller_start(None)
        found["two fit"] = until(lambda: started(policy))
        found["no room for four"] = called_for_more(policy, board, 2)
        node = cluster.add_node(num_cpus=4)
        found["four fit now"] = bool(until(lambda: called_for_more(policy, board, 2)))
        found["starts with four"] = until(lambda: started(policy) == 4)
        cluster.remove_node(node, allow_graceful=False)
        found["a lost node"] = until(lambda: started(policy) == 2)
        board.allow("run", 1)
        found["allowed one"] = until(lambda: started(policy) == 1)
        asyncio.run(policy.before_controller_shutdown())
        result.write_text(json.dumps(found))  # not printed: Ray prints there too, when it wants to
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
