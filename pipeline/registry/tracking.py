"""One MLflow run per task run: figures arrive in order and late rather than never; nothing here stops training."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipeline.registry.client import METRICS_PER_REQUEST, connect, made_by, run_page
from pipeline.registry.curves import draw_curves
from pipeline.registry.lineage import UsedData, dataset_inputs
from pipeline.registry.patience import is_transient, patiently

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.entities import Run

FLUSH_EVERY_S = 2.0
RUN_NAME_TAG = "semanir.run_name"  # the stable identity, by which a run is found again
NOTE_TAG = "mlflow.note.content"  # shown as the run's description
FOLDER_TAG = "semanir.folder"  # where its one writer leaves signs of life (pipeline.storage.lease)
T = TypeVar("T")


class Tracker:
    """An MLflow run that outlives both a killed driver (it is found again by name) and a short server outage.

    ``run_name`` is its identity, kept as a tag; ``title`` is what people see. With a ``parent`` it is shown below that.

    Metrics are queued and sent by a thread, which keeps what the server did not take and offers it again until
    ``deadline_s`` after :meth:`finish` was called. Every other call waits that long for a server that is away, then
    raises TrackingUnavailable.
    """

    def __init__(
        self, experiment_id: str, run_name: str, params: Mapping[str, Any], tags: Mapping[str, str],
        parent: Tracker | None = None, deadline_s: float | None = None, title: str = "",
    ) -> None:  # fmt: skip
        self._deadline_s, self._experiment_id = deadline_s, experiment_id
        self._client = patiently("opening a run", connect, deadline_s)
        if parent is not None:
            tags = {**tags, MLFLOW_PARENT_RUN_ID: parent.run_id}
        tags = {RUN_NAME_TAG: run_name, **tags}
        self.run_id: str = self._wait("opening a run", lambda: self._find_or_create(run_name, tags, title))
        # MLflow refuses to change one; a run that continues may have other workers, which its config.json says.
        known = self._wait("reading parameters", lambda: self._client.get_run(self.run_id).data.params)
        given = [Param(key, str(value)) for key, value in params.items() if key not in known]
        self._wait("logging parameters", lambda: self._client.log_batch(self.run_id, params=given))
        self._queue: list[Metric] = []
        self._files: list[tuple[str, bytes]] = []
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_forever, name=f"mlflow-{run_name}", daemon=True)
        self._thread.start()

    @property
    def page(self) -> str:
        """Where a person sees the run."""
        return run_page(self._experiment_id, self.run_id)

    def log(self, step: int, metrics: Mapping[str, float], time_ms: int | None = None) -> None:
        """Queue figures of one step; returns at once.

        ``time_ms``: when they were taken, since 1970; None: now. Of figures equal in all of it MLflow keeps one.
        """
        taken = int(time.time() * 1000) if time_ms is None else time_ms
        with self._lock:
            self._queue += [Metric(key, float(value), taken, step) for key, value in metrics.items()]

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        given = [RunTag(key, value) for key, value in tags.items()]
        self._wait("setting tags", lambda: self._client.log_batch(self.run_id, tags=given))

    def used(self, data: Sequence[UsedData]) -> None:
        """Name the data sets of the run, with what each is for."""
        self._wait("logging data sets", lambda: self._client.log_inputs(self.run_id, datasets=dataset_inputs(data)))

    def curves(self, title: str) -> None:
        """Log a picture of loss and PSNR over all steps, ``loss_and_psnr.png``; what is queued is sent first."""
        self.flush()
        loss, psnr = (
            self._wait("reading figures", lambda key=key: self._history(key))  # type: ignore[misc]
            for key in ("loss", "val_psnr")
        )
        self.figure("loss_and_psnr.png", draw_curves(loss, psnr, title))

    def _history(self, key: str) -> list[tuple[int, float]]:
        """(step, value), rising; of a step that was done twice the later value."""
        found = {metric.step: metric.value for metric in self._client.get_metric_history(self.run_id, key)}
        return sorted(found.items())

    def figure(self, name: str, figure: Figure) -> None:
        """Log a matplotlib figure as ``name`` (its ending tells the format)."""
        self._wait(f"logging {name}", lambda: self._client.log_figure(self.run_id, figure, name))

    def document(self, name: str, content: str) -> None:
        """Log a text file."""
        self._wait(f"logging {name}", lambda: self._client.log_text(self.run_id, content, name))

    def file(self, name: str, content: bytes) -> None:
        """Queue a file, sent like the figures; returns at once."""
        with self._lock:
            self._files.append((name, content))

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Log rows as JSON."""
        self.document(name, json.dumps(rows, indent=2))

    def flush(self) -> None:
        """Send what is queued, and return when the server has it.

        Raises:
            TrackingUnavailable: it did not take it within the deadline.
        """
        self._wait("logging figures", self._flush)

    def mark_killed(self) -> None:
        """Say at once that the run is ending: whoever stops this process may not wait for :meth:`finish`."""
        self._client.set_terminated(self.run_id, "KILLED")

    def finish(self, status: str = "FINISHED") -> None:
        """Send what is queued, then end the run as ``FINISHED``, ``FAILED`` or ``KILLED``.

        Raises:
            TrackingUnavailable: the server took neither within the deadline; what was queued is lost.
            MlflowException: it refused a figure.
        """
        self._stop.set()
        self._thread.join()

        def end() -> None:
            self._flush()
            self._client.set_terminated(self.run_id, status)

        self._wait("logging the last figures and the end of the run", end)

    def _wait(self, what: str, call: Callable[[], T]) -> T:
        return patiently(what, call, self._deadline_s)

    def _find_or_create(self, run_name: str, tags: Mapping[str, str], title: str) -> str:
        known = self._named(self._experiment_id, run_name)
        if not known:
            self._client.create_run(self._experiment_id, run_name=title or run_name, tags={**made_by(), **tags})
            known = self._named(self._experiment_id, run_name)
        first, *others = known
        for other in others:  # of a request whose answer was lost, which was sent again
            self._client.set_terminated(other.info.run_id, "KILLED")
        self._client.update_run(first.info.run_id, status="RUNNING")
        return str(first.info.run_id)

    def _named(self, experiment_id: str, run_name: str) -> list[Run]:
        name = f"tags.`{RUN_NAME_TAG}` = '{run_name}'"
        return list(self._client.search_runs([experiment_id], name, order_by=["attributes.start_time ASC"]))

    def _send_forever(self) -> None:
        while not self._stop.wait(FLUSH_EVERY_S):
            try:
                self._flush()
            except Exception as error:
                if not is_transient(error):
                    return  # a figure was refused: finish() meets the same answer, and raises it

    def _flush(self) -> None:
        with self._sending:  # one thread at a time, or figures would be sent twice
            self._send_queued()

    def _send_queued(self) -> None:
        with self._lock:
            batch = self._queue[:METRICS_PER_REQUEST]
        while batch:
            self._client.log_batch(self.run_id, metrics=batch, synchronous=True)
            with self._lock:
                del self._queue[: len(batch)]
                batch = self._queue[:METRICS_PER_REQUEST]
        while self._files:
            name, content = self._files[0]
            with TemporaryDirectory() as scratch:
                path = Path(scratch) / Path(name).name
                path.write_bytes(content)
                folder = name.rpartition("/")[0]
                self._client.log_artifact(self.run_id, str(path), folder or None)
            with self._lock:
                del self._files[0]


def flat_params(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted MLflow parameters; what is None or empty is left out.

    A mapping whose keys are no names (data sets with their weights) is one parameter, as JSON: MLflow's
    keys take no address.
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

    def find_or_make() -> str:
        connect()
        return str(mlflow.set_experiment(name).experiment_id)

    return patiently(f"opening experiment {name}", find_or_make)
