"""Ray Train around the loop: one run on its own workers, checkpoints on the run's storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.fs
import ray.train
import torch
from ray.train import CheckpointUploadMode
from ray.train.torch import get_device
from ray.train.v2.api.config import ScalingConfig  # as ray.train.ScalingConfig, which is annotated as its first version

from pipeline.cluster import Board
from pipeline.config import RunConfig
from pipeline.storage import arrow_filesystem
from pipeline.training.allocator import keep_freed_memory
from pipeline.training.context import CHECKPOINT_PREFIX, Interrupted, SentFile, StopRun, WorkerContext, checkpoint_name
from pipeline.training.elastic import ElasticPolicy, PolicyTrainer
from pipeline.training.loop import Summary, train
from pipeline.training.outage import EndOfPatience, uploader, user_error
from pipeline.training.preemption import PreemptibleTorchConfig, told_to_leave
from pipeline.training.worker_log import show_lines
from pipeline.training.worlds import allowed_worlds

Loop = Callable[[RunConfig, WorkerContext], Any]


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

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.board.post(self.topic, (step, dict(metrics)))

    def file(self, name: str, content: bytes) -> None:
        self.board.post(self.topic, SentFile(name, content))

    def save(self, step: int, metrics: Mapping[str, float], folder: Path) -> None:
        # Uploaded by a thread of every rank while training goes on, and only then counted as the latest.
        ray.train.report(
            dict(metrics, step=step),
            checkpoint=ray.train.Checkpoint.from_directory(folder),
            checkpoint_dir_name=checkpoint_name(step),
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=True,
            checkpoint_upload_fn=uploader(self.config.training.storage_deadline_s),
        )

    @contextmanager
    def latest_checkpoint(self) -> Iterator[Path | None]:
        checkpoint = ray.train.get_checkpoint()
        if self.rank == 0:
            remove_orphans(self.config, self.topic, checkpoint and Path(checkpoint.path).name)
        if checkpoint is None:
            yield None
        else:
            with checkpoint.as_directory() as folder:
                yield Path(folder)

    def asked_to_leave(self) -> bool:
        return told_to_leave() or (self.rank == 0 and self.board.dismissed(self.topic, self.world_size))


def remove_orphans(config: RunConfig, run_name: str, latest: str | None) -> None:
    """Delete what a crash left half-written: checkpoints later than ``latest``, the last complete one of the run.

    Ray Train knows nothing of them, so its ``num_to_keep`` would never remove them.
    """
    filesystem, path = arrow_filesystem(config.storage, config.training.storage_deadline_s)
    selector = pyarrow.fs.FileSelector(f"{path}/{run_name}", allow_not_found=True)
    for entry in filesystem.get_file_info(selector):
        if entry.base_name.startswith(CHECKPOINT_PREFIX) and entry.base_name > (latest or ""):
            filesystem.delete_dir(entry.path)


def run_training(config: RunConfig, run_name: str, board: Board, callbacks: Sequence[Any] = ()) -> TrainedRun:
    """Train ``config`` as one Ray Train run called ``run_name``; the same name continues from its last checkpoint.

    When a worker is told to leave (pipeline.training.preemption), or an elastic run finds room for more of them
    (pipeline.training.elastic), all save and leave, and the run goes on with new ones as soon as the cluster has room
    for them, unless ``board`` is dismissed.

    ``callbacks`` (``ray.train.UserCallback``) hear of each checkpoint (a sweep passes its metrics on to Ray Tune).

    Raises:
        UserError: what a worker refused.
        StorageUnavailable: S3 was away for longer than the deadline; what was uploaded before is whole.
        Interrupted: the board was dismissed; all is saved.
        ray.train.TrainingFailedError: the workers failed more often than ``training.max_failures``.
    """
    while isinstance(result := _fit(config, run_name, board, callbacks), Interrupted):
        if board.closed:
            raise result
    return result


def on_workers(config: RunConfig, run_name: str, board: Board, loop: Loop) -> Any:
    """What ``loop`` returned on rank 0 of the workers that ``config`` asks for: a measurement in train's place."""
    result: Any = _trainer(config, run_name, board, (), loop).fit()  # annotated by Ray as its first version's class
    return result.return_value


def _fit(config: RunConfig, run_name: str, board: Board, callbacks: Sequence[Any]) -> TrainedRun | Interrupted:
    """One run of Ray Train, to the end or until its workers were told to leave."""
    try:
        result: Any = _trainer(config, run_name, board, callbacks, train).fit()
    except ray.train.TrainingFailedError as error:
        raise user_error(error) or error from None
    if isinstance(result.return_value, StopRun):
        raise result.return_value
    if isinstance(result.return_value, Interrupted):
        return result.return_value
    if result.checkpoint is None or result.return_value is None:
        raise RuntimeError(f"{config.task}: Ray Train ended without a checkpoint; see Ray's logs")
    scheme = "s3://" if config.storage.startswith("s3://") else ""
    return TrainedRun(result.return_value, scheme + result.checkpoint.path)


def _trainer(config: RunConfig, run_name: str, board: Board, callbacks: Sequence[Any], loop: Loop) -> PolicyTrainer:
    settings = config.training
    listeners: list[Any] = [EndOfPatience(), *callbacks]
    filesystem, path = arrow_filesystem(config.storage, settings.storage_deadline_s)
    scaling = ScalingConfig(
        num_workers=settings.num_workers,
        use_gpu=settings.use_gpu,
        resources_per_worker={
            "CPU": settings.cpus_per_worker,
            **({"GPU": 1} if settings.use_gpu else {}),
        },
        elastic_resize_monitor_interval_s=settings.grow_after_s,
    )
    return PolicyTrainer(
        _work,
        train_loop_config={"config": config.model_dump_json(), "topic": run_name, "board": board, "loop": loop},
        torch_config=PreemptibleTorchConfig(timeout_s=settings.collective_timeout_s),
        scaling_config=scaling,
        policy=ElasticPolicy(scaling, allowed_worlds(config), run_name, board) if settings.elastic else None,
        run_config=ray.train.RunConfig(
            name=run_name,
            storage_path=path,
            storage_filesystem=filesystem,
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=settings.num_to_keep),
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
    )
    try:
        return loop_config["loop"](config, context)
    except (StopRun, Interrupted) as reason:
        return reason  # as a result: Ray Train would take an exception for a fault, and count it
