"""The plan that --dry-run prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.registry.speed import Speed
from pipeline.runs import fleet
from pipeline.runs import forecast as module
from pipeline.runs.forecast import describe_run
from pipeline.wording import duration
from tests.pipeline.training.test_loop import config


@pytest.fixture(autouse=True)
def known_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "program_bytes", lambda: 600 << 20)  # measured by a process of its own


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.fromarray(np.full((36, 40, 3), 80 * number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
    pack_dataset(folder_sources(str(tmp_path / "images")), str(tmp_path / "shards"))
    return tmp_path / "shards"


def test_a_plan_for_a_larger_cluster_is_told_with_a_note(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = config(shards, "training.num_workers=4", "training.checkpoint_every_s=600", "training.global_batch_size=8")
    for name, answer in (("check_runs", None), ("connect", ""), ("last_speed", None)):
        monkeypatch.setattr(fleet, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(fleet, "total_resources", lambda: {"CPU": 2.0, "GPU": 0.0})
    plan = fleet.describe_fleet([run], "any")
    assert plan.startswith("denoising_color\n")
    assert "and every 10 min 00 s;" in plan
    note = "note: it does not fit here: denoising_color: training asks for 4 CPUs at once, the cluster has 2"
    assert plan.splitlines()[-1].startswith(note)


def test_the_plan_in_words(shards: Path) -> None:
    run = config(shards, "training.steps=600", "training.num_workers=2", "training.schedule.warmup_steps=0")
    speed = Speed(
        samples_per_second=(2.0,), validation_s=1.0, checkpoint_s=1.0, run="an earlier run", when="2026-11-26"
    )
    lines = describe_run(run, run, {"CPU": 2.0, "GPU": 0.0}, speed).splitlines()
    assert lines[0] == "denoising_color"
    text = {line[2:13].strip(): line[13:] for line in lines[1:]}
    assert text["workers"] == "2; CPUs, fp32: the cluster has no GPU; 1 CPU each"
    assert text["batch"] == "4 samples of 16 px = 2 workers x 2 samples x 1 pass"
    assert text["steps"] == "600: 2,400 samples from 2,400 images, 800.0 epochs"
    assert text["spikes"] == "trained like any other step"
    assert text["time"].startswith("0.50 hours (30 min 00 s) at 2.0 samples/s, which an earlier run of 2026-11-26")
    progressive = config(
        shards, "training.steps=300", "training.num_workers=2",
        "training.phases=[{steps: 200, patch_size: 16}, {steps: 100, patch_size: 24, global_batch_size: 2}]",
    )  # fmt: skip
    speed = Speed(samples_per_second=(100.0, 2.0), validation_s=0.0, checkpoint_s=0.0, run="r", when="w")
    by_hand = 200 * 4 / 100 + 100 * 2 / 2
    (time,) = [line for line in describe_run(progressive, progressive, None, speed).splitlines() if "  time" in line]
    assert f"({duration(by_hand)}) at 100.0, then 2.0 samples/s" in time
    assert "activations" in text["memory"]
    assert "program 600.0 MiB" in text["memory"]
    assert describe_run(run, run, None, None).count("no cluster was asked") == 1


def test_each_set_of_a_mixture_has_epochs_of_its_own(shards: Path, tmp_path: Path) -> None:
    """Weights 3 and 1: of 1,200 images 900 are of the first, which has 3, and 300 of the second, which has 1."""
    (tmp_path / "more").mkdir()
    Image.fromarray(np.zeros((36, 40, 3), np.uint8)).save(tmp_path / "more" / "one.png")
    pack_dataset(folder_sources(str(tmp_path / "more")), str(tmp_path / "sets" / "more"))
    mixture = f"data.train={{{shards}: 3, {tmp_path}/sets/more: 1}}"
    run = config(shards, mixture, "training.steps=300", "training.schedule.warmup_steps=0")
    told = describe_run(run, run, None, None)
    assert "300: 1,200 samples from 1,200 images, " in told
    assert f"300.0 epochs of {shards}" in told
    assert f"300.0 epochs of {tmp_path}/sets/more" in told
    halves = config(shards, mixture.replace("3,", "1,"), "training.steps=300", "training.schedule.warmup_steps=0")
    told = describe_run(halves, halves, None, None)
    assert f"200.0 epochs of {shards}" in told
    assert f"600.0 epochs of {tmp_path}/sets/more" in told


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "0.002, cosine after 2 steps of warm-up"),
        (("training.schedule={kind: cosine, warmup_steps: 9}",), "of warm-up, which its 8 steps never end"),
        (
            ("training.schedule={kind: multistep, milestones: [4, 8, 20]}",),
            "warm-up; never reached: milestones 8, 20",
        ),
        (("training.spikes={threshold: 6, warmup_steps: 4}",), "6 standard deviations, 50 at most; 5 in a row"),
        (("training.spikes={threshold: 6, warmup_steps: 4}",), "kept, and one to go back to"),
    ],
)
def test_a_plan_says_what_the_rate_and_the_spikes_will_be(shards: Path, overrides: tuple[str, ...], said: str) -> None:
    base = ("training.steps=8", "training.learning_rate=2e-3", "training.schedule={kind: cosine, warmup_steps: 2}")
    run = config(shards, *base, *overrides)
    assert said in describe_run(run, run, None, None)
