"""What a worker's device will hold, part by part, before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn.functional import l1_loss

import semanir
from pipeline.config import RunConfig, TrainingSettings
from pipeline.tasks import TASKS
from pipeline.training.live_bytes import LiveBytes
from pipeline.training.losses import LOSSES
from pipeline.training.phases import TrainingPhase, training_phases
from pipeline.training.training_plan import model_config
from pipeline.training.zero_block import offloads, read_zero
from semanir.tiling import default_tile

FP32 = 4


@dataclass(frozen=True)
class Footprint:
    """Bytes of one worker at the busiest moment of its busiest phase, shared among what takes them.

    weights: what the forward pass reads. gradients: with the buckets in which they travel. optimizer: float32 master
    weights, Adam's two moments, and what a step takes of them for a moment. average: the moving average. activations:
    all that forward and backward keep of one micro-batch. validation: the plain model that is scored, the best one so
    far, and what a tile takes beyond a training step.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    validation: int

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """By name, in the order they are told."""
        return asdict(self)


def footprint(config: RunConfig, world_size: int) -> Footprint:
    """Of one of ``world_size`` workers; sizes are counted on the meta device, in the run's precision.

    Left out: what operators take inside for a moment and what the allocator cannot reuse (neither was measured by
    itself: growth with the batch was foretold too small by a quarter on a CPU), and the frozen network of a perceptual
    loss. A GPU with bf16 takes the Triton kernels for attention, which keep less than what is counted here.
    """
    training, phases, zero = config.training, training_phases(config), read_zero(config.training)
    with torch.device("meta"):
        model = semanir.build_model(model_config(config))
    numel = sum(parameter.numel() for parameter in model.parameters())
    dtype = torch.bfloat16 if training.precision == "bf16" else torch.float32
    tile = _tile_bytes(model)
    busiest = max(_step_bytes(config, model, phase, world_size, dtype) for phase in phases)
    # Counted with the gradients that backward leaves. They stand apart here, and stay while a next micro-batch runs.
    accumulates = any(phase.global_batch_size > world_size * phase.micro_batch(world_size) for phase in phases)
    activations = busiest - (0 if accumulates else numel * dtype.itemsize)
    held = numel * FP32 * (1 if training.on_gpu else 2)  # beside a GPU the best weights wait in main memory
    return Footprint(
        weights=_weights(training, numel, world_size, dtype.itemsize),
        gradients=_gradients(training, zero, numel, world_size, dtype.itemsize),
        optimizer=_optimizer(training, zero, numel, world_size),
        average=_share(training, numel, world_size) * FP32 if training.ema_decay else 0,
        activations=activations,
        validation=held + max(0, tile - activations),
    )


def _step_bytes(
    config: RunConfig, model: semanir.SemanIR, phase: TrainingPhase, world_size: int, dtype: torch.dtype
) -> int:
    """The most that forward, loss and backward of one micro-batch hold beyond the weights, gradients included."""
    model = model.to(dtype).train()
    scale, batch = model.config.upscale, phase.micro_batch(world_size)
    small, large = phase.patch_size // scale, phase.patch_size
    k = max(config.training.random_k, default=None)
    loss = LOSSES.get(config.training.loss or TASKS[config.task].loss, l1_loss)

    def step() -> None:
        lq = torch.empty(batch, model.config.in_channels, small, small, device="meta", dtype=dtype)
        gt = torch.empty(batch, model.config.out_channels, large, large, device="meta")
        loss(model(lq, k=k).to(torch.float32), gt).backward()

    return _peak(step, model)


def _tile_bytes(model: semanir.SemanIR) -> int:
    """The most that scoring holds beyond the weights: one tile at a time, in float32."""
    model = model.to(torch.float32).eval()
    tile = default_tile(model)

    def restore() -> None:
        with torch.no_grad():
            model(torch.empty(1, model.config.in_channels, tile, tile, device="meta"))

    return _peak(restore, model)


def _peak(call: Callable[[], None], model: semanir.SemanIR) -> int:
    with LiveBytes() as live:
        call()
    model.zero_grad(set_to_none=True)
    return live.peak


def _share(training: TrainingSettings, numel: int, world_size: int) -> int:
    """Elements of the master weights on one worker; ZeRO pads by a few, which are not counted."""
    return numel if training.zero_stage == 0 else -(-numel // world_size)


def _weights(training: TrainingSettings, numel: int, world_size: int, itemsize: int) -> int:
    # Stage 3 keeps a share and gathers what a layer needs: models of this size are gathered whole.
    return itemsize * (numel + (_share(training, numel, world_size) if training.zero_stage == 3 else 0))


def _gradients(training: TrainingSettings, zero: Any, numel: int, world_size: int, itemsize: int) -> int:
    bucket = int(zero.reduce_bucket_size)  # on a GPU the whole of it is taken, on a CPU what is used
    own = numel if training.zero_stage < 2 else _share(training, numel, world_size)
    if training.zero_stage == 0:
        buckets = min(bucket, numel) if world_size > 1 else 0
    elif training.on_gpu:
        buckets = bucket * (1 if training.zero_stage == 3 else 2)  # one is filled while the other travels
    else:
        buckets = min(bucket, numel)
    return itemsize * (own + buckets)


def _optimizer(training: TrainingSettings, zero: Any, numel: int, world_size: int) -> int:
    """Master weights (where they are not the weights themselves), two moments, the float32 gradient and one temporary.

    Stage 0 in float32 steps on the parameters one by one: nothing of theirs is kept twice.
    """
    if offloads(zero, "offload_optimizer") and training.on_gpu:
        return 0
    own = _share(training, numel, world_size)
    plain = training.zero_stage == 0 and training.precision == "fp32"
    return FP32 * own * (2 if plain else 5)
