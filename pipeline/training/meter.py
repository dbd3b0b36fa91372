"""Where a run's time goes, how fast it is, and what it holds in memory."""

from __future__ import annotations

import resource
import time

import torch

import semanir
from pipeline.config import RunConfig
from pipeline.training.phases import TrainingPhase

FLOPS_PER_MAC = 2
PARTS = ("data", "forward", "backward", "step", "average")
PAUSES = ("checkpoint", "validation")


class Meter:
    """A stopwatch that is always running: :meth:`lap` gives the time since the last lap to one part.

    ``data``: waiting for samples; ``forward``, ``backward``, ``step``: the engine; ``average``: the moving average.
    ``checkpoint`` and ``validation`` are pauses, not part of a step. On a GPU, where work is queued, ``forward``
    is the time to queue it; ``backward`` ends when all ranks know the loss, so it holds what the device computed.
    """

    def __init__(self) -> None:
        self._now: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._samples_now = self._samples_before = 0
        self._flops_now = 0.0
        self._steps_now = 0
        self._mark = time.perf_counter()

    def lap(self, part: str) -> None:
        """Give the time since the last lap to ``part``."""
        now = time.perf_counter()
        self._now[part] = self._now.get(part, 0.0) + now - self._mark
        self._mark = now

    def count(self, samples: int, flops: float) -> None:
        """One optimizer step is over: samples of all workers, and the floating-point operations of one."""
        self._samples_now += samples
        self._flops_now += flops
        self._steps_now += 1

    def rates(self, peak_tflops: float | None) -> dict[str, float]:
        """Since the last call: samples/s of all workers, and milliseconds of each part of a step that there is.

        Where ``peak_tflops`` is known, also one worker's model TFLOP/s, and their share of it (``mfu``).
        """
        seconds = sum(self._now.get(part, 0.0) for part in PARTS)
        rates = {
            "samples_per_second": self._samples_now / seconds,
            "data_wait_share": self._now.get("data", 0.0) / seconds,
            **{f"time_{part}_ms": 1000 * self._now[part] / self._steps_now for part in PARTS if part in self._now},
            **self.pauses(),
        }
        if peak_tflops is not None:
            rates["model_tflops_per_second"] = self._flops_now / seconds / 1e12
            rates["mfu"] = rates["model_tflops_per_second"] / peak_tflops
        for part, value in self._now.items():
            self._before[part] = self._before.get(part, 0.0) + value
        self._samples_before += self._samples_now
        self._now, self._samples_now, self._flops_now, self._steps_now = {}, 0, 0.0, 0
        return rates

    def pauses(self) -> dict[str, float]:
        """Seconds of each pause since the last call of :meth:`rates`."""
        return {f"time_{part}_s": self._now[part] for part in PAUSES if part in self._now}

    def average(self) -> float:
        """Samples per second over all steps so far, pauses left out; 0 before the first step."""
        seconds = sum(part.get(name, 0.0) for part in (self._now, self._before) for name in PARTS)
        return (self._samples_now + self._samples_before) / seconds if seconds else 0.0


def memory_mib(device: torch.device) -> float:
    """The most that this worker held so far: on its GPU, or resident in main memory. In MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts KiB


def flops_per_sample(config: RunConfig, model: semanir.SemanIR, phase: TrainingPhase) -> float:
    """Operations of forward and backward for one sample of a phase, at the mean of the drawn k.

    Recomputation (activation checkpointing) is not counted: utilization means useful work.
    """
    choices = config.training.random_k
    k = round(sum(choices) / len(choices)) if choices else None
    side = phase.patch_size // model.config.upscale
    return FLOPS_PER_MAC * semanir.describe(model, side, side, k).macs_training
