"""GPUs are used where there are enough of them, without being asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.training.devices import devices_in_words, with_devices
from tests.pipeline.training.test_loop import config


@pytest.mark.parametrize(
    ("overrides", "gpus", "on_gpu", "precision", "said"),
    [
        ((), 0, False, "fp32", "CPUs, fp32: the cluster has no GPU"),
        ((), 1, False, "fp32", "CPUs, fp32: the cluster has 1 GPU, fewer than num_workers 2: lower it to use them"),
        ((), 2, True, "bf16", "one GPU each, bf16: the cluster has 2 GPUs (training.use_gpu=false for CPUs)"),
        (("training.num_workers=[1, 4]",), 1, True, "bf16", "one GPU each, bf16"),
        (("training.precision=fp32",), 4, True, "fp32", "one GPU each, fp32"),
        (
            ("training.use_gpu=false",),
            4,
            False,
            "fp32",
            "CPUs, fp32: training.use_gpu is False; the cluster has 4 GPUs",
        ),
        (("training.use_gpu=true",), 0, True, "fp32", "one GPU each, fp32: training.use_gpu is True"),
    ],
)
def test_devices(overrides: tuple[str, ...], gpus: int, on_gpu: bool, precision: str, said: str) -> None:
    given, cluster = config(Path("shards"), *overrides), {"CPU": 8.0, "GPU": float(gpus)}
    found = with_devices(given, cluster)
    assert (found.training.on_gpu, found.training.precision) == (on_gpu, precision)
    assert devices_in_words(given, cluster).startswith(said)
    assert with_devices(found, {}) == found


def test_a_run_on_cpus_keeps_its_name() -> None:
    given = config(Path("shards"))
    assert with_devices(given, {"CPU": 8.0}).fingerprint() == given.fingerprint()
    assert (
        with_devices(given, {"GPU": 2.0}).fingerprint()
        == config(Path("shards"), "training.precision=bf16").fingerprint()
    )
