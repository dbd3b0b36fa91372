"""One task, from its configuration to a registered model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.cluster import Board, this_node
from pipeline.config import RunConfig
from pipeline.data.faults import COUNTS
from pipeline.data.manifest import load_manifest
from pipeline.data.mixture import mixture_digest, open_datasets
from pipeline.data.packing.credits import owners
from pipeline.errors import first_line
from pipeline.evaluation.pictures import fit
from pipeline.registry import ModelCard, Registered, find_registered, register, settle_again
from pipeline.registry.lineage import UsedData
from pipeline.registry.patience import TrackingUnavailable, patiently
from pipeline.registry.system_metrics import NodeFigures, watch_node
from pipeline.registry.tracking import FOLDER_TAG, NOTE_TAG, Tracker, flat_params
from pipeline.runs.held_out import score_held_out
from pipeline.runs.limits import stated_limits
from pipeline.runs.outcome import Outcome
from pipeline.runs.progress import Progress
from pipeline.runs.room import Room, Share, each_worker
from pipeline.scoring.harm import Harm
from pipeline.scoring.record import by_image, mean_psnr
from pipeline.storage.fetch import fetch_folder
from pipeline.storage.lease import sole_writer
from pipeline.tasks import TASKS
from pipeline.training.context import Figures, Interrupted, SentFile
from pipeline.training.loop import Summary
from pipeline.training.ray_train import run_training
from pipeline.training.worlds import allowed_worlds
from pipeline.wording import counted

SHOWN, SHOWN_WIDTH = "worst_held_out.png", 860  # on the page of the version; pixels that a laptop's window leaves it
log = logging.getLogger(__name__)


class TaskRun:
    """Trains, evaluates and registers one configuration; its name is a function of configuration and data.

    So a killed run is found and continued by giving the same command again, and a finished one is not repeated
    unless ``retrain`` asks for it.
    """

    def __init__(
        self, config: RunConfig, experiment_id: str, commit: str, retrain: bool, board: Board, room: Room,
        progress: Progress, force: str = "",
    ) -> None:  # fmt: skip
        self.config = config
        self._experiment_id, self._commit = experiment_id, commit
        self._board, self._room, self._progress, self._force = board, room, progress, force
        self._train_sets = open_datasets(list(config.data.train_sets.items()))
        self._data_digest = mixture_digest(self._train_sets)
        self.fingerprint = f"{config.fingerprint()}-{self._data_digest[:8]}"
        found = patiently("looking for finished runs", lambda: find_registered(config.task, self.fingerprint))
        # One that died after its version was made goes on: what is missing is done, the rest found as it was left.
        finished = [version for version in found if version.run_ended]
        self._finished: Registered | None = finished[-1] if finished and not retrain else None
        # A retrained run is a run of its own, and a killed retraining continues as such.
        before = len({version.run_id for version in finished})
        self.topic = "-".join([config.task, self.fingerprint, *([str(before)] if before else [])])
        self._tracker: Tracker | None = None
        self._over = False

    def heard(self, figures: Figures) -> None:
        """Figures from rank 0, on the driver's thread."""
        if self._tracker is not None:
            shown = {name: value for name, value in figures.metrics.items() if value or name not in COUNTS}
            self._tracker.log(figures.step, shown, figures.time_ms)
        if not figures.again:
            batch = self.config.training.global_batch_size
            self._progress.update(self.config.task, figures.step, figures.metrics, batch)

    def received(self, file: SentFile) -> None:
        """A file from rank 0, on the driver's thread."""
        if self._tracker is not None:
            self._tracker.file(file.name, file.content)

    def stopping(self) -> None:
        """The process was told to stop, and may not be given the time to end properly: MLflow is told first."""
        if self._tracker is not None and not self._over:
            try:
                self._tracker.mark_killed()
            except Exception as error:  # the run's proper end says it again, and waits for a server that is away
                log.warning("MLflow was not told that %s stops: %s", self.topic, first_line(error))

    def run(self) -> Outcome:
        """All of it; exceptions are the caller's to report. One driver at a time: the run folder has a lease."""
        folder, deadline_s = f"{self.config.storage.rstrip('/')}/{self.topic}", self.config.training.storage_deadline_s
        with sole_writer(folder, f"run {self.topic}", self._force, deadline_s) as self._lease:
            return self._run()

    def _run(self) -> Outcome:
        config, task = self.config, self.config.task
        self._progress.start(task, config.training.steps)
        if (finished := self._finished) is not None:
            known = patiently("setting aliases", lambda: settle_again(finished), config.training.outage_deadline_s)
            self._progress.done(task, f"registered before as {_version(known)}; --retrain trains it again")
            return Outcome(task, _status("registered before", known), version=_version(known), scores=known.scores)
        with ExitStack() as room:
            # First come, first served; only then a run in MLflow, where a waiting one would look like a running one.
            share = room.enter_context(
                self._room.reserve(
                    each_worker(config.training),
                    allowed_worlds(config),
                    told=lambda workers: self._board.allow(self.topic, workers),
                )
            )
            if self._board.closed:
                raise Interrupted(f"{task} was not started")
            self._tracker = Tracker(
                self._experiment_id,
                self.topic,
                params=flat_params(config.model_dump(mode="json")),
                tags=self._tags(),
                deadline_s=config.training.outage_deadline_s,
                title=f"{task} {date.today():%d %b %Y} ({self.fingerprint[:6]})",
            )
            self._progress.note(task, self._tracker.page)
            try:
                outcome = self._train_and_register(self._tracker, share, leave_room=room.close)
            except BaseException as error:
                try:
                    self._tracker.finish("KILLED" if isinstance(error, Interrupted) else "FAILED")
                except TrackingUnavailable as silent:
                    error.add_note(str(silent))  # the first failure is the one to mend
                raise
        self._over = True
        self._tracker.finish("FINISHED")
        self._progress.done(task, f"registered as {outcome.version}")
        return outcome

    def _train_and_register(self, tracker: Tracker, share: Share, leave_room: Callable[[], None]) -> Outcome:
        config, task = self.config, self.config.task
        tracker.document("config.json", config.model_dump_json(indent=2))
        tracker.used([*(UsedData(m, "training", weight) for m, weight in self._train_sets), *self._measured_on()])
        self._progress.phase(task, "training")
        node, lease = this_node(), self._lease.to_pass_on()
        with watch_node(tracker.run_id, node):
            trained = run_training(
                config, self.topic, self._board, lease=lease, on_node=NodeFigures(tracker.run_id, node)
            )
        self._progress.phase(task, "evaluating")
        with TemporaryDirectory() as name:
            weights = f"{trained.checkpoint_uri}/best"
            folder = fetch_folder(weights, Path(name) / "weights", config.training.storage_deadline_s)
            results, harm = score_held_out(config, folder, share.workers)
            leave_room()  # what follows needs no worker
            self._progress.phase(task, "registering")
            for result in results:
                if result.picture is not None:
                    tracker.file(f"pictures/{result.key}.png", result.picture)
            outcome = Outcome(task, "trained", scores=tuple(score for result in results for score in result.scores))
            tracker.curves(f"{TASKS[task].title}, run {self.topic}")
            card = self._card(outcome, harm)
            worst = card.worst_first[0][1].key
            if shown := next((result.picture for result in results if result.key == worst), None):
                tracker.file(SHOWN, fit(shown, SHOWN_WIDTH))
            tracker.tag({"checkpoint": trained.checkpoint_uri})
            tracker.flush()  # a version tells that its run has all its figures
            self._lease.check()
            registered = patiently(
                f"registering the {task} model",
                lambda: register(folder, card, run_id=tracker.run_id, picture=SHOWN if shown else ""),
                config.training.outage_deadline_s,
            )
        tracker.tag({"model_version": _version(registered)})
        status = _status(outcome.status, registered, trained.summary)
        return replace(outcome, version=_version(registered), status=status)

    def _measured_on(self) -> list[UsedData]:
        """The validation set, and the held-out one; without one of its own it is the former."""
        data = self.config.data
        sets = [UsedData(load_manifest(data.val), "validation")]
        return [*sets, *([UsedData(load_manifest(data.test), "test")] if data.test else [])]

    def _card(self, outcome: Outcome, harm: Harm | None) -> ModelCard:
        config, task = self.config, TASKS[self.config.task]
        names = list(task.baselines)
        setting = ", ".join(f"{key} {value}" for key, value in flat_params(config.setting).items())
        return ModelCard(
            task=task.name,
            setting=f"{task.title}: {setting}" if setting else task.title,
            trained_on=" and ".join(
                f"{counted(manifest.num_samples, 'image')} of {manifest.uri}"
                + (f" (weight {weight})" if weight > 1 else "")
                for manifest, weight in self._train_sets
            )
            + ".",
            owners=tuple(line for manifest, _ in self._train_sets for line in owners(manifest)),
            # The images' digest, not their address: the same set in another bucket is the same protocol.
            protocol=f"PSNR ({task.convention.describe()}) of {len(by_image(outcome.scores))} images, set "
            f"{load_manifest(config.data.test or config.data.val).digest[:12]}, {setting or 'default setting'}",
            baseline=names[0],
            scores=outcome.scores,
            steps=config.training.steps,
            limits=stated_limits(config, [manifest.num_samples for manifest, _ in self._train_sets]),
            data_fingerprint=self._data_digest,
            git_commit=self._commit,
            fingerprint=self.fingerprint,
            harm=harm,
            tested_on=(self._measured_on()[-1].name, self._measured_on()[-1].digest),
            bounds=task.bounds(task.parse_settings(config.setting)),
            extra_metrics={f"held_out_{name}_psnr_db": mean_psnr(outcome.scores, name) for name in names[1:]},
        )

    def _tags(self) -> dict[str, str]:
        return {
            "task": self.config.task,
            "fingerprint": self.fingerprint,
            "data_fingerprint": self._data_digest,
            "git_commit": self._commit,
            FOLDER_TAG: self._lease.to_pass_on().uri,
            NOTE_TAG: f"{TASKS[self.config.task].title}: training, validation and registration. The configuration "
            "is `config.json`, each held-out image under `pictures/`, the curves are `loss_and_psnr.png`.",
        }


def _status(what: str, registered: Registered, summary: Summary | None = None) -> str:
    """What a person would want to know of a run that ended well."""
    told = [what]
    if summary is not None and summary.skipped_samples:
        told.append(f"{counted(summary.skipped_samples, 'damaged sample')} skipped")
    if summary is not None and summary.left_out_steps:
        told.append(f"{counted(summary.left_out_steps, 'step')} of {summary.steps} left out as spikes")
    return "; ".join(filter(None, [*told, registered.reason]))


def _version(registered: Registered) -> str:
    alias = f" @{registered.alias}" if registered.alias else ""
    return f"{registered.name} v{registered.version}{alias}"
