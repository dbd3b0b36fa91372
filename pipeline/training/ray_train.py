"""Ray Train around the loop: one run on its own workers, checkpoints on the run's storage."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.fs
import ray.train
import torch
from ray.train import CheckpointUploadMode
from ray.train.torch import get_device
from ray.train.v2.api.config import ScalingConfig  # as ray.train.ScalingConfig, which is annotated as its first version

from pipeline.allocator import keep_freed_memory
from pipeline.cluster import Board, this_node
from pipeline.config import RunConfig
from pipeline.errors import UserError
from pipeline.ray_internals import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME, WORKER_HEALTH_CHECK_TIMEOUT_S_ENV_VAR
from pipeline.storage import arrow_filesystem
from pipeline.storage.lease import Pass
from pipeline.training.context import Figures, Interrupted, Said, SentFile, StopRun, WorkerContext
from pipeline.training.elastic import ElasticPolicy, PolicyTrainer
from pipeline.training.loop import Summary, train
from pipeline.training.outage import EndOfPatience, user_error
from pipeline.training.preemption import PreemptibleTorchConfig, told_to_leave
from pipeline.training.proof import Damaged, Saving, Unfinished
from pipeline.training.resume import newest_checkpoint
from pipeline.training.shelf import Shelf, checkpoint_name
from pipeline.training.upload import KeepNewest, Uploads, uploader
from pipeline.training.worker_log import show_lines
from pipeline.training.worlds import allowed_worlds

logger = logging.getLogger(__name__)

MOST_LOST = 2  # last checkpoints, one after another
# A worker that answers nothing is given up after this long: of one that is stopped after the last exchange with the
# others none of them learns, and Ray Train by itself would wait ten minutes. As long as an exchange may take.
ANSWERS_WITHIN_S = 60

Loop = Callable[[RunConfig, WorkerContext], Any]
OnNode = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: its summary, and the URI of its last checkpoint (whose ``best/`` is the model)."""

    summary: Summary
    checkpoint_uri: str


@dataclass(frozen=True)
class RayContext:
    """The worker context under Ray Train (see pipeline.training.context.WorkerContext)."""

    rank: int
    world_size: int
    device: torch.device
    config: RunConfig
    topic: str
    board: Board
    lease: Pass | None = None
    uploads: Uploads = field(default_factory=Uploads)

    def log(self, figures: Figures) -> None:
        self.board.post(self.topic, figures)

    def file(self, name: str, content: bytes) -> None:
        self.board.post(self.topic, SentFile(name, content))

    def say(self, line: str) -> None:
        self.board.post(self.topic, Said(line))

    def save(self, saving: Saving, metrics: Mapping[str, float], folder: Path) -> None:
        # Uploaded by a thread of every rank while training goes on.
        uri = run_shelf_uri(self.config, self.topic)
        self.uploads.begins()
        ray.train.report(
            dict(metrics, step=saving.step),
            checkpoint=ray.train.Checkpoint.from_directory(folder),
            checkpoint_dir_name=checkpoint_name(saving.step),
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=True,
            checkpoint_upload_fn=uploader(saving, uri, self.deadline_s, self.uploads, self.lease),
        )

    def behind(self) -> bool:
        return self.uploads.behind()

    def latest_checkpoint(self, at_most: int | None = None) -> AbstractContextManager[Path | None]:
        if self.lease is not None:
            self.lease.check(self.deadline_s)  # damaged ones are about to be put away
        # Found in storage: what Ray Train noted may be lost, cut, or behind.
        shelf = Shelf(run_shelf_uri(self.config, self.topic), self.deadline_s)
        return newest_checkpoint(shelf, self.rank, self.say, at_most, self.uploads.settle)

    @property
    def deadline_s(self) -> float:
        return self.config.training.storage_deadline_s

    def asked_to_leave(self) -> bool:
        return told_to_leave() or (self.rank == 0 and self.board.dismissed(self.topic, self.world_size))


def run_shelf_uri(config: RunConfig, run_name: str) -> str:
    """Where the checkpoints of the run ``run_name`` lie."""
    return f"{config.storage.rstrip('/')}/{run_name}"


def forget_rays_notes(config: RunConfig, run_name: str) -> None:
    """Remove what Ray Train noted of an earlier run's checkpoints: where that is wrong it would end this one.

    Ray Train reads it at its start, with a traceback when it was cut or names a checkpoint that is gone.
    """
    filesystem, path = arrow_filesystem(config.storage, config.training.storage_deadline_s)
    notes = f"{path}/{run_name}/{CHECKPOINT_MANAGER_SNAPSHOT_FILENAME}"
    if filesystem.get_file_info(notes).type == pyarrow.fs.FileType.File:
        filesystem.delete_file(notes)


def run_training(
    config: RunConfig, run_name: str, board: Board, callbacks: Sequence[Any] = (), lease: Pass | None = None,
    on_node: OnNode | None = None,
) -> TrainedRun:  # fmt: skip
    """Train ``config`` as one Ray Train run called ``run_name``; the same name continues from its last checkpoint.

    When a worker is told to leave (pipeline.training.preemption), or an elastic run finds room for more of them
    (pipeline.training.elastic), all save and leave, and the run goes on with new ones as soon as the cluster has room
    for them, unless ``board`` is dismissed.

    ``lease``: of the driver on this run; once another takes it over, nothing more is written.

    ``on_node`` is entered with the address of each node, by one worker of it, while that worker trains.

    ``callbacks`` (``ray.train.UserCallback``) hear of each checkpoint (a sweep passes its metrics on to Ray Tune).

    Raises:
        UserError: what a worker refused; HeldElsewhere when another driver has taken the run over.
        StorageUnavailable: S3 was away for longer than the deadline; what was uploaded before is whole.
        Interrupted: the board was dismissed; all is saved.
        ray.train.TrainingFailedError: the workers failed more often than ``training.max_failures``.
    """
    lost = 0
    while True:
        result = _fit(config, run_name, board, callbacks, lease, on_node)
        if isinstance(result, TrainedRun):
            if _is_proven(config, run_name, result.summary.steps):
                _tidy(config, run_name, lease)
                return result
            if (lost := lost + 1) > MOST_LOST:
                raise UserError(
                    f"{config.storage}: checkpoints are damaged as soon as they are written; check the store"
                )
            logger.warning("%s: the last checkpoint is not whole; training what it held again", run_name)
        elif board.closed:
            raise result


def _is_proven(config: RunConfig, run_name: str, steps: int) -> bool:
    """Whether the last checkpoint has all its files, and the weights that leave it are those that were written."""
    shelf = Shelf(run_shelf_uri(config, run_name), config.training.storage_deadline_s)
    with TemporaryDirectory() as scratch:
        try:
            shelf.check(checkpoint_name(steps), "best/", Path(scratch))
        except (Unfinished, Damaged):
            return False
    return True


def _tidy(config: RunConfig, run_name: str, lease: Pass | None) -> None:
    """Keep ``num_to_keep`` checkpoints: whoever died after it wrote the last one left more, and no report follows."""
    if lease is not None:
        lease.check(config.training.storage_deadline_s)
    shelf = Shelf(run_shelf_uri(config, run_name), config.training.storage_deadline_s)
    shelf.keep_newest(config.training.num_to_keep, config.training.spikes.steps_back)


def on_workers(config: RunConfig, run_name: str, board: Board, loop: Loop) -> Any:
    """What ``loop`` returned on rank 0 of the workers that ``config`` asks for: a measurement in train's place."""
    result: Any = _trainer(config, run_name, board, (), loop).fit()  # annotated by Ray as its first version's class
    return result.return_value


def _fit(
    config: RunConfig, run_name: str, board: Board, callbacks: Sequence[Any], lease: Pass | None,
    on_node: OnNode | None,
) -> TrainedRun | Interrupted:  # fmt: skip
    """One run of Ray Train, to the end or until its workers were told to leave."""
    forget_rays_notes(config, run_name)
    try:
        result: Any = _trainer(config, run_name, board, callbacks, train, lease, on_node).fit()
    except ray.train.TrainingFailedError as error:
        raise user_error(error) or error from None
    if isinstance(result.return_value, StopRun):
        raise result.return_value
    if isinstance(result.return_value, Interrupted):
        return result.return_value
    if not isinstance(result.return_value, Summary):
        raise RuntimeError(f"{config.task}: Ray Train ended without a result; see Ray's logs")
    name = checkpoint_name(result.return_value.steps)
    return TrainedRun(result.return_value, f"{run_shelf_uri(config, run_name)}/{name}")


def _trainer(
    config: RunConfig, run_name: str, board: Board, callbacks: Sequence[Any], loop: Loop, lease: Pass | None = None,
    on_node: OnNode | None = None,
) -> PolicyTrainer:  # fmt: skip
    # Ray Train hands it on to the controller, which asks the workers.
    os.environ.setdefault(WORKER_HEALTH_CHECK_TIMEOUT_S_ENV_VAR, str(ANSWERS_WITHIN_S))
    settings = config.training
    shelf = (run_shelf_uri(config, run_name), settings.storage_deadline_s)
    keep = KeepNewest(*shelf, settings.num_to_keep, lease, settings.spikes.steps_back)
    listeners: list[Any] = [EndOfPatience(), keep, *callbacks]
    filesystem, path = arrow_filesystem(config.storage, settings.storage_deadline_s)
    scaling = ScalingConfig(
        num_workers=settings.num_workers,
        use_gpu=settings.on_gpu,
        resources_per_worker={
            "CPU": settings.cpus_per_worker,
            **({"GPU": 1} if settings.on_gpu else {}),
        },
        elastic_resize_monitor_interval_s=settings.grow_after_s,
    )
    if "://" not in config.storage:  # workers run elsewhere than the driver
        config = config.model_copy(update={"storage": str(Path(config.storage).expanduser().absolute())})
    return PolicyTrainer(
        _work,
        train_loop_config={
            "config": config.model_dump_json(),
            "topic": run_name,
            "board": board,
            "loop": loop,
            "lease": lease,
            "on_node": on_node,
        },
        torch_config=PreemptibleTorchConfig(timeout_s=settings.collective_timeout_s),
        scaling_config=scaling,
        policy=ElasticPolicy(scaling, allowed_worlds(config), run_name, board) if settings.elastic else None,
        run_config=ray.train.RunConfig(
            name=run_name,
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=settings.max_failures),
            callbacks=listeners,
        ),
    )


def _work(loop_config: dict[str, Any]) -> Any:
    """On a worker: what the loop returned, or the StopRun or Interrupted it ended with."""
    worker = ray.train.get_context()
    config = RunConfig.model_validate_json(loop_config["config"])
    torch.set_num_threads(config.training.cpus_per_worker)
    keep_freed_memory()
    show_lines()
    context = RayContext(
        rank=worker.get_world_rank(),
        world_size=worker.get_world_size(),
        device=get_device(),
        config=config,
        topic=loop_config["topic"],
        board=loop_config["board"],
        lease=loop_config["lease"],
    )
    on_node = loop_config["on_node"] if worker.get_local_rank() == 0 else None
    try:
        with on_node(this_node()) if on_node else nullcontext():
            return loop_config["loop"](config, context)
    except (StopRun, Interrupted) as reason:
        return reason  # as a result: Ray Train would take an exception for a fault, and count it
