"""One MLflow run per task run: figures arrive in order and late rather than never; nothing here stops training."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from numpy.typing import NDArray
from PIL import Image

from pipeline.registry.client import connect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 500  # metrics per request; MLflow's own limit is 1000
FLUSH_EVERY_S = 2.0
RUN_NAME_TAG = "semanir.run_name"


class Tracker:
    """An MLflow run that outlives both a killed driver (it is found again by name) and a short server outage.

    With a ``parent`` it is shown below that run. Metrics are queued and sent by a thread, which keeps what the server
    did not take and offers it again until
    ``deadline_s`` after :meth:`finish` was called.
    """

    def __init__(
        self, experiment_id: str, run_name: str, params: Mapping[str, Any], tags: Mapping[str, str],
        parent: Tracker | None = None,
    ) -> None:  # fmt: skip
        self._client = connect()
        if parent is not None:
            tags = {**tags, MLFLOW_PARENT_RUN_ID: parent.run_id}
        self.run_id: str = self._find_or_create(experiment_id, run_name, tags)
        # MLflow refuses to change one; a run that continues may have other workers, which its config.json says.
        known = self._client.get_run(self.run_id).data.params
        self._client.log_batch(
            self.run_id, params=[Param(key, str(value)) for key, value in params.items() if key not in known]
        )
        self._queue: list[Metric] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_forever, name=f"mlflow-{run_name}", daemon=True)
        self._thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Queue figures of one step; returns at once."""
        now = int(time.time() * 1000)
        with self._lock:
            self._queue += [Metric(key, float(value), now, step) for key, value in metrics.items()]

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def picture(self, name: str, pictures: Mapping[str, NDArray[np.float32]]) -> None:
        """Log images (H, W, C) in [0, 1] of one size side by side as ``pictures/<name>.png``."""
        row = np.concatenate([_as_rgb(image) for image in pictures.values()], axis=1)
        self._client.log_image(self.run_id, Image.fromarray(row), artifact_file=f"pictures/{name}.png")

    def figure(self, name: str, figure: Figure) -> None:
        """Log a matplotlib figure as ``name`` (its ending tells the format)."""
        self._client.log_figure(self.run_id, figure, name)

    def document(self, name: str, content: str) -> None:
        """Log a text file."""
        self._client.log_text(self.run_id, content, name)

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Log rows as JSON."""
        self.document(name, json.dumps(rows, indent=2))

    def finish(self, status: str = "FINISHED", deadline_s: float = 300.0) -> None:
        """Send what is queued, then end the run as ``FINISHED``, ``FAILED`` or ``KILLED``.

        Raises:
            TimeoutError: the server did not take the queued figures within ``deadline_s``.
        """
        self._stop.set()
        self._thread.join()
        until = time.monotonic() + deadline_s
        while not self._flush():
            if time.monotonic() > until:
                raise TimeoutError(f"MLflow took no metrics for {deadline_s:.0f} s; {len(self._queue)} are lost")
            time.sleep(FLUSH_EVERY_S)
        self._client.set_terminated(self.run_id, status)

    def _find_or_create(self, experiment_id: str, run_name: str, tags: Mapping[str, str]) -> str:
        known = self._client.search_runs(
            [experiment_id], filter_string=f"tags.`{RUN_NAME_TAG}` = '{run_name}'", max_results=1
        )
        if known:
            run_id = known[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
            return str(run_id)
        run = self._client.create_run(experiment_id, run_name=run_name, tags={RUN_NAME_TAG: run_name, **tags})
        return str(run.info.run_id)

    def _send_forever(self) -> None:
        while not self._stop.wait(FLUSH_EVERY_S):
            self._flush()

    def _flush(self) -> bool:
        with self._lock:
            batch = self._queue[:BATCH]
        while batch:
            try:
                self._client.log_batch(self.run_id, metrics=batch, synchronous=True)
            except MlflowException:
                return False
            with self._lock:
                del self._queue[: len(batch)]
                batch = self._queue[:BATCH]
        return True


def flat_params(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted MLflow parameters; what is None or empty is left out.

    A mapping whose keys are no names (data sets with their weights) is one parameter, as JSON: MLflow's keys take no
    address.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and all(re.fullmatch(r"[\w.-]+", name) for name in value):
            flat.update(flat_params(value, f"{prefix}{key}."))
        elif isinstance(value, Mapping):
            flat[prefix + key] = json.dumps(value)
        elif value not in (None, [], ()):
            flat[prefix + key] = value
    return flat


def open_experiment(name: str) -> str:
    """The id of the experiment called ``name``, made if it is new."""
    connect()
    return str(mlflow.set_experiment(name).experiment_id)


def _as_rgb(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
