"""What one evaluation is: all that its figures depend on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.data.manifest import load_manifest
from pipeline.errors import UserError
from pipeline.metrics.convention import MetricConvention
from pipeline.metrics.lpips import LpipsWeights
from pipeline.scoring.observe import EVALUATION_SEED
from pipeline.scoring.protocol import BENCHMARK, PROTOCOLS, Protocol
from pipeline.settings import Settings
from pipeline.tasks import TASKS, Task
from pipeline.tasks.settings import TaskSettings
from pipeline.wording import counted
from semanir.config import ModelConfig, check_k
from semanir.tiling import DEFAULT_OVERLAP, check_tile, config_grid

METRICS_VERSION = 1  # raise it whenever a figure would change


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One model or baseline, one task and setting, one set of images.

    weights: SHA-256 of the model's weights, empty for baselines alone. ks: keys per token, one row of the table each.
    baselines: names of the task's classical methods that are measured beside it. lpips: SHA-256 of LPIPS's weights,
    empty where it is not measured; lpips_backbone: the network that they are of. protocol: a name of ``PROTOCOLS``.
    """

    task: str
    setting: str  # JSON of what the user set; the rest are the task's defaults
    images: str
    images_digest: str
    num_images: int
    paired: bool
    dataset: str
    baselines: tuple[str, ...]
    weights: str = ""
    ks: tuple[int, ...] = ()
    tile: int | None = None
    overlap: int = DEFAULT_OVERLAP
    self_ensemble: bool = False
    pictures: int = 0
    seed: int = EVALUATION_SEED
    metrics_version: int = METRICS_VERSION
    lpips: str = ""
    lpips_backbone: str = ""
    protocol: str = BENCHMARK

    @property
    def resolved_task(self) -> Task:
        """The task itself."""
        return TASKS[self.task]

    @property
    def resolved_setting(self) -> TaskSettings:
        """The task's validated settings."""
        return self.resolved_task.parse_settings(json.loads(self.setting))

    @property
    def rules(self) -> Protocol:
        """The protocol itself."""
        return PROTOCOLS[self.protocol]

    @property
    def convention(self) -> MetricConvention:
        """On which channel, border and values the figures are measured."""
        return self.rules.convention(self.resolved_task)

    @property
    def set_name(self) -> str:
        """Twelve hex digits of the images' digest: how a harm curve names what it was measured on."""
        return self.images_digest[:12]

    def fingerprint(self) -> str:
        """Twelve hex digits: equal ones give equal figures. Addresses stay out, digests are in."""
        values = asdict(self)
        del values["images"]
        if not self.lpips:
            # Evaluations were logged before LPIPS could be asked for: one without it keeps the digest that it had.
            del values["lpips"], values["lpips_backbone"]
        if self.protocol == BENCHMARK:
            del values["protocol"]  # the only one there was before this field: likewise
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def describe(self) -> str:
        """The protocol in words, as the tables say it."""
        task = self.resolved_task
        shown = describe_setting(self.resolved_setting)
        setting = "real pairs" if self.paired else ", ".join(f"{name} {value}" for name, value in shown.items())
        degraded = f"{task.title}, {setting}" if setting else task.title
        ensemble = ", self-ensemble x8" if self.self_ensemble else ""
        perceptual = f", LPIPS v0.1 of {self.lpips_backbone} on whole RGB images" if self.lpips else ""
        cut = "" if self.rules.multiple == 1 else f", cut to multiples of {self.rules.multiple}"
        measured = f"{self.convention.describe()}{cut}{perceptual}{ensemble}"
        return f"{degraded}; {counted(self.num_images, 'image')} of {self.dataset}; {measured}"


def make_plan(
    *, task: Task, setting: Mapping[str, Any], images: str, dataset: str | None = None,
    baselines: Sequence[str] | None = None, config: ModelConfig | None = None, weights: str = "",
    ks: Sequence[int] = (), tile: int | None = None, overlap: int = DEFAULT_OVERLAP, self_ensemble: bool = False,
    pictures: int = 0, lpips: LpipsWeights | None = None, protocol: str = BENCHMARK,
) -> Plan:  # fmt: skip
    """Check everything that can be checked before any image is read.

    config: of the model, None to measure baselines alone. ks: empty means the model's own k.

    Raises:
        UserError: a setting, k, tile, baseline or protocol that does not exist, a model of other channels or scale
            than the task's, or no finished set at ``images``.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"unknown protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    setting = PROTOCOLS[protocol].complete(task, setting)
    task.parse_settings(setting)
    manifest = load_manifest(images)
    if config is not None:
        _check_model(config, task, ks or (config.k,), tile, overlap)
    unknown = sorted(set(baselines or ()) - set(task.baselines))
    if unknown:
        raise UserError(f"{task.name} has no baseline {unknown[0]!r}; there are: {', '.join(task.baselines)}")
    return Plan(
        task=task.name,
        setting=json.dumps(dict(setting), sort_keys=True),
        images=images,
        images_digest=manifest.digest,
        num_images=manifest.num_samples,
        paired=manifest.has_degraded,
        dataset=dataset or images.rstrip("/").rpartition("/")[2],
        baselines=tuple(task.baselines if baselines is None else baselines),
        weights=weights,
        ks=() if config is None else tuple(sorted(set(ks or (config.k,)))),
        tile=tile,
        overlap=overlap,
        self_ensemble=self_ensemble,
        pictures=pictures,
        lpips=lpips.digest if lpips else "",
        lpips_backbone=lpips.title if lpips else "",
        protocol=protocol,
    )


def describe_setting(setting: TaskSettings) -> dict[str, str]:
    """Top-level knobs as text; a range of one value is that value. Nested sections only where they differ."""
    shown: dict[str, str] = {}
    default = type(setting)()
    for name, value in setting:
        if isinstance(value, Settings):
            if value != getattr(default, name):
                shown[name] = json.dumps(value.model_dump(mode="json", exclude_defaults=True))
        elif isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], str):
            low, high = value
            shown[name] = f"{low:g}" if low == high else f"{low:g}..{high:g}"
        elif value is not None:
            shown[name] = ", ".join(value) if isinstance(value, tuple) else str(value)
    return shown


def _check_model(config: ModelConfig, task: Task, ks: Sequence[int], tile: int | None, overlap: int) -> None:
    found = (config.in_channels, config.out_channels, config.upscale)
    wanted = (task.input_channels, task.channels, task.upscale)
    if found != wanted:
        raise UserError(
            f"the model takes {found[0]} channels to {found[1]} at scale {found[2]}; {task.name} needs {wanted[0]} to "
            f"{wanted[1]} at scale {wanted[2]}: choose another --task or model"
        )
    grid = config_grid(config)
    try:
        check_tile(overlap + grid if tile is None else tile, overlap, grid)
        for k in ks:
            check_k(k, config.window_size)
    except ValueError as error:
        raise UserError(str(error)) from None
