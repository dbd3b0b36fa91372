"""``--harm``, from the command to the drawing, with a real model; and the ranges that the tasks state."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage import data

import semanir
from jobs.evaluate import main
from pipeline.data.order import sample_generator
from pipeline.data.whole import read_image
from pipeline.degradations.quantize import from_uint8
from pipeline.evaluation.plots import draw_harm
from pipeline.metrics.psnr_ssim import psnr
from pipeline.scoring.evaluator import ImageJob, map_here
from pipeline.scoring.harm import Harm, HarmPoint, decode_harm
from pipeline.scoring.model_files import read_weights
from pipeline.scoring.observe import observe
from pipeline.scoring.plan import make_plan
from pipeline.scoring.restore_array import restore_image
from pipeline.scoring.strengths import measure_harm
from pipeline.tasks import TASKS, Task

ranged = [task for task in TASKS.values() if task.strengths]
PHOTO = from_uint8(data.astronaut()[40:136, 120:232])


@pytest.mark.parametrize("task", ranged, ids=lambda task: task.name)
def test_a_range_begins_with_nothing_wrong_and_grows(task: Task) -> None:
    gt = task.crop_gt(task.to_gt_channels(PHOTO))
    left = []
    for strength in task.strengths:
        setting = task.parse_settings(strength.setting)
        left.append(psnr(task.degrade(gt, sample_generator(0, 0, 0), setting), gt, task.convention))
    assert left[0] == np.inf
    assert max(left[1:]) < np.inf
    if task.name in ("denoising_color", "denoising_gray", "jpeg_color", "jpeg_gray"):
        assert left == sorted(left, reverse=True)
    assert left[1] > 30  # the mild end is mild
    labels = [strength.label for strength in task.strengths]
    assert len(set(labels)) == len(labels)


def test_tasks_without_a_knob_have_no_range() -> None:
    assert {task.name for task in TASKS.values()} - {task.name for task in ranged} == {
        "sr_x2", "sr_x3", "sr_x4", "demosaicking",
    }  # fmt: skip


def test_the_curve_is_measured_drawn_and_continued(
    image_set: str, model_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    task = replace(TASKS["denoising_color"], strengths=TASKS["denoising_color"].strengths[::4])
    monkeypatch.setattr("pipeline.tasks.TASKS", {**TASKS, task.name: task})
    monkeypatch.setattr("pipeline.scoring.plan.TASKS", {**TASKS, task.name: task})
    folder, out = model_folder(), tmp_path / "out"
    call = [str(folder), "--harm", "--task", task.name, "--images", image_set, "--output", str(out), "--k", "4"]
    assert main([*call, "--here", "--no-mlflow"]) == 0
    printed = capsys.readouterr().out
    assert [strength.label in printed for strength in task.strengths] == [True, True, True]
    harm = decode_harm((out / "harm.json").read_text())
    assert [point.strength for point in harm.points] == ["nothing wrong", "σ 10", "σ 50"]
    assert [row["mean_db"] for row in pq.read_table(out / "harm.parquet").to_pylist()] == pytest.approx(
        [point.mean_db for point in harm.points], abs=1e-3
    )
    assert min(Image.open(io.BytesIO((out / "harm.png").read_bytes())).size) > 400

    changes = []
    for index in range(3):
        key, clean, _ = read_image(image_set, index)
        lq, gt = observe(task, task.parse_settings({"sigma": 10}), clean, None, index=index, key=key)
        restored = restore_image(semanir.load(folder), lq, k=4)
        changes.append(psnr(restored, gt, task.convention) - psnr(lq, gt, task.convention))
    assert harm.points[1].mean_db == pytest.approx(np.mean(changes), abs=1e-3)
    assert harm.points[1].worst_db == pytest.approx(min(changes), abs=1e-3)
    assert json.loads((out / "strengths" / "01" / "plan.json").read_text())["baselines"] == ["input"]

    (out / "strengths" / "02" / "parts" / "00000001.parquet").unlink()
    assert main([*call, "--here", "--no-mlflow"]) == 0
    assert capsys.readouterr().out.split("Model:")[1] == printed.split("Model:")[1]


def test_what_has_no_curve_is_refused_in_one_line(
    image_set: str, paired_set: str, model_folder: Callable[..., Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = str(model_folder())
    for arguments, message in (
        ([model, "--images", image_set, "--task", "demosaicking"], "demosaicking has no strength to vary"),
        ([model, "--images", paired_set, "--task", "deblurring"], "holds real pairs, whose strength cannot be varied"),
        ([model, "--images", image_set, "--task", "weather", "--k", "4", "8"], "give one --k, not 4, 8"),
        (["input", "--images", image_set, "--task", "weather"], "--harm measures a model; input is a baseline"),
        ([model, "--images", image_set, "--key-maps", "0", "0", "0"], "--harm measures PSNR alone"),
    ):
        assert main([*arguments, "--harm", "--output", str(tmp_path / "out"), "--here", "--no-mlflow"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_the_drawing_shows_gain_and_harm() -> None:
    points = [("nothing wrong", -13.0, -15.5, 60.0), ("σ 2", -0.4, -0.9, 42.1), ("σ 25", 8.5, 6.0, 20.2)]
    harm = Harm("a set", tuple(HarmPoint(name, mean, worst, "x", before) for name, mean, worst, before in points))
    drawn = np.asarray(Image.open(io.BytesIO(draw_harm(harm, "a title"))).convert("RGB")).astype(int)
    reddish = (drawn[:, :, 0] > 240) & (drawn[:, :, 1] < 245) & (drawn[:, :, 1] > 220)
    assert 0.1 < reddish.mean() < 0.9  # what is below 0 is shaded


def test_a_run_measures_the_same_curve_on_the_same_images_and_a_part_is_another_set(
    image_set: str, paired_set: str, model_folder: Callable[..., Path]
) -> None:
    folder = model_folder()
    weights = read_weights(folder)

    def jobs(images: str, task: str = "jpeg_color") -> list[ImageJob]:
        plan = make_plan(task=TASKS[task], setting={}, images=images, config=semanir.load(folder).config,
                         weights=weights.digest)  # fmt: skip
        return [ImageJob(plan, index, lambda: weights) for index in range(plan.num_images)]

    part = measure_harm(jobs(image_set)[:1], map_here)
    assert part is not None
    assert [point.strength for point in part.points] == [each.label for each in TASKS["jpeg_color"].strengths]
    assert {point.worst_key for point in part.points} == {"image0"}
    assert part.images == jobs(image_set)[0].plan.images_digest[:12] + "/1"
    gone = part.points[0]
    assert gone.mean_db == gone.worst_db < 0  # a random model spoils what has nothing wrong
    assert part.points[-1].input_db < part.points[1].input_db
    assert measure_harm(jobs(image_set, "demosaicking"), map_here) is None
    assert measure_harm(jobs(paired_set), map_here) is None
