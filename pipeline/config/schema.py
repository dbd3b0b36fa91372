"""The whole configuration of one training run: typed, frozen, validated once, before anything starts."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.fingerprint import Operational, deviations, fingerprint
from pipeline.config.spikes import SpikeSettings
from pipeline.settings.base import Settings
from pipeline.tasks import TASKS
from pipeline.workers import Workers, nearest_worlds

MAX_PROFILED_STEPS = 10
# Far beyond what anyone trains, near enough that a slip of the keyboard is caught before it takes time or memory.
Steps = Annotated[int, Field(ge=1, le=1_000_000_000)]
Samples = Annotated[int, Field(ge=1, le=65_536)]
PatchSide = Annotated[int, Field(ge=8, le=4_096)]
Count = Annotated[int, Field(ge=1, le=4_096)]
Seconds = Annotated[float, Field(ge=0, le=7 * 86_400)]
Rate = Annotated[float, Field(gt=0, le=10)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Keys = Annotated[int, Field(ge=1, le=4_096)]
# An empty text, as of a variable that is not set, is no way to say "none": null is, and leaving the key out.
Text = Annotated[str, Field(min_length=1)]


class ModelSettings(Settings):
    """Which SemanIR, and the fields of ``semanir.ModelConfig`` to override (None keeps the model's own)."""

    name: Text | None = None  # None: the task's published model
    init: Text | None = Field(
        default=None, description="weights to start from: a checkpoint's best/, or shipped:<task>"
    )
    embed_dim: int | None = None
    depths: Annotated[tuple[int, ...], Field(max_length=64)] | None = None
    num_heads: int | None = None
    window_size: int | None = None
    mlp_ratio: float | None = None
    k: int | None = None
    shift: Text | None = None
    attention: Text | None = None
    bias_hidden_dim: int | None = None
    image_skip: bool | None = None
    zero_init_last: bool | None = None
    checkpoint_stages: bool | None = None

    def overrides(self) -> dict[str, Any]:
        """The fields that were set, as keyword arguments of ``semanir.create_model``."""
        return self.model_dump(exclude={"name", "init"}, exclude_none=True)


class DataSettings(Settings):
    """Where the shards are, and how samples are drawn from them (the order itself: pipeline.data.order)."""

    train: Text | Annotated[dict[Text, Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=1)] = Field(
        description="address of the training set, or addresses with whole-number weights"
    )
    val: Text
    test: Text | None = None
    patch_size: PatchSide = Field(default=128, description="side of a ground-truth patch, pixels")
    streams: Count = Field(default=64, description="canonical streams: at least the largest world")
    block_size: Samples = Field(default=64, description="samples shuffled together within a stream")
    crops_per_image: Count = 1
    loader_workers: Operational[int] = Field(default=0, ge=0, le=64)
    cache_folder: Operational[Text | None] = Field(
        default=None, description="local disk for copies of shards; None: no copies"
    )
    cache_gib: Operational[float] = Field(
        default=64, gt=0, description="the most that the copies on a machine take together"
    )
    on_damage: Literal["raise", "skip"] = "raise"
    max_skipped_share: float = Field(default=0.01, ge=0, le=1)

    @property
    def train_sets(self) -> dict[str, int]:
        """Addresses of the training sets with their weights, in the order of the addresses."""
        return {self.train: 1} if isinstance(self.train, str) else dict(sorted(self.train.items()))


class ScheduleSettings(Settings):
    """Learning rate over optimizer steps: a linear warm-up, then cosine to ``final_ratio`` or halvings."""

    kind: Literal["cosine", "multistep", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0, le=1_000_000_000)
    final_ratio: float = Field(default=0.0, ge=0, le=1)
    milestones: Annotated[tuple[Steps, ...], Field(max_length=1_000)] = ()
    gamma: float = Field(default=0.5, gt=0, le=1)


class PhaseSettings(Settings):
    """A part of a recipe: what it sets replaces the run's own value for its steps.

    A learning rate or schedule given here counts the phase's own steps; without either, the phase stays on the
    run's schedule over all steps.
    """

    steps: Steps
    patch_size: PatchSide | None = None
    global_batch_size: Samples | None = None
    micro_batch_size: Samples | None = None
    learning_rate: Rate | None = None
    schedule: ScheduleSettings | None = None


class TrainingSettings(Settings):
    """Steps, batch, optimizer, ZeRO and the cluster share of one run."""

    steps: Steps = Field(description="optimizer steps")
    global_batch_size: Samples
    micro_batch_size: Samples | None = Field(
        default=None, description="per worker; None: no accumulation on the largest number of workers"
    )
    phases: tuple[PhaseSettings, ...] = Field(
        default=(), max_length=1_000, description="in turn; their steps add up to ``steps``"
    )
    num_workers: Operational[Workers] = Field(
        default=2, description="or [min, max]: as many as nodes, which come and go, allow"
    )
    grow_after_s: Operational[Seconds] = Field(
        default=30, description="from a start to taking more workers, and between looks"
    )
    cpus_per_worker: Operational[Count] = 1
    use_gpu: Operational[bool | Literal["auto"]] = Field(
        default="auto",
        description="auto: where the cluster has enough, then in bf16 unless precision is given",
    )
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: Rate = 2e-4
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0, le=10)
    schedule: ScheduleSettings = ScheduleSettings()
    gradient_clipping: float = Field(default=0.0, ge=0, description="global norm; 0: off")
    loss: Text | None = None  # None: the task's published loss
    perceptual_weights: Text | None = Field(default=None, description="VGG16 as safetensors, torchvision's key names")
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="of the weights that are validated; 0: no average")
    random_k: Annotated[tuple[Keys, ...], Field(max_length=256)] = ()  # drawn per step; empty: the model's own k
    precision: Literal["fp32", "bf16"] = "fp32"
    peak_tflops: Operational[float | None] = Field(
        default=None, gt=0, description="of one worker's device; given, MFU is reported"
    )
    zero_stage: int = Field(default=1, ge=0, le=3)
    zero_optimization: dict[str, Any] = Field(default_factory=dict, description="merged deeply over ours")
    log_every: Operational[Steps] = 20
    validate_every: Steps = 1000
    checkpoint_every: Operational[Steps] = 1000
    checkpoint_every_s: Operational[Annotated[float, Field(ge=1, le=7 * 86_400)] | None] = Field(
        default=None, description="seconds after which one is due as well; None: by steps alone"
    )
    num_to_keep: Operational[Count] = 2
    max_failures: Operational[int] = Field(default=3, ge=-1, le=1_000_000)
    max_skipped_steps: int = Field(
        default=10, ge=0, le=1_000_000_000, description="non-finite losses forgiven in one run"
    )
    spikes: SpikeSettings = SpikeSettings()
    collective_timeout_s: Operational[int] = Field(default=60, ge=1, le=7 * 86_400)
    outage_deadline_s: Operational[Seconds | None] = Field(
        default=None,
        gt=0,
        description="how long S3 or MLflow may be away; None: S3 3/4 of collective_timeout_s, MLflow 120 s",
    )
    profile_steps: Operational[tuple[int, int] | None] = Field(
        default=None, description="first and last step that rank 0 records with torch.profiler; None: none"
    )

    @property
    def on_gpu(self) -> bool:
        """Whether each worker has a GPU; ``auto`` is none until pipeline.training.devices has asked the cluster."""
        return self.use_gpu is True

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

    @property
    def storage_deadline_s(self) -> float:
        """Seconds that an outage of S3 is waited out, less than workers wait for each other."""
        return self.outage_deadline_s if self.outage_deadline_s is not None else 0.75 * self.collective_timeout_s

    @model_validator(mode="after")
    def _outage_ends_first(self) -> TrainingSettings:
        if self.storage_deadline_s >= self.collective_timeout_s:
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
    def _spikes_are_judged(self) -> TrainingSettings:
        longest = max((phase.steps for phase in self.phases), default=self.steps)
        if self.spikes.threshold is not None and self.spikes.warmup_steps >= longest:
            raise ValueError(
                f"spikes.warmup_steps {self.spikes.warmup_steps}: no step would be judged, as the run, or each of its "
                f"phases, has {longest} at most; lower it, or leave spikes.threshold out"
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
    seed: int = Field(default=0, ge=0, lt=2**63)
    storage: Text = Field(description="where runs and checkpoints go: s3://bucket/prefix or a folder")
    setting: dict[str, Any] = Field(default_factory=dict, description="the task's own settings")
    harm_images: Operational[int] = Field(
        default=0, ge=0, le=100_000, description="held-out images restored at every strength for the card; 0: none"
    )
    model: ModelSettings = ModelSettings()
    data: DataSettings
    training: TrainingSettings

    @field_validator("task")
    @classmethod
    def _task_is_known(cls, value: str) -> str:
        if value not in TASKS:
            raise ValueError(f"unknown task {value!r:.80}; there are: {', '.join(TASKS)}")
        return value

    @model_validator(mode="after")
    def _setting_is_the_tasks_own(self) -> RunConfig:
        TASKS[self.task].parse_settings(self.setting)  # its UserError names task, key and value
        return self

    def fingerprint(self) -> str:
        """Twelve hex digits that change when the resulting model would: cluster shape and cadence stay out.

        What the task decides where nothing is said – its settings' defaults, its model, its loss – counts as a default
        too, said or not.
        """
        task = TASKS[self.task]
        setting = deviations(task.parse_settings(self.setting))
        model = self.model.model_copy(update={"name": _unless(self.model.name, task.model)})
        training = self.training.model_copy(update={"loss": _unless(self.training.loss, task.loss)})
        return fingerprint(self.model_copy(update={"setting": setting, "model": model, "training": training}))


def _unless(value: str | None, default: str) -> str | None:
    return None if value == default else value
