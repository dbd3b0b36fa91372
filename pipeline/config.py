"""The whole configuration of one training run: typed, frozen, validated once, before anything starts.

A configuration file is YAML with two keys: ``defaults`` and, optionally, ``tasks``, whose entries are laid
over the defaults for that task. ``--set a.b=c`` is laid over both. Unknown keys raise.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import UserError, first_line
from pipeline.workers import Workers, micro_batch_size, nearest_worlds

MAX_CONFIG_BYTES = 1 << 20
MAX_PROFILED_STEPS = 10

SettingsT = TypeVar("SettingsT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.1's safe loader, taught that 2e-4 is a number, as people write learning rates."""


class _Dumper(yaml.SafeDumper):
    """Writes what :class:`_Loader` reads back: text that looks like such a number is quoted."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


class Settings(BaseModel):
    """Base of every settings class: immutable, and neither unknown keys nor near-enough types pass."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelSettings(Settings):
    """Which SemanIR, and the fields of ``semanir.ModelConfig`` to override (None keeps the model's own)."""

    name: str | None = None  # None: the task's published model
    init: str | None = Field(default=None, description="folder of weights to start from (a checkpoint's best/)")
    embed_dim: int | None = None
    depths: tuple[int, ...] | None = None
    num_heads: int | None = None
    window_size: int | None = None
    mlp_ratio: float | None = None
    k: int | None = None
    shift: str | None = None
    attention: str | None = None
    bias_hidden_dim: int | None = None
    image_skip: bool | None = None
    zero_init_last: bool | None = None
    checkpoint_stages: bool | None = None

    def overrides(self) -> dict[str, Any]:
        """The fields that were set, as keyword arguments of ``semanir.create_model``."""
        return self.model_dump(exclude={"name", "init"}, exclude_none=True)


class DataSettings(Settings):
    """Where the shards are, and how samples are drawn from them (the order itself: pipeline.data.order)."""

    train: str | Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        description="address of the training set, or addresses with whole-number weights"
    )
    val: str
    test: str | None = None
    patch_size: int = Field(default=128, ge=8, description="side of a ground-truth patch, pixels")
    streams: int = Field(default=64, ge=1, description="canonical streams: at least the largest world")
    block_size: int = Field(default=64, ge=1, description="samples shuffled together within a stream")
    crops_per_image: int = Field(default=1, ge=1)
    loader_workers: int = Field(default=0, ge=0, le=64)
    cache_folder: str | None = Field(default=None, description="local disk for copies of shards; None: no copies")
    cache_gib: float = Field(default=64, gt=0, description="the most that the copies on a machine take together")
    on_damage: Literal["raise", "skip"] = "raise"
    max_skipped_share: float = Field(default=0.01, ge=0, le=1)

    @property
    def train_sets(self) -> dict[str, int]:
        """Addresses of the training sets with their weights, in the order of the addresses."""
        return {self.train: 1} if isinstance(self.train, str) else dict(sorted(self.train.items()))


class ScheduleSettings(Settings):
    """Learning rate over optimizer steps: a linear warm-up, then cosine to ``final_ratio`` or halvings."""

    kind: Literal["cosine", "multistep", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    final_ratio: float = Field(default=0.0, ge=0, le=1)
    milestones: tuple[int, ...] = ()
    gamma: float = Field(default=0.5, gt=0, le=1)


class PhaseSettings(Settings):
    """A part of a recipe: what it sets replaces the run's own value for its steps.

    A learning rate or schedule given here counts the phase's own steps; without either, the phase stays on the
    run's schedule over all steps.
    """

    steps: int = Field(ge=1)
    patch_size: int | None = Field(default=None, ge=8)
    global_batch_size: int | None = Field(default=None, ge=1)
    micro_batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    schedule: ScheduleSettings | None = None


class TrainingSettings(Settings):
    """Steps, batch, optimizer, ZeRO and the cluster share of one run."""

    steps: int = Field(ge=1, description="optimizer steps")
    global_batch_size: int = Field(ge=1)
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="per worker; None: no accumulation on the largest number of workers"
    )
    phases: tuple[PhaseSettings, ...] = Field(default=(), description="in turn; their steps add up to ``steps``")
    num_workers: Workers = Field(default=2, description="or [min, max]: as many as nodes, which come and go, allow")
    grow_after_s: float = Field(default=30, ge=0, description="from a start to taking more workers, and between looks")
    cpus_per_worker: int = Field(default=1, ge=1)
    use_gpu: bool = False
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(default=2e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: ScheduleSettings = ScheduleSettings()
    gradient_clipping: float = Field(default=0.0, ge=0, description="global norm; 0: off")
    loss: str | None = None  # None: the task's published loss
    perceptual_weights: str | None = Field(default=None, description="VGG16 as safetensors, torchvision's key names")
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="of the weights that are validated; 0: no average")
    random_k: tuple[int, ...] = ()  # drawn per step; empty: the model's own k
    precision: Literal["fp32", "bf16"] = "fp32"
    peak_tflops: float | None = Field(default=None, gt=0, description="of one worker's device; given, MFU is reported")
    zero_stage: int = Field(default=1, ge=0, le=3)
    zero_optimization: dict[str, Any] = Field(default_factory=dict, description="merged deeply over ours")
    log_every: int = Field(default=20, ge=1)
    validate_every: int = Field(default=1000, ge=1)
    checkpoint_every: int = Field(default=1000, ge=1)
    num_to_keep: int = Field(default=2, ge=1)
    max_failures: int = Field(default=3, ge=-1)
    max_skipped_steps: int = Field(default=10, ge=0, description="non-finite losses forgiven in one run")
    collective_timeout_s: int = Field(default=60, ge=1)
    outage_deadline_s: float | None = Field(
        default=None,
        gt=0,
        description="how long S3 or MLflow may be away; None: S3 3/4 of collective_timeout_s, MLflow 120 s",
    )
    profile_steps: tuple[int, int] | None = Field(
        default=None, description="first and last step that rank 0 records with torch.profiler; None: none"
    )

    @property
    def min_workers(self) -> int:
        """Fewer never train."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[0]

    @property
    def max_workers(self) -> int:
        """More never train."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[1]

    @property
    def elastic(self) -> bool:
        """Whether the number of workers may change while the run goes on."""
        return self.min_workers < self.max_workers

    def micro_batch(self, world_size: int) -> int:
        """Samples of one forward and backward pass on one of ``world_size`` workers."""
        largest = self.max_workers if self.elastic else world_size
        return self.micro_batch_size or micro_batch_size(self.global_batch_size, world_size, largest)

    def accumulation(self, world_size: int) -> int:
        """Micro-batches per optimizer step on each of ``world_size`` workers."""
        return self.global_batch_size // (world_size * self.micro_batch(world_size))

    @property
    def outage_deadline(self) -> float:
        """Seconds that an outage of S3 is waited out, less than workers wait for each other."""
        return self.outage_deadline_s if self.outage_deadline_s is not None else 0.75 * self.collective_timeout_s

    @model_validator(mode="after")
    def _outage_ends_first(self) -> TrainingSettings:
        if self.outage_deadline >= self.collective_timeout_s:
            raise ValueError(
                f"outage_deadline_s {self.outage_deadline_s:g} is not below collective_timeout_s "
                f"{self.collective_timeout_s}: workers would give up on one that waits for S3; raise the latter"
            )
        return self

    @model_validator(mode="after")
    def _profile_is_short(self) -> TrainingSettings:
        if self.profile_steps is None:
            return self
        first, last = self.profile_steps
        if not 1 <= first <= last < first + MAX_PROFILED_STEPS or last > self.steps:
            raise ValueError(
                f"profile_steps [{first}, {last}]: the first and the last of at most {MAX_PROFILED_STEPS} steps "
                f"within 1..{self.steps}"
            )
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> TrainingSettings:
        batches = [(self.global_batch_size, self.micro_batch_size)] + [
            (phase.global_batch_size or self.global_batch_size, phase.micro_batch_size or self.micro_batch_size)
            for phase in self.phases
        ]
        common = math.gcd(*(total for total, _ in batches))
        divisors = [world for world in range(1, common + 1) if common % world == 0]
        for workers in sorted({self.min_workers, self.max_workers}):
            for total, micro in batches:
                if total % workers:
                    raise ValueError(
                        f"global_batch_size {total} does not divide by num_workers {workers}; the nearest that does: "
                        f"{nearest_worlds(divisors, workers)}"
                    )
                if micro and (total // workers) % micro:
                    raise ValueError(
                        f"micro_batch_size {micro} does not divide the {total // workers} samples each worker takes "
                        f"(global_batch_size {total} / num_workers {workers})"
                    )
        return self

    @model_validator(mode="after")
    def _phases_add_up(self) -> TrainingSettings:
        total = sum(phase.steps for phase in self.phases)
        if self.phases and total != self.steps:
            raise ValueError(f"the phases have {total} steps together, but steps is {self.steps}: make them equal")
        return self


class RunConfig(Settings):
    """One task's run, resolved: what is saved with every checkpoint and every MLflow run."""

    task: str
    seed: int = 0
    storage: str = Field(description="where runs and checkpoints go: s3://bucket/prefix or a folder")
    setting: dict[str, Any] = Field(default_factory=dict, description="the task's own settings")
    model: ModelSettings = ModelSettings()
    data: DataSettings
    training: TrainingSettings

    def fingerprint(self) -> str:
        """Twelve hex digits that change when the resulting model would: cluster shape and cadence stay out."""
        dump = self.model_dump(mode="json")
        for key in (
            "num_workers",
            "grow_after_s",
            "cpus_per_worker",
            "use_gpu",
            "log_every",
            "checkpoint_every",
            "num_to_keep",
            "max_failures",
            "collective_timeout_s",
            "outage_deadline_s",
            "profile_steps",
            "peak_tflops",
        ):
            dump["training"].pop(key)
        for key in ("loader_workers", "cache_folder", "cache_gib"):
            dump["data"].pop(key)
        return hashlib.sha256(json.dumps(dump, sort_keys=True).encode()).hexdigest()[:12]


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mapping by mapping; anything but a mapping is replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = deep_merge(known, value) if both else value  # type: ignore[arg-type]
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """``"training.steps=100"`` → ``{"training": {"steps": 100}}``; the value is read as YAML."""
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {text!r}: expected a.b=value, for example --set training.steps=100")
    try:
        nested = read_value(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text!r}: the value is not valid YAML ({first_line(error)})") from None
    for key in reversed(keys):
        nested = {key: nested}
    return nested


def read_value(text: str) -> Any:
    """One YAML value, as ``--set`` takes it."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def write_yaml(value: Any) -> str:
    """``value`` as YAML that :func:`read_yaml` reads back as it is."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def read_yaml(path: str | Path, what: str = "configuration file") -> dict[str, Any]:
    """A YAML file whose top is a mapping; raises UserError when it is missing, too large, or anything else."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{what} {path} does not exist")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise UserError(f"{what} {path} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path} is not valid YAML: {first_line(error)}") from None
    if not isinstance(document, dict):
        raise UserError(f"{what} {path}: expected a mapping of keys, found {type(document).__name__}")
    return document


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a configuration file; raises UserError when it is missing, too large, not YAML or has other keys."""
    document = read_yaml(path)
    if not set(document) <= {"defaults", "tasks"}:
        raise UserError(f"configuration file {path}: the top keys are 'defaults' and 'tasks', found {sorted(document)}")
    for key in ("defaults", "tasks"):
        if not isinstance(document.get(key) or {}, dict):
            raise UserError(f"configuration file {path}: {key!r} must be a mapping")
    return document


def resolve(document: Mapping[str, Any], task: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Lay task entry and overrides over the defaults and validate the result as one task's run."""
    merged = deep_merge(document.get("defaults") or {}, (document.get("tasks") or {}).get(task) or {})
    for text in overrides:
        merged = deep_merge(merged, parse_override(text))
    return parse_settings(RunConfig, {**merged, "task": task}, where=task)


def parse_settings(kind: type[SettingsT], values: Mapping[str, Any], where: str) -> SettingsT:
    """Validate ``values`` (as read from YAML) as ``kind``; one line per UserError, naming key and value."""
    try:
        # Through JSON, strict mode still takes lists for tuples, as YAML has no tuple.
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UserError(f"{where}: {_describe(error, kind)}") from None
    except TypeError as error:
        raise UserError(f"{where}: {error}") from None


def _describe(error: ValidationError, kind: type[BaseModel]) -> str:
    parts = []
    for item in error.errors(include_url=False)[:3]:
        path = ".".join(str(key) for key in item["loc"])
        if item["type"] == "extra_forbidden":
            siblings = ", ".join(sorted(_fields_at(kind, item["loc"][:-1])))
            parts.append(f"unknown key {path!r} (there are: {siblings})")
        elif item["type"] == "missing":
            parts.append(f"{path!r} is required")
        else:
            message = item["msg"].removeprefix("Value error, ")
            given = "" if isinstance(item["input"], dict) else f" (given: {item['input']!r})"
            parts.append(f"{path}: {message}{given}" if path else f"{message}{given}")
    return "; ".join(parts)


def _fields_at(kind: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for key in path:
        field = kind.model_fields.get(str(key))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        kind = field.annotation
    return list(kind.model_fields)
