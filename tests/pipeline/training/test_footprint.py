"""What a run holds and reads, as it was foretold."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig
from pipeline.data.manifest import load_manifest
from pipeline.data.read_bytes import sample_bytes, training_bytes, validation_bytes
from pipeline.runs.forecast import program_bytes
from pipeline.storage.local import LocalStorage
from pipeline.training.context import PlainContext
from pipeline.training.footprint import footprint
from pipeline.training.loop import train
from tests.pipeline.training.test_loop import config, resolve_single


def test_the_bytes_that_a_run_reads(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = resolve_single(config(shards, "training.steps=2", "training.schedule.warmup_steps=1"))
    read: list[int] = []
    plain = LocalStorage.read_range

    def counting(self: LocalStorage, key: str, offset: int, length: int) -> bytes:
        data = plain(self, key, offset, length)
        if key.endswith(".tar"):
            read.append(len(data))
        return data

    monkeypatch.setattr(LocalStorage, "read_range", counting)
    train(run, PlainContext(tmp_path))
    manifest = load_manifest(str(shards))
    trained = training_bytes([(manifest, 1)], 8, world_size=1, loader_workers=0, decoded_limit=128 << 20)
    assert sum(read) == pytest.approx(trained + validation_bytes(manifest, 1), rel=0.15)


@pytest.mark.parametrize("images", [1, 5, 12, 1000])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_a_set_kept_decoded_is_read_once_by_each_process(shards: Path, images: int, processes: int) -> None:
    manifest = load_manifest(str(shards))
    size = sample_bytes(manifest)
    found = training_bytes(
        [(manifest, 1)], images, world_size=processes, loader_workers=1, decoded_limit=manifest.summary.decoded_bytes
    )
    streamed = training_bytes([(manifest, 1)], images, world_size=processes, loader_workers=1, decoded_limit=0)
    assert streamed == round(images / 3 * size)
    assert found <= min(streamed, processes * size) + 1
    if images == 1000:
        assert found == pytest.approx(processes * size, rel=1e-3)


# A process of its own, as a worker under Ray is: of a forked one only some pages of its libraries count as resident.
WORKER = """
import resource, sys
from pathlib import Path
import torch
import pipeline.training.ray_train
from pipeline.config import RunConfig
from pipeline.allocator import keep_freed_memory
from pipeline.training.context import PlainContext
from pipeline.training.loop import train
torch.set_num_threads(1)
keep_freed_memory()
train(RunConfig.model_validate_json(sys.argv[1]), PlainContext(Path(sys.argv[2])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def memory_case(shards: Path, name: str, patch: int, batch: int, *more: str) -> RunConfig:
    return config(
        shards, f"model.name={name}", f"data.patch_size={patch}", f"training.global_batch_size={batch}",
        "training.steps=2", "training.num_workers=1", "training.schedule.warmup_steps=1", "training.validate_every=2",
        "training.random_k=[]", "training.loss=l1", *more,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch", "more"),
    [
        ("ushape_tiny", 16, ()),
        ("ushape_tiny", 64, ("training.ema_decay=0.9", "training.zero_stage=2")),
        ("ushape_light", 16, ()),
    ],
)
def test_memory_is_within_15_percent(
    name: str, batch: int, more: tuple[str, ...], shards: Path, tmp_path: Path
) -> None:
    run = memory_case(shards, name, 32, batch, *more)
    command = [sys.executable, "-c", WORKER, run.model_dump_json(), str(tmp_path)]
    measured = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.split()[-1])
    assert program_bytes() + footprint(run, 1).total == pytest.approx(measured, rel=0.15)


def test_stages_share_what_they_share(shards: Path) -> None:
    more = "training.ema_decay=0.9"
    runs = [memory_case(shards, "ushape_tiny", 16, 16, f"training.zero_stage={stage}", more) for stage in range(4)]
    found = [footprint(run, 8) for run in runs]
    numel = found[1].weights // 4
    assert found[0].average == 4 * numel
    assert found[1].average == found[2].average == found[3].average == 4 * math.ceil(numel / 8)
    assert found[1].optimizer == 5 * 4 * math.ceil(numel / 8)
    assert found[0].gradients > found[2].gradients
    assert len({part.activations for part in found}) == 1


def block(text: str, stage: int = 1) -> tuple[str, ...]:
    return (f"training.zero_stage={stage}", f"training.zero_optimization={text}", "training.use_gpu=true")


# Each is planned twice, which takes a second.
ALIKE = [
    ("{reduce_bucket_size: auto}", "{reduce_bucket_size: 500000000}"),
    ("{reduce_bucket_size: 1000.0}", "{reduce_bucket_size: 1000}"),
    ("{offload_optimizer: auto}", "{}"),
    ("{offload_optimizer: {device: auto}}", "{}"),
    ("{offload_optimizer: {device: none}}", "{}"),
]


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("{}", "{reduce_bucket_size: 500000000}"),  # as DeepSpeed's reference has it
        ("{reduce_bucket_size: '1000'}", "{reduce_bucket_size: 1000}"),
        ("{offload_optimizer: {device: cpu, pin_memory: auto}}", "{offload_optimizer: {device: cpu}}"),
        *(pytest.param(given, same, marks=pytest.mark.slow) for given, same in ALIKE),
    ],
)
def test_a_block_is_planned_as_deepspeed_reads_it(given: str, same: str, shards: Path) -> None:
    plans = [footprint(memory_case(shards, "ushape_tiny", 16, 16, *block(text)), 1) for text in (given, same)]
    assert plans[0] == plans[1]


def test_a_block_changes_the_plan(shards: Path) -> None:
    def plan(text: str) -> Any:
        return footprint(memory_case(shards, "ushape_tiny", 16, 16, *block(text)), 1)

    usual = plan("{}")
    assert usual.gradients - plan("{reduce_bucket_size: 1000}").gradients == 4 * 2 * (500_000_000 - 1000)
    assert usual.optimizer > plan("{offload_optimizer: {device: cpu}}").optimizer == 0
