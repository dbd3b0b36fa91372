"""Everything that can be known to be wrong before a worker starts is refused here, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import RunConfig
from pipeline.data.manifest import load_manifest
from pipeline.data.patches import check_patch_fits
from pipeline.data.schedule import check_world_size
from pipeline.errors import UserError
from pipeline.registry.client import check_tracking_server, tracking_uri
from pipeline.storage import check_access
from pipeline.tasks import TASKS
from pipeline.training.losses import get_loss
from pipeline.training.plan import model_config


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
    task.parse_settings(config.setting)
    get_loss(training.loss or task.loss)
    model = model_config(config)
    for k in training.random_k:
        if not 1 <= k <= model.window_size**2:
            raise UserError(
                f"{config.task}: training.random_k has {k}, outside 1..{model.window_size**2} "
                f"(window_size {model.window_size} squared)"
            )
    multiple = patch_multiple(config)
    if data.patch_size % multiple:
        raise UserError(
            f"{config.task}: data.patch_size {data.patch_size} is not a multiple of {multiple}, which the scale and "
            f"the model's downsampling need; the nearest is {max(1, round(data.patch_size / multiple)) * multiple}"
        )
    check_world_size(training.num_workers, data.streams, training.global_batch_size // data.crops_per_image)


def patch_multiple(config: RunConfig) -> int:
    """What ground-truth patches must be a multiple of: the task's own step, and the model's downsampling."""
    task = TASKS[config.task]
    downsampling = 2 ** (model_config(config).levels - 1) * task.upscale
    return max(task.size_multiple, downsampling)


def check_data(config: RunConfig) -> None:
    """What the data sets' manifests can tell."""
    for uri in _datasets(config):
        manifest = load_manifest(uri)
        if uri in config.data.train_sets:
            check_patch_fits(manifest, config.data.patch_size)


def _datasets(config: RunConfig) -> list[str]:
    return [uri for uri in (*config.data.train_sets, config.data.val, config.data.test) if uri]
