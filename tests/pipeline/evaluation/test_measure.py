"""A plan's run: each image once, resumed after a stop, the same for any number of workers, refused when wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import semanir
from pipeline.data.whole import read_image
from pipeline.errors import UserError
from pipeline.evaluation.measure import run_plan
from pipeline.evaluation.summary import table
from pipeline.scoring.evaluator import ImageJob, ImageResult, map_here, supply
from pipeline.scoring.model_files import read_weights
from pipeline.scoring.observe import observe
from pipeline.scoring.parquet import decode_scores, encode_scores
from pipeline.scoring.plan import Plan, describe_setting, make_plan
from pipeline.scoring.protocol import PROTOCOLS
from pipeline.scoring.record import RESTORED, means
from pipeline.scoring.restore_array import restore_image
from pipeline.storage import open_storage
from pipeline.tasks import TASKS

Folder = Callable[..., Path]


@pytest.fixture
def plan(image_set: str) -> Plan:
    return make_plan(task=TASKS["denoising_color"], setting={"sigma": 25}, images=image_set)


def with_model(images: str, folder: Path, task: str = "denoising_color", **options: Any) -> Plan:
    model, weights = semanir.load(folder), read_weights(folder)
    return make_plan(
        task=TASKS[task], setting={}, images=images, config=model.config, weights=weights.digest, **options
    )


def test_every_method_is_measured_on_every_image(image_set: str, model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder()
    plan = replace(with_model(image_set, folder, ks=(64, 3)), setting=json.dumps({"sigma": 15}), pictures=2)
    rows = run_plan(plan, supply(read_weights(folder), on_ray=False), open_storage(str(tmp_path)), map_here)
    assert [(row.index, row.method, row.k) for row in rows] == [
        (index, *method)
        for index in range(3)
        for method in (("input", None), ("non_local_means", None), (RESTORED, 3), (RESTORED, 64))
    ]
    assert decode_scores(encode_scores(rows)) == rows
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["0000-image0.png", "0001-image1.png"]

    key, clean, _ = read_image(image_set, 1)
    task = TASKS["denoising_color"]
    lq, gt = observe(task, task.parse_settings({"sigma": 15}), clean, None, index=1, key=key)
    error = np.rint(restore_image(semanir.load(folder), lq, k=3) * 255) - np.rint(gt * 255.0)
    assert rows[6].psnr_db == pytest.approx(10 * np.log10(255**2 / np.mean(error.astype(float) ** 2)))


def test_a_stopped_run_measures_only_what_is_missing(plan: Plan, tmp_path: Path) -> None:
    whole = run_plan(plan, None, open_storage(str(tmp_path / "whole")), map_here)
    output = open_storage(str(tmp_path / "stopped"))
    asked: list[int] = []

    def stops_after_one(jobs: Sequence[ImageJob]) -> Iterator[tuple[int, ImageResult]]:
        yield from map_here(jobs[1:2])
        raise KeyboardInterrupt

    def watched(jobs: Sequence[ImageJob]) -> Iterator[tuple[int, ImageResult]]:
        asked.extend(job.index for job in jobs)
        return map_here(jobs)

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, None, output, stops_after_one)
    seen: list[int] = []
    assert run_plan(plan, None, output, watched, progress=seen.append) == whole
    assert asked == [0, 2]
    assert seen == [1, 2, 3]
    assert run_plan(plan, None, output, watched) == whole
    assert asked == [0, 2]  # nothing is left to measure

    damaged = tmp_path / "stopped" / "parts" / "00000002.parquet"
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert run_plan(plan, None, output, watched) == whole
    assert asked == [0, 2, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", ["denoising_color", "jpeg_color"])
def test_a_second_run_measures_nothing(image_set: str, tmp_path: Path, task: str, protocol: str) -> None:
    plan = make_plan(task=TASKS[task], setting={}, images=image_set, baselines=("input",), protocol=protocol)
    first = run_plan(plan, None, open_storage(str(tmp_path)), map_here)

    def idle(jobs: Sequence[ImageJob]) -> Iterator[tuple[int, ImageResult]]:
        assert jobs == []
        return iter(())

    assert run_plan(plan, None, open_storage(str(tmp_path)), idle) == first


def test_an_output_belongs_to_one_evaluation(plan: Plan, tmp_path: Path) -> None:
    output = open_storage(str(tmp_path))
    run_plan(plan, None, output, map_here)
    moved = replace(plan, images=plan.images + "/")  # the same images elsewhere are the same evaluation
    run_plan(moved, None, output, map_here)
    with pytest.raises(UserError, match=r"holds another evaluation \(different: self_ensemble, tile\)"):
        run_plan(replace(plan, tile=64, self_ensemble=True), None, output, map_here)


def test_pairs_are_measured_as_they_are(paired_set: str, tmp_path: Path) -> None:
    plan = make_plan(task=TASKS["deblurring"], setting={}, images=paired_set, dataset="GoPro")
    found = means(run_plan(plan, None, open_storage(str(tmp_path)), map_here))
    assert 20 < found[0].psnr_db < 35  # another draw of weak texture, not a synthetic blur
    text = table(plan, found, "")
    assert "real pairs; 3 images of GoPro" in text
    assert "| Restormer | 32.92 |" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"setting": {"sigma": -1}}, "settings of denoising_color: sigma"),
        ({"setting": {"noise": 1}}, "unknown key 'noise'"),
        ({"baselines": ("bicubic",)}, "denoising_color has no baseline 'bicubic'; there are: input"),
        ({"images": "/nowhere"}, "'/nowhere' holds no manifest.parquet"),
        ({"ks": (0,)}, "k is 0"),
        ({"ks": (4, 65)}, "k is 65, but a window of 8 x 8"),
        ({"tile": 20}, "tile 20 with overlap 32: this model takes tiles of at least 48"),
        ({"overlap": -1}, "overlap -1"),
        ({"task": TASKS["sr_x2"]}, "takes 3 channels to 3 at scale 1; sr_x2 needs 3 to 3 at scale 2"),
        ({"task": TASKS["denoising_gray"]}, "denoising_gray needs 1 to 1"),
    ],
)
def test_what_cannot_be_measured_is_refused_first(
    image_set: str, model_folder: Folder, options: dict[str, Any], message: str
) -> None:
    config = semanir.load(model_folder()).config
    usual: dict[str, Any] = {"task": TASKS["denoising_color"], "setting": {}, "images": image_set, "config": config}
    with pytest.raises(UserError, match=message):
        make_plan(**usual | options)


def test_settings_read_as_people_write_them() -> None:
    shown = {name: describe_setting(task.settings()) for name, task in TASKS.items()}
    assert shown["denoising_gray"] == {"sigma": "0..50"}
    assert shown["sr_x2"] == {}
    assert shown["weather"] == {"kinds": "rain, snow, raindrops"}
    fixed = TASKS["weather"].parse_settings({"kinds": ["rain"], "rain": {"transmission": 0.6}})
    assert describe_setting(fixed)["rain"] == '{"transmission": [0.6, 0.6]}'
    assert describe_setting(TASKS["jpeg_gray"].parse_settings({"quality": 10})) == {"quality": "10"}
