"""Everything that can be known to be wrong before a worker starts is refused here, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import RunConfig
from pipeline.data.batches import check_world_size
from pipeline.data.manifest import load_manifest
from pipeline.data.patches import check_patch_fits
from pipeline.errors import UserError
from pipeline.registry.client import check_tracking_server, tracking_uri
from pipeline.shipped import is_shipped, locate
from pipeline.storage import check_access, open_storage
from pipeline.tasks import TASKS
from pipeline.training.engine import check_zero_block
from pipeline.training.losses import check_loss
from pipeline.training.phases import training_phases
from pipeline.training.training_plan import model_config
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
    phases = training_phases(config)
    for size in (phase.patch_size for phase in phases):
        if size % multiple:
            raise UserError(
                f"{config.task}: patch_size {size} is not a multiple of {multiple}, which the scale and the model's "
                f"downsampling need; the nearest is {max(1, round(size / multiple)) * multiple}"
            )
    batches = [phase.global_batch_size // data.crops_per_image for phase in phases]
    for workers in (training.max_workers, training.min_workers):
        check_world_size(workers, data.streams, batches)


def patch_multiple(config: RunConfig) -> int:
    """What ground-truth patches must be a multiple of: the task's own step, and the model's downsampling."""
    task = TASKS[config.task]
    downsampling = 2 ** (model_config(config).levels - 1) * task.upscale
    return max(task.size_multiple, downsampling)


def check_data(config: RunConfig) -> None:
    """What the data sets' manifests, the setting's files, and the weights to start from, can tell."""
    task = TASKS[config.task]
    task.check_files(task.parse_settings(config.setting))
    init = config.model.init
    if init is not None and is_shipped(init):
        locate(init)
    elif init is not None and not open_storage(init).exists(CONFIG_FILE):
        raise UserError(f"{config.task}: model.init {init} holds no weights (no {CONFIG_FILE}); name a best/ folder")
    for uri in _datasets(config):
        manifest = load_manifest(uri)
        if uri in config.data.train_sets:
            check_patch_fits(manifest, max(phase.patch_size for phase in training_phases(config)))


def _datasets(config: RunConfig) -> list[str]:
    return [uri for uri in (*config.data.train_sets, config.data.val, config.data.test) if uri]
