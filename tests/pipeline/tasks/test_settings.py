"""Settings as YAML gives them: what is accepted, and the one clear line for what is not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.errors import UserError
from pipeline.tasks import TASKS


@pytest.mark.parametrize(
    ("task", "values", "field", "held"),
    [
        ("denoising_color", {"sigma": 25}, "sigma", (25.0, 25.0)),
        ("denoising_color", {"sigma": [5, 50.5]}, "sigma", (5.0, 50.5)),
        ("denoising_gray", {}, "sigma", (0.0, 50.0)),
        ("jpeg_color", {"quality": 10}, "quality", (10, 10)),
        ("jpeg_gray", {"quality": (10, 40)}, "quality", (10, 40)),
        ("deblurring", {"kernel_seed": 3, "length": 20}, "length", (20.0, 20.0)),
        ("weather", {"kinds": ["rain"]}, "kinds", ("rain",)),
    ],
)
def test_accepted(task, values, field, held):
    assert getattr(TASKS[task].parse_settings(values), field) == held


@pytest.mark.parametrize(
    ("task", "values", "line"),
    [
        (
            "denoising_color",
            {"sigma": "25"},
            r"sigma: wanted a number or \[low, high\] within 0\.\.255 .*got '25'",
        ),
        ("denoising_color", {"sigma": True}, "got True"),
        ("denoising_color", {"sigma": -1}, "low first, got -1"),
        ("denoising_color", {"sigma": [50, 5]}, r"low first, got \[50, 5\]"),
        ("denoising_color", {"sigma": float("nan")}, "got nan"),
        ("denoising_color", {"sigma": [1, 2, 3]}, r"got \[1, 2, 3\]"),
        (
            "denoising_color",
            {"sigm": 25},
            r"unknown key 'sigm' \(there are: clean_share, mild_share, saved_as, sigma\)",
        ),
        ("denoising_color", {"clean_share": 1.5}, r"clean_share: .*less than or equal to 1 \(given: 1.5\)"),
        ("denoising_color", {"saved_as": "uint8"}, r"saved_as: .*'truncated_uint8' \(given: 'uint8'\)"),
        ("unified_color", {"weights": {"hail": 1}}, "weights"),
        ("unified_gray", {"weights": {"demosaicking": 1}}, "weights"),
        ("unified_color", {"weights": {"jpeg": 0}}, "at least one degradation of a weight above 0"),
        ("unified_color", {"jpeg": {"quality": 0}}, r"jpeg\.quality: wanted an integer"),
        ("photo", {"scale": 2}, r"scale: wanted a number .* within 0\.1\.\.1"),
        ("jpeg_color", {"quality": 0}, r"quality: wanted an integer .* within 1\.\.100"),
        ("jpeg_color", {"quality": 10.5}, "wanted an integer"),
        ("sr_x2", {"scale": 2}, r"settings of sr_x2: unknown key 'scale' \(there are: none\)"),
        ("deblurring", {"max_size": 30}, "wanted an odd kernel size, got 30"),
        ("deblurring", {"max_size": 1}, r"greater than or equal to 3 \(given: 1\)"),
        ("deblurring", {"kernel_seed": "0"}, r"kernel_seed: .*integer \(given: '0'\)"),
        ("weather", {"kinds": ["hail"]}, r"'rain', 'snow' or 'raindrops' \(given: 'hail'\)"),
        ("weather", {"kinds": []}, "kinds: .*at least 1"),
        ("weather", {"rain": {"transmission": 0}}, r"rain\.transmission: .* within 0\.05\.\.1"),
        ("weather", {"snow": {"depth": 0}}, r"unknown key 'snow\.depth' \(there are: .*density"),
    ],
)
def test_refused_with_one_line_that_names_the_key(task, values, line):
    with pytest.raises(UserError, match=line) as refusal:
        TASKS[task].parse_settings(values)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"settings of {task}: ")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_defaults_are_valid_and_survive_json(task):
    settings = task.parse_settings()
    assert task.settings.model_validate_json(settings.model_dump_json()) == settings
    assert task.parse_settings(settings.model_dump()) == settings


def test_settings_are_frozen():
    settings = TASKS["denoising_color"].parse_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.sigma = (1.0, 1.0)  # type: ignore[attr-defined]
