"""The stopwatch's arithmetic, and what a model's step costs."""

from __future__ import annotations

import pytest
import torch

import semanir
from pipeline.config import resolve
from pipeline.training import meter as meter_module
from pipeline.training.meter import Meter, flops_per_sample, memory_mib
from pipeline.training.phases import training_phases


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


def test_every_second_belongs_to_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(meter_module, "time", clock)
    meter = Meter()
    for _ in range(2):
        for part, seconds in [("data", 1), ("forward", 2), ("backward", 4), ("step", 0.5), ("average", 0.5)]:
            clock.now += seconds
            meter.lap(part)
        meter.count(8, 4e12)
    clock.now += 3
    meter.lap("checkpoint")
    rates = meter.rates(peak_tflops=2.0)
    assert rates["samples_per_second"] == 1.0  # the checkpoint is no step
    assert rates["data_wait_share"] == 1 / 8
    assert [rates[f"time_{part}_ms"] for part in ("data", "forward", "backward", "step")] == [1000, 2000, 4000, 500]
    assert rates["time_checkpoint_s"] == 3
    assert meter.pauses() == {}  # it was told
    clock.now += 2
    meter.lap("checkpoint")
    assert meter.pauses() == {"time_checkpoint_s": 2}
    assert rates["model_tflops_per_second"] == 0.5
    assert rates["mfu"] == 0.25
    clock.now += 8
    meter.lap("forward")
    meter.count(8, 0)
    assert meter.average() == 1.0
    few = meter.rates(None)
    assert "mfu" not in few
    assert [name for name in few if name.endswith("_ms")] == ["time_forward_ms"]  # what never is, is not always 0
    assert meter.average() == 1.0


def test_a_step_costs_three_forward_passes_at_the_mean_k_but_one_of_the_dictionaries() -> None:
    document = {
        "defaults": {
            "storage": "unused", "model": {"name": "columnar_tiny"},
            "data": {"train": "unused", "val": "unused", "patch_size": 32},
            "training": {"steps": 1, "global_batch_size": 2, "random_k": [8, 24]},
        }
    }  # fmt: skip
    model = semanir.create_model("columnar_tiny")
    (phase,) = training_phases(resolve(document, "sr_x2"))
    found = flops_per_sample(resolve(document, "sr_x2"), model, phase)
    forward = semanir.describe(model, 16, 16, 16)
    without = forward.macs_convolution + forward.macs_linear + forward.macs_attention
    assert found == 2 * (3 * without + forward.macs_dictionary)
    assert found < 6 * forward.macs


def test_memory_is_what_the_process_holds() -> None:
    assert 50 < memory_mib(torch.device("cpu")) < 1e6
