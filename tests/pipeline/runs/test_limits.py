"""A card's limits follow from the configuration alone."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import resolve
from pipeline.runs.limits import stated_limits


def limits(task: str, images: list[int], **setting: Any) -> str:
    document = {
        "defaults": {
            "storage": "runs", "setting": setting, "data": {"train": "a", "val": "b", "patch_size": 48},
            "training": {"steps": 300, "global_batch_size": 8},
        }
    }  # fmt: skip
    return "\n".join(stated_limits(resolve(document, task), images))


def test_a_narrow_run_says_what_it_left_out() -> None:
    told = limits("denoising_color", [5], sigma=25)
    assert "Trained for Denoising (color): sigma 25." in told
    assert "Narrower than the task: sigma 25 to 25 of 0 to 50." in told
    assert "It saw no picture with nothing wrong" in told
    assert "It learned from 5 images" in told
    assert "300 steps, 2400 patches of 48 pixels" in told


def test_a_blind_run_on_many_images_says_less() -> None:
    told = limits("denoising_color", [400, 4000], sigma=[0, 50], clean_share=0.1)
    assert "sigma 0 to 50" in told
    assert "Narrower" not in told
    assert "nothing wrong" not in told
    assert "It learned from" not in told


@pytest.mark.parametrize(("task", "setting", "line"), [
    ("weather", {"kinds": ["rain"]}, "kinds rain of rain, snow, raindrops"),
    ("jpeg_gray", {"quality": 10}, "quality 10 to 10 of 10 to 40"),
    ("sr_x2", {}, "Trained for Super-resolution x2 at its one strength."),
])  # fmt: skip
def test_choices_and_strengths_are_named(task: str, setting: dict[str, Any], line: str) -> None:
    assert line in limits(task, [5], **setting)


def test_a_wider_range_is_not_called_narrower() -> None:
    assert "Narrower" not in limits("jpeg_color", [900], quality=[10, 100])
