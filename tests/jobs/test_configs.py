"""The shipped configurations pass every check that needs no server, for every task."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.config import read_config, resolve
from pipeline.runs.preflight import check_config
from pipeline.tasks import TASKS
from pipeline.training.worlds import allowed_worlds

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"


def test_what_a_configuration_says_of_the_readme_is_there() -> None:
    headings = re.findall(r"^#+ (.*)", (CONFIGS.parents[1] / "README.md").read_text(), re.MULTILINE)
    named = {name for path in CONFIGS.rglob("*.yaml") for name in re.findall(r'README, "(.*?)"', path.read_text())}
    assert named
    assert named <= set(headings)


BLIND = {
    "shipped/ushape.yaml": (
        *("unified_color", "photo", "denoising_color", "denoising_gray", "jpeg_color", "jpeg_gray"),
        *("deblurring", "demosaicking"),
    ),
    "shipped/columnar.yaml": ("sr_x2", "sr_x3", "sr_x4"),
    "paper/all_in_one.yaml": ("unified_color",),
}


@pytest.mark.parametrize("name", ["first_run.yaml", "quarter_hour.yaml"])
@pytest.mark.parametrize("task", TASKS)
def test_a_shipped_configuration_is_valid_for_every_task(name: str, task: str) -> None:
    config = resolve(read_config(CONFIGS / name), task)
    check_config(config)
    assert config.model.name == TASKS[task].tiny_model


@pytest.mark.parametrize("name", ["gpu_box.yaml", "gpu_nodes.yaml"])
@pytest.mark.parametrize("task", TASKS)
def test_a_configuration_for_gpus_trains_each_published_model(name: str, task: str) -> None:
    config = resolve(read_config(CONFIGS / name), task)
    check_config(config)
    assert config.model.name is None
    assert config.training.on_gpu
    assert len(allowed_worlds(config)) == 4


@pytest.mark.parametrize(("name", "task"), [(name, task) for name, tasks in BLIND.items() for task in tasks])
def test_a_blind_configuration_is_valid_and_of_the_size_that_it_names(name: str, task: str) -> None:
    config = resolve(read_config(CONFIGS / name), task)
    check_config(config)
    assert config.training.random_k
    if name.startswith("shipped/"):
        assert config.model.name in ("ushape_light", "columnar_light")
        assert config.training.ema_decay > 0
