"""CPU, memory, GPU, network and disk of the nodes of a run, by MLflow's own monitor."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.registry.client import connect, tracking_uri

log = logging.getLogger(__name__)

EVERY_S = 15.0


@dataclass(frozen=True)
class NodeFigures:
    """What a worker calls with the name of its node; the driver itself watches the node ``driver``."""

    run_id: str
    driver: str

    def __call__(self, node: str) -> AbstractContextManager[None]:
        """Watch ``node`` inside the block, unless the driver does."""
        return nullcontext() if node == self.driver else watch_node(self.run_id, node)


@contextmanager
def watch_node(run_id: str, node: str) -> Iterator[None]:
    """Send the figures of the machine that this runs on to MLflow, as ``system/<node>/…``, while the block runs.

    MLflow's monitor ends by itself when the server is away or the run is over; neither does a server that is away now
    stop a training: the node is then not watched.
    """
    try:
        connect()
    except UserError as error:
        log.warning("%s is not watched: %s", node, error)
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        run_id, sampling_interval=EVERY_S, resume_logging=True, node_id=node, tracking_uri=tracking_uri()
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
