"""Everything that can be known to be wrong before a worker starts is refused here, in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.config import RunConfig
from pipeline.data.budget import check_buffer
from pipeline.data.manifest import load_manifest
from pipeline.data.mixture import open_datasets
from pipeline.data.patches import check_patch_fits
from pipeline.errors import UserError
from pipeline.registry.client import check_tracking_server, tracking_uri
from pipeline.shipped import is_shipped
from pipeline.storage import check_access, open_storage
from pipeline.tasks import TASKS
from pipeline.training.losses import PERCEPTUAL, check_loss, get_loss
from pipeline.training.phases import training_phases
from pipeline.training.training_plan import batch_schedule, initial_model, model_config, stream_settings
from pipeline.training.zero_block import check_zero_block
from semanir.weights import CONFIG_FILE


def check_runs(configs: Sequence[RunConfig]) -> None:
    """Check configurations, then the outside world: MLflow, storage, data sets.

    Raises:
        UserError: the first thing found wrong.
    """
    for config in configs:
        check_config(config)
    check_tracking_server(tracking_uri())
    for uri in sorted({uri for config in configs for uri in (config.storage, *_datasets(config))}):
        check_access(uri)
    for config in configs:
        check_data(config)


def check_config(config: RunConfig) -> None:
    """What the configuration alone can tell."""
    task, data, training = TASKS[config.task], config.data, config.training
    check_loss(training.loss or task.loss, training.perceptual_weights)
    if training.zero_optimization:
        check_zero_block(training.zero_optimization, training.zero_stage)
    model = model_config(config)
    for k in training.random_k:
        if not 1 <= k <= model.window_size**2:
            raise UserError(
                f"{config.task}: training.random_k has {k}, outside 1..{model.window_size**2} "
                f"(window_size {model.window_size} squared)"
            )
    multiple = patch_multiple(config)
    for size in (phase.patch_size for phase in training_phases(config)):
        if size % multiple:
            raise UserError(
                f"{config.task}: patch_size {size} is not a multiple of {multiple}, which the scale and the model's "
                f"downsampling need; the nearest is {max(1, round(size / multiple)) * multiple}"
            )
    with _of(config):
        for workers in _worlds(config):
            batch_schedule(config, workers).check_world(workers, data.streams)


def patch_multiple(config: RunConfig) -> int:
    """What ground-truth patches must be a multiple of: the task's own step, and the model's downsampling."""
    task = TASKS[config.task]
    downsampling = 2 ** (model_config(config).levels - 1) * task.upscale
    return max(task.size_multiple, downsampling)


def check_data(config: RunConfig) -> None:
    """What the data sets' manifests, the setting's files, and the weights to start from, can tell."""
    task, training = TASKS[config.task], config.training
    task.check_files(task.parse_settings(config.setting))
    init = config.model.init
    if init is not None and not is_shipped(init) and not open_storage(init).exists(CONFIG_FILE):
        raise UserError(f"{config.task}: model.init {init} holds no weights (no {CONFIG_FILE}); name a best/ folder")
    for uri in _datasets(config):
        manifest = load_manifest(uri)
        if uri in config.data.train_sets:
            check_patch_fits(manifest, max(phase.patch_size for phase in training_phases(config)))
    with _of(config):  # as a worker will, so that nothing which it refuses is left to it
        datasets = open_datasets(list(config.data.train_sets.items()))
        for workers in _worlds(config):
            check_buffer(datasets, stream_settings(config, workers), config.data.loader_workers)
        if init is not None:
            initial_model(config)
        if (training.loss or task.loss) == PERCEPTUAL:
            get_loss(PERCEPTUAL, training.perceptual_weights)


def _worlds(config: RunConfig) -> set[int]:
    """The ends of the range: a number of workers between them that does not fit is one that a run never has."""
    return {config.training.max_workers, config.training.min_workers}


@contextmanager
def _of(config: RunConfig) -> Iterator[None]:
    """A refusal inside says of which task."""
    try:
        yield
    except UserError as error:
        error.args = (f"{config.task}: {error}",)
        raise


def _datasets(config: RunConfig) -> list[str]:
    return [uri for uri in (*config.data.train_sets, config.data.val, config.data.test) if uri]
