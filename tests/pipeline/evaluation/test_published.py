"""The committed figures: what is found for which measurement, and how calibration judges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from pipeline.evaluation.calibration import (
    Check,
    Reference,
    calibration_table,
    failures,
    load_references,
    plan_calibration,
)
from pipeline.evaluation.published import load_published, published_rows
from pipeline.evaluation.summary import Mean, table
from pipeline.scoring.plan import make_plan
from pipeline.tasks import TASKS, resolve_tasks

REFERENCE = Reference("jpeg_gray", "Classic5", "quality=10", "input", 27.82, 0.76, "a paper", None, None, "")
MEAN = Mean("input", None, 5, {"psnr_db": 27.82, "ssim_valid": 0.76, "ssim_same": 0.77, "psnr_b_db": 27.0})


def measured(**values: float) -> Mean:
    return replace(MEAN, values={**MEAN.values, **values})


def test_every_committed_row_belongs_to_a_task() -> None:
    rows = load_published()
    assert len(rows) == 369
    assert {row.task for row in rows} == {task.name for task in resolve_tasks(["all"])}
    for reference in load_references():
        task = TASKS[reference.task]
        task.parse_settings(reference.settings())
        assert reference.baseline in task.baselines


def test_rows_stand_beside_the_same_task_setting_and_set_only() -> None:
    def methods(task: str, setting: dict[str, str], dataset: str, paired: bool = False) -> list[str]:
        return [row.method for row in published_rows(task, setting, dataset, paired)]

    assert "SemanIR" in methods("jpeg_color", {"quality": "10"}, "live1")
    assert methods("jpeg_color", {"quality": "10..40"}, "live1") == []
    assert methods("jpeg_color", {"quality": "10"}, "live1_half") == []
    assert "SemanIR-S" in methods("sr_x2", {}, "set5")
    assert methods("deblurring", {"length": "10..60"}, "GoPro") == []  # synthetic blur is not the benchmark's
    assert "Restormer" in methods("deblurring", {"length": "10..60"}, "GoPro", paired=True)
    semanir = next(row for row in published_rows("sr_x4", {}, "Set5", False) if row.method == "SemanIR-B")
    assert semanir.psnr_db == pytest.approx(33.08)


@pytest.mark.parametrize(
    ("psnr_db", "ssim", "verdict"),
    [
        (27.82, 0.7600, "agrees"),
        (27.85, 0.7620, "agrees"),
        (27.79, 0.7580, "agrees"),
        (27.8501, 0.7600, "DIFFERS"),
        (27.82, 0.7621, "DIFFERS"),
        (27.00, 0.7600, "DIFFERS"),
    ],
)
def test_a_difference_beyond_the_tolerance_fails(psnr_db: float, ssim: float, verdict: str) -> None:
    check = Check(REFERENCE, measured(psnr_db=psnr_db, ssim_valid=ssim))
    assert check.verdict == verdict
    assert bool(failures([check])) == (verdict == "DIFFERS")
    assert verdict in calibration_table([check])


def test_an_explained_difference_is_checked_as_strictly() -> None:
    known = replace(REFERENCE, explained_psnr_db=27.0, explanation="another border")
    assert Check(known, measured(psnr_db=27.02)).verdict == "explained"
    assert Check(known, measured(psnr_db=26.9)).verdict == "DIFFERS"
    assert Check(known, measured(psnr_db=27.02, ssim_valid=0.7)).verdict == "DIFFERS"
    assert "another border" in calibration_table([Check(known, measured(psnr_db=27.0))])


def test_sets_are_known_by_name_and_folders_are_packed(tmp_path: Path) -> None:
    (tmp_path / "Set5").mkdir()
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="Set5' holds no images"):
        plan_calibration([f"{tmp_path}/Set5/"], str(tmp_path / "out"))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "Set5" / "a.png")
    planned = plan_calibration([f"{tmp_path}/Set5/", f"{tmp_path}/other"], str(tmp_path / "out"))
    assert [(reference.task, plan.num_images) for reference, plan in planned] == [
        ("sr_x2", 1),
        ("sr_x3", 1),
        ("sr_x4", 1),
    ]
    packed = planned[0][1].images
    assert plan_calibration([packed], str(tmp_path / "out2"))[0][1].images == packed  # what is packed stays
    with pytest.raises(UserError, match=r"no published figures for .*other; sets are known by name: BSD100"):
        plan_calibration([f"{tmp_path}/other"], str(tmp_path / "out"))
    (tmp_path / "Set5" / "b.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of 2 images cannot be used.*b\.png"):
        plan_calibration([str(tmp_path / "Set5")], str(tmp_path / "out3"))


def test_a_set_without_published_rows_says_so(image_set: str) -> None:
    plan = make_plan(task=TASKS["sr_x2"], setting={}, images=image_set)
    assert "No published rows for sr_x2" in table(plan, [Mean("input", None, 5, {"psnr_db": 27.82})], "")


def test_a_table_says_where_images_counted_sixty_decibels(image_set: str) -> None:
    plan = make_plan(task=TASKS["denoising_color"], setting={}, images=image_set)
    assert "counts 60 dB" not in table(plan, [MEAN], "")
    shown = table(plan, [MEAN, replace(MEAN, method="restored", k=8, capped=2)], "")
    assert "An image counts 60 dB at most, also one equal to the truth; so counted: 2 of restored, k = 8." in shown
