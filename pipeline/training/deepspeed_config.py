"""The only author of the dictionary that DeepSpeed reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.config import TrainingSettings, deep_merge
from pipeline.data.batches import Phase


def build_deepspeed_config(settings: TrainingSettings, phases: Sequence[Phase], world_size: int) -> dict[str, Any]:
    """DeepSpeed's configuration for ``settings`` in a world of ``world_size`` workers.

    Batch sizes are those of the phase that accumulates the most: each step sets its own (Engine.step), but ZeRO asks
    once, when it is made, whether gradients that it holds on the CPU are sums. The learning rate given here is the
    peak; the loop sets each step's own (pipeline.training.phases).
    """
    phase = max(phases, key=lambda phase: phase.global_batch_size // phase.micro_batch_size)
    return {
        "train_batch_size": phase.global_batch_size,
        "train_micro_batch_size_per_gpu": phase.micro_batch_size,
        "gradient_accumulation_steps": phase.global_batch_size // (phase.micro_batch_size * world_size),
        "gradient_clipping": settings.gradient_clipping,
        "optimizer": {
            "type": "AdamW" if settings.optimizer == "adamw" else "Adam",
            "params": {
                "lr": settings.learning_rate,
                "betas": list(settings.betas),
                "weight_decay": settings.weight_decay,
                "torch_adam": True,  # the other choice compiles an extension on every node
                "adam_w_mode": settings.optimizer == "adamw",
            },
        },
        "zero_optimization": zero_optimization(settings),
        "bf16": {"enabled": settings.precision == "bf16"},
        "steps_per_print": 1 << 60,  # the loop prints
        "wall_clock_breakdown": False,
    }


def zero_optimization(settings: TrainingSettings) -> dict[str, Any]:
    """The block of ZeRO: the user's own, merged deeply over ours, so that naming one of its keys keeps the others."""
    ours = {"stage": settings.zero_stage, "contiguous_gradients": True, "overlap_comm": settings.on_gpu}
    return deep_merge(ours, settings.zero_optimization)
