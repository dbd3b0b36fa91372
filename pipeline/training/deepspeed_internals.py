"""DeepSpeed's private parts, all of them: no other file of ours names one.

What DeepSpeed offers in public reads and writes whole parameters, one collective each. A training step that is taken
back, a moving average beside the master weights, and a checkpoint of which every rank writes its own share need to
know where ZeRO keeps what. ``PRIVATE`` lists each name that is used; a test looks them up in the installed version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_ZERO_1_2 = "deepspeed.runtime.zero.stage_1_and_2:DeepSpeedZeroOptimizer"
_ZERO_3 = "deepspeed.runtime.zero.stage3:DeepSpeedZeroOptimizer_Stage3"
_BF16 = "deepspeed.runtime.fp16.unfused_optimizer:FP16_UnfusedOptimizer"
_FRAGMENT = "deepspeed.utils.tensor_fragment:tensor_fragment"
_ADDRESS = "deepspeed.utils.tensor_fragment:fragment_address"

# Where → the attributes of its instances (or, without a class, the names in the module) that this file uses.
PRIVATE: dict[str, tuple[str, ...]] = {
    "deepspeed.ops": ("__compatible_ops__",),
    "deepspeed.runtime.zero.config": ("DeepSpeedZeroConfig",),
    "deepspeed.runtime.compiler": ("compile",),
    "deepspeed.runtime.zero.muon.original_muon": ("MuonWithAuxAdam",),
    "deepspeed.runtime.engine:DeepSpeedEngine": ("optimizer",),
    _ZERO_1_2: ("optimizer", "single_partition_of_fp32_groups", "_global_grad_norm"),
    _ZERO_3: ("optimizer", "_global_grad_norm", "fp32_partitioned_groups_flat", "grad_position", "get_param_id"),
    _BF16: ("optimizer", "_global_grad_norm", "fp16_groups", "fp32_groups"),
    _FRAGMENT: ("lp_fragment_address", "hp_fragment_address", "hp_fragment"),
    _ADDRESS: ("start", "numel"),
    # Set on parameters, by these modules.
    "deepspeed.utils.mixed_precision_linkage": ("_hp_mapping",),
    "deepspeed.runtime.zero.partition_parameters": ("ds_id", "ds_numel"),
}


def zero_config_class() -> Any:
    """The pydantic model that DeepSpeed reads ``zero_optimization`` with."""
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    return DeepSpeedZeroConfig


@contextmanager
def tuner_without_mlflow() -> Iterator[None]:
    """Keep DeepSpeed, while it is imported, from importing MLflow for its own tuner, which nothing here uses.

    It does where MLflow is installed (deepspeed.autotuning.autotuner), two seconds of every worker's start.
    """
    if "mlflow" in sys.modules:
        yield
        return
    absent: dict[str, Any] = sys.modules
    absent["mlflow"] = None  # Python's own way to say that there is none
    try:
        yield
    finally:
        del sys.modules["mlflow"]


def leave_muon_uncompiled() -> None:
    """Load Muon's functions as they are written, which nothing here calls: no optimizer of ours is Muon.

    DeepSpeed imports them in every training to ask whether the optimizer is one, and to mark them for compiling makes
    PyTorch load its compiler: two to three seconds of every worker's start.
    """
    from deepspeed.runtime import compiler

    marks, compiler.compile = compiler.compile, lambda: lambda function: function
    try:
        import deepspeed.runtime.zero.muon.original_muon  # noqa: F401
    finally:
        compiler.compile = marks


def compile_no_extensions() -> None:
    """Keep DeepSpeed from building, on a CPU, a shared-memory all-reduce that only tensor-parallel inference calls.

    (deepspeed.comm.torch.TorchBackend.inference_all_reduce; training goes through the process group.)
    """
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__ = {}


def torch_optimizer(engine: Any) -> torch.optim.Optimizer:
    """The Adam inside; ZeRO stage 0 in float32 has nothing around it."""
    return getattr(engine.optimizer, "optimizer", engine.optimizer)


def master_tensors(engine: Any) -> list[Tensor]:
    """This rank's share of the full-precision weights, as ZeRO lays them out; writing to them trains the model."""
    optimizer = engine.optimizer
    for name in ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups"):
        if hasattr(optimizer, name):
            return list(getattr(optimizer, name))
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def masters_beside(engine: Any) -> dict[int, Tensor]:
    """By the parameter's id, the float32 copies of stage 0 in bf16, which DeepSpeed's own functions do not find."""
    optimizer = engine.optimizer
    if not hasattr(optimizer, "fp32_groups"):
        return {}
    return {
        id(parameter): master
        for group, masters in zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True)
        for parameter, master in zip(group, masters, strict=True)
    }


def is_shared_out(parameter: nn.Parameter) -> bool:
    """Whether each rank holds a part of ``parameter`` only (stage 3)."""
    return hasattr(parameter, "ds_id")


@contextmanager
def without_stepping(engine: Any) -> Iterator[None]:
    """While the block runs, a step of ``engine`` drops the gradients and changes no weight, no moment and no count.

    All of DeepSpeed's own step is taken, in every stage, with all that it frees and gathers, but for Adam's
    step at its heart.
    """
    inner: Any = torch_optimizer(engine)
    inner.step = lambda closure=None: None  # on the instance, before the class's own
    try:
        yield
    finally:
        del inner.step


@contextmanager
def stepping_if(engine: Any, takes: Callable[[float], bool]) -> Iterator[Decision]:
    """While the block runs, a step of ``engine`` asks ``takes``, with the global gradient norm, before it is taken.

    The norm is that of the whole gradient over all ranks, before clipping. When the answer is no, the step changes
    nothing, as in :func:`without_stepping`.
    """
    inner: Any = torch_optimizer(engine)
    plain = None if hasattr(engine.optimizer, "_global_grad_norm") else _norm_of_gradients(inner)
    take, decision = inner.step, Decision()

    def step(closure: Any = None) -> Any:
        if decision.taken is None:  # stage 3 steps on its groups one after another
            decision.gradient_norm = float(engine.optimizer._global_grad_norm) if plain is None else plain
            decision.taken = takes(decision.gradient_norm)
        return take(closure) if decision.taken else None

    inner.step = step
    try:
        yield decision
    finally:
        del inner.step


@dataclass
class Decision:
    """What became of a step; None before it came to that."""

    taken: bool | None = None
    gradient_norm: float | None = None


def _norm_of_gradients(optimizer: torch.optim.Optimizer) -> float:
    """Of stage 0 in float32, where every rank has the whole gradient once backward is done."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return float(nn.utils.get_total_norm(gradients))


@dataclass(frozen=True)
class Slice:
    """Where a run of one parameter's elements lies on this rank.

    Elements [start, start + length) of the flattened parameter ``name`` are elements [offset, offset + length) of the
    flattened tensor ``tensor`` of :func:`master_tensors`.
    """

    name: str
    start: int
    length: int
    tensor: int
    offset: int

    def of(self, held: Sequence[Tensor]) -> Tensor:
        """These elements, flat, out of tensors laid out as the master tensors; writing to them writes there."""
        return held[self.tensor].detach().view(-1).narrow(0, self.offset, self.length)

    def share(self, rank: int, world_size: int) -> Slice:
        """The part of it that ``rank`` answers for, where every rank holds all of it."""
        first, end = (self.length * number // world_size for number in (rank, rank + 1))
        return Slice(self.name, self.start + first, end - first, self.tensor, self.offset + first)


def is_replicated(engine: Any) -> bool:
    """Whether every rank holds all of the master weights (stage 0)."""
    optimizer = engine.optimizer
    return not any(
        hasattr(optimizer, name) for name in ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups")
    )


def slices(engine: Any, rank: int) -> list[Slice]:
    """Which part of which parameter this rank's master tensors hold, in the order of the parameters.

    Padding, which ZeRO puts behind the last rank's share, is in none of them. In stage 0 every rank holds everything.
    """
    named = list(engine.module.named_parameters())
    if any(is_shared_out(parameter) for _, parameter in named):
        return [part for name, parameter in named if (part := _slice_of_stage_3(engine, rank, name, parameter))]
    if hasattr(engine.optimizer, "single_partition_of_fp32_groups"):
        return [part for name, parameter in named if (part := _slice_of_stages_1_and_2(engine, name, parameter))]
    beside = masters_beside(engine)
    places = {id(tensor): number for number, tensor in enumerate(master_tensors(engine))}
    return [
        Slice(name, 0, parameter.numel(), places[id(beside.get(id(parameter), parameter))], 0)
        for name, parameter in named
        if parameter.requires_grad
    ]


def _slice_of_stages_1_and_2(engine: Any, name: str, parameter: Any) -> Slice | None:
    fragment = getattr(parameter, "_hp_mapping", None)
    if fragment is None:
        return None
    partitions = [tensor.data_ptr() for tensor in master_tensors(engine)]
    inside = fragment.hp_fragment_address.start
    # The fragment is a view of its group's partition.
    base = fragment.hp_fragment.data_ptr() - inside * fragment.hp_fragment.element_size()
    address = fragment.lp_fragment_address
    return Slice(name, address.start, address.numel, partitions.index(base), inside)


def _slice_of_stage_3(engine: Any, rank: int, name: str, parameter: Any) -> Slice | None:
    optimizer = engine.optimizer
    group, offset, length = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = rank * length
    length = min(length, parameter.ds_numel - start)
    return Slice(name, start, length, group, offset) if length > 0 else None
