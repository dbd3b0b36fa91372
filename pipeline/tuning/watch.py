"""While trials train: their figures go to MLflow, each trial a run below the sweep's, and to the terminal."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from pipeline.config import RunConfig
from pipeline.registry.tracking import FOLDER_TAG, Tracker, flat_params
from pipeline.runs.progress import Progress
from pipeline.training.context import Figures, Said, SentFile
from pipeline.tuning.results import TrialResult
from pipeline.tuning.trial import END, START, TrialJob, trial_title

POLL_S = 0.5
_MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class SweepWatch:
    """Collects what trials post, in a thread. Use as a context manager; ``close`` ends every trial's MLflow run."""

    def __init__(self, job: TrialJob, parent: Tracker, experiment_id: str, progress: Progress) -> None:
        self._job, self._parent, self._experiment_id, self._progress = job, parent, experiment_id, progress
        self._trackers: dict[str, Tracker] = {}
        self._configs: dict[str, RunConfig] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep-watch", daemon=True)

    def __enter__(self) -> SweepWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def close(self, results: Sequence[TrialResult]) -> None:
        """Write each trial's end to its MLflow run, also of trials that ended before this driver began."""
        self.__exit__()
        for result in results:
            tracker = self._trackers.get(result.trial) or self._open(result.trial, result.values)
            tracker.log(result.step, {"psnr": result.psnr, "macs": result.macs, "parameters": result.parameters})
            tracker.tag({"sweep_status": result.status, "checkpoint": result.checkpoint_uri, "error": result.error})
            tracker.finish(_MLFLOW_STATUS[result.status])

    def _watch(self) -> None:
        over = False
        while not over:
            over = self._over.wait(POLL_S)  # one more look after the end
            for topic, notice in self._job.board.collect():
                if topic == START:
                    self._start(*notice)
                elif topic == END:
                    trial, psnr = notice
                    self._progress.done(trial, f"finished: {psnr:.2f} dB")
                elif isinstance(notice, SentFile):
                    self._trackers[topic].file(notice.name, notice.content)
                elif isinstance(notice, Said):
                    self._progress.note(topic, notice.line)
                elif isinstance(notice, Figures):
                    self._heard(topic, notice)

    def _start(self, trial: str, values: dict[str, Any]) -> None:
        config = self._configs[trial] = self._job.config(values)
        if trial not in self._trackers:
            self._trackers[trial] = self._open(trial, values)
        self._progress.start(trial, config.training.steps)
        self._progress.phase(trial, "training")

    def _heard(self, trial: str, figures: Figures) -> None:
        self._trackers[trial].log(figures.step, figures.metrics, figures.time_ms)
        if not figures.again:
            batch = self._configs[trial].training.global_batch_size
            self._progress.update(trial, figures.step, figures.metrics, batch)

    def _open(self, trial: str, values: dict[str, Any]) -> Tracker:
        config = self._job.config(values)
        return Tracker(
            self._experiment_id,
            f"{self._job.name}-{trial}",
            params=flat_params(config.model_dump(mode="json")),
            tags={"task": config.task, "sweep": self._job.name, "trial": trial, FOLDER_TAG: self._job.lease.uri},
            parent=self._parent,
            deadline_s=config.training.outage_deadline_s,
            title=trial_title(config.task, values, trial),
        )
