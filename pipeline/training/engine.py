"""DeepSpeed's engine around one model: a training step, full-precision weights, and its part of a checkpoint."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.profiler import record_function

from pipeline.config import TrainingSettings
from pipeline.data.batches import Phase
from pipeline.training import deepspeed_internals as internals
from pipeline.training.context import WorkerContext
from pipeline.training.deepspeed_config import build_deepspeed_config
from pipeline.training.losses import Loss

MOMENTS = ("exp_avg", "exp_avg_sq")  # as torch's Adam names them
WEIGHT = "weight"
Judge = Callable[[float, float], bool]  # of loss and gradient norm


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step came to; the same on every rank.

    loss: the mean over all micro-batches of all ranks, or None when one of them was not finite and the step was
        dropped.
    leaving: whether a rank was asked to leave.
    tally: what the ranks handed in, summed.
    taken: whether weights and moments moved.
    gradient_norm: of the whole gradient before clipping, where somebody was to judge it.
    """

    loss: float | None
    leaving: bool
    tally: tuple[float, ...]
    taken: bool = False
    gradient_norm: float | None = None


PASSED_OVER = StepResult(None, leaving=False, tally=(0.0, 0.0))  # of a step whose batch was left out before


class Engine:
    """A model under DeepSpeed ZeRO.

    Args:
        model: the module to train, on the CPU; DeepSpeed moves it to the worker's device.
        settings: optimizer, ZeRO stage, precision.
        phases: the batch sizes that steps will have in this world.
        context: rank, world size and device. For world_size > 1 a process group must be running.
    """

    def __init__(
        self, model: nn.Module, settings: TrainingSettings, phases: Sequence[Phase], context: WorkerContext
    ) -> None:
        deepspeed = import_deepspeed(context.device)
        if not dist.is_initialized():
            dist.init_process_group(
                "gloo" if context.device.type == "cpu" else "nccl",
                store=dist.HashStore(), rank=0, world_size=1,
                timeout=timedelta(seconds=settings.collective_timeout_s),
            )  # fmt: skip
        self.device = context.device
        self.rank, self.world_size = context.rank, context.world_size
        self._context = context
        self.dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        self._engine, *_ = deepspeed.initialize(
            model=model,
            model_parameters=[p for p in model.parameters() if p.requires_grad],
            config=build_deepspeed_config(settings, phases, context.world_size),
            dist_init_required=False,
        )
        # DeepSpeed casts the parameters alone: a float32 buffer would lift the activations again.
        for buffer in self.module.buffers():
            if buffer.is_floating_point():
                buffer.data = buffer.data.to(self.dtype)

    def step(
        self, micro_batches: Sequence[tuple[Tensor, Tensor]], loss: Loss, learning_rate: float, k: int | None,
        lap: Callable[[str], None] = lambda part: None, tally: Sequence[float] = (), takes: Judge | None = None,
    ) -> StepResult:  # fmt: skip
        """One optimizer step over this rank's ``(lq, gt)`` micro-batches of a global batch.

        ``lap`` is told when ``forward``, ``backward`` and ``step`` are done. ``tally`` is this rank's counts. ``takes``
        judges loss and gradient norm, known to all ranks, just before weights move: where it says no, nothing does.

        No micro-batch waits for its loss: all of them stay on the device until the last gradient is queued, then one
        all-reduce and one read tell every rank every micro-batch's loss, and only then the optimizer steps. So the
        test for values that are not finite is exact in every ZeRO stage and with any accumulation: one of them
        anywhere, and no rank changes weights, moments or the optimizer's count of steps, whatever it did to the
        gradients, which are dropped (deepspeed_internals.without_stepping).
        """
        self._accumulate(len(micro_batches), len(micro_batches[0][0]))
        losses = []
        for number, (lq, gt) in enumerate(micro_batches, start=1):
            last = number == len(micro_batches)
            with record_function("forward"):
                value = loss(self.forward(lq, k), gt.to(self.device, non_blocking=True))
            losses.append(value.detach().to(torch.float32).reshape(1))
            lap("forward")
            self._engine.set_gradient_accumulation_boundary(last)
            with record_function("backward"):
                self._engine.backward(value)
            if not last:
                self._engine.step()  # counts the micro-batch
            lap("backward")
        result = self._agree(losses, tally)
        lap("backward")
        with record_function("optimizer step"):
            result = self._take(result, learning_rate, takes)
        lap("step")
        return result

    def _take(self, result: StepResult, learning_rate: float, takes: Judge | None) -> StepResult:
        loss = result.loss
        if loss is None:
            with internals.without_stepping(self._engine):
                self._engine.step()
            return result
        self._set_learning_rate(learning_rate)
        if takes is None:
            self._engine.step()
            return replace(result, taken=True)
        with internals.stepping_if(self._engine, lambda norm: takes(loss, norm)) as decision:
            self._engine.step()
        # Without an answer DeepSpeed stopped before it: the gradient was not finite.
        return replace(result, taken=bool(decision.taken), gradient_norm=decision.gradient_norm)

    def forward(self, lq: Tensor, k: int | None = None) -> Tensor:
        """The model's output for ``lq`` (B, C, H, W), moved to the device and precision of training."""
        return self._engine(lq.to(self.device, self.dtype, non_blocking=True), k=k)

    @property
    def module(self) -> nn.Module:
        return self._engine.module

    def full_state_dict(self) -> dict[str, Tensor]:
        """All weights in float32 on the CPU, from the optimizer's master copy. Collective: every rank calls it."""
        from deepspeed.utils import safe_get_full_fp32_param

        state, beside = {}, internals.masters_beside(self._engine)
        for name, parameter in self.module.named_parameters():
            full = beside.get(id(parameter), safe_get_full_fp32_param(parameter))
            # Stage 0 in float32 keeps no copy apart: the parameter is the master.
            state[name] = (parameter.detach() if full is None else full).to("cpu", torch.float32).detach().clone()
        for name, buffer in self.module.named_buffers():
            state[name] = buffer.detach().cpu().clone()
        return {name: state[name] for name in self.module.state_dict() if name in state}

    def master_tensors(self) -> list[Tensor]:
        """This rank's share of the full-precision weights, as ZeRO lays them out; writing to them trains the model."""
        return internals.master_tensors(self._engine)

    def slices(self) -> list[internals.Slice]:
        """Which elements of which parameter :meth:`master_tensors` holds on this rank."""
        return internals.slices(self._engine, self.rank)

    def own_slices(self) -> list[internals.Slice]:
        """Those of :meth:`slices` that this rank answers for: over all ranks, each element once."""
        held = self.slices()
        if internals.is_replicated(self._engine):
            held = [part.share(self.rank, self.world_size) for part in held]
        return [part for part in held if part.length]

    @torch.no_grad()
    def follow_masters(self, read: Callable[[str, int], Tensor]) -> None:
        """Make the model that of new master weights: ``read(name, length)`` gives a parameter's, flat. Collective."""
        import deepspeed

        for name, parameter in self.module.named_parameters():
            shared_out = internals.is_shared_out(parameter)
            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0, enabled=shared_out):
                if not shared_out or self.rank == 0:
                    parameter.data.copy_(read(name, parameter.numel()).view_as(parameter))

    def moment_tensors(self, name: str) -> list[Tensor]:
        """This rank's share of one of the optimizer's moments, laid out as :meth:`master_tensors`."""
        states = internals.torch_optimizer(self._engine).state
        return [states[master][name] for master in self.master_tensors()]

    def optimizer_steps(self) -> int:
        """How often the optimizer counts itself to have stepped: DeepSpeed takes an empty step first in some modes."""
        return int(internals.torch_optimizer(self._engine).state[self.master_tensors()[0]]["step"])

    def start_moments(self, steps: int) -> None:
        """See that the optimizer has moments, and let it count ``steps`` steps."""
        states = internals.torch_optimizer(self._engine).state
        for master in self.master_tensors():
            for name in MOMENTS:
                states[master].setdefault(name, torch.zeros_like(master.detach()))
            states[master]["step"] = torch.tensor(float(steps))

    def _accumulate(self, micro_batches: int, micro_batch_size: int) -> None:
        """Tell DeepSpeed the size of this step; phases may differ."""
        if self._engine.gradient_accumulation_steps() != micro_batches:
            self._engine.set_train_batch_size(
                micro_batches * self._engine.train_micro_batch_size_per_gpu() * dist.get_world_size()
            )
        if self._engine.train_micro_batch_size_per_gpu() != micro_batch_size:
            self._engine.set_train_micro_batch_size(micro_batch_size)

    def _set_learning_rate(self, value: float) -> None:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = value

    def _agree(self, losses: Sequence[Tensor], tally: Sequence[float]) -> StepResult:
        """Every micro-batch's mean loss over the ranks; whether one was asked to leave and the tally travel with it."""
        asked = float(self._context.asked_to_leave())
        figures = torch.cat([*losses, losses[0].new_tensor([asked, *tally])])
        world = dist.get_world_size()
        if world > 1:
            dist.all_reduce(figures)
        values = figures.tolist()
        means = [value / world for value in values[: len(losses)]]
        asked, *counts = values[len(losses) :]
        finite = all(map(math.isfinite, means))
        return StepResult(sum(means) / len(means) if finite else None, asked > 0, tuple(counts))


def import_deepspeed(device: torch.device) -> Any:
    """Import DeepSpeed, quietly, for ``device``."""
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # Launchers set it (Ray Train does); DeepSpeed insists on it in a plain process too.
    os.environ.setdefault("LOCAL_RANK", str(device.index or 0))
    with internals.tuner_without_mlflow():
        import deepspeed
    internals.leave_muon_uncompiled()
    from deepspeed.utils import logger

    logger.setLevel(logging.WARNING)
    if device.type == "cpu":
        internals.compile_no_extensions()
    return deepspeed
