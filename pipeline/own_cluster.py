"""A Ray cluster of one process alone, on loopback: for what needs Ray and has no cluster to join."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.errors import UserError, first_line

STARTS = 3
END_S = 10.0
# Whatever the address of the node, every machine reaches Ray's figures for Prometheus, so they stay off, and the
# servers by which Serve's replicas speak to one another, so they ask for Ray's token.
_ON_LOOPBACK = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_enable_metrics_collection": "0",
    "DASHBOARD_METRIC_PORT": "-1",
    "AUTOSCALER_METRIC_PORT": "-1",
}


@contextmanager
def own_cluster(cpus: int, gpus: int | None = None, *, token: bool = True) -> Iterator[None]:
    """A cluster of this process alone, on loopback, while the block runs. gpus: None: what the machine has.

    token: ask for Ray's. Without only in a process that used Ray before: it keeps the mode that it began with.

    Ray reads where it may listen when it is imported, so it must not have been before. It waits 30 seconds for its own
    node, which a busy machine exceeds; so it is started up to three times.

    Raises:
        UserError: it did not start.
    """
    os.environ.update({name: value for name, value in _ON_LOOPBACK.items() if token or name != "RAY_AUTH_MODE"})
    import psutil
    import ray

    before = set(psutil.Process().children(recursive=True))
    for left in reversed(range(STARTS)):
        try:
            ray.init(
                address="local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, log_to_driver=False,
                logging_level=logging.CRITICAL, _node_ip_address="127.0.0.1",
            )  # fmt: skip
            break
        except Exception as error:  # Ray's own class for it
            ray.shutdown()
            _end(set(psutil.Process().children(recursive=True)) - before)  # what the try started, which Ray forgets
            if "timed out during startup" not in str(error):
                raise
            if not left:
                raise UserError(f"no Ray cluster could be started on this machine: {first_line(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _end(processes: set[Any]) -> None:
    import psutil

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(list(processes), END_S)
