"""LPIPS as a column of an evaluation: present where it was asked for, and without a trace elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.measure import run_plan
from pipeline.evaluation.summary import table
from pipeline.metrics.lpips import read_lpips
from pipeline.scoring.evaluator import map_here, supply
from pipeline.scoring.parquet import encode_scores
from pipeline.scoring.plan import make_plan
from pipeline.scoring.record import means
from pipeline.storage import open_storage
from pipeline.tasks import TASKS


def test_an_evaluation_gains_a_column(image_set: str, lpips_file: Path, tmp_path: Path) -> None:
    weights = read_lpips(str(lpips_file))
    task = TASKS["denoising_gray"]
    without = make_plan(task=task, setting={"sigma": 25}, images=image_set, baselines=("input",))
    plan = make_plan(task=task, setting={"sigma": 25}, images=image_set, baselines=("input",), lpips=weights)
    assert plan.fingerprint() != without.fingerprint()
    assert replace(without, lpips_backbone="").fingerprint() == without.fingerprint()
    output = open_storage(str(tmp_path / "with"))
    rows = run_plan(plan, None, output, map_here, lpips=supply(weights, on_ray=False))
    plain = run_plan(without, None, open_storage(str(tmp_path / "without")), map_here)
    without_it = [{name: value for name, value in row.values.items() if name != "lpips"} for row in rows]
    assert without_it == [row.values for row in plain]
    assert all(row.values["lpips"] > 0 for row in rows)
    (tmp_path / "rows.parquet").write_bytes(encode_scores(rows))
    assert pq.read_table(tmp_path / "rows.parquet")["lpips"].to_pylist() == [row.values["lpips"] for row in rows]
    (found,) = means(rows)
    text = table(plan, [found], "")
    assert "| LPIPS (AlexNet) |" in text
    assert f"| {found.values['lpips']:.4f} |" in text
    assert "LPIPS v0.1 of AlexNet on whole RGB images" in text
    assert "LPIPS" not in table(without, means(plain), "")
    with pytest.raises(UserError, match=r"holds another evaluation \(different: lpips, lpips_backbone\)"):
        run_plan(without, None, output, map_here)


def test_the_same_plan_keeps_its_fingerprint_when_nothing_is_asked(image_set: str) -> None:
    """Runs and tags of registered versions carry it: an evaluation without LPIPS is the one it always was."""
    plan = make_plan(
        task=TASKS["denoising_gray"], setting={"sigma": 25}, images=image_set, dataset="waves", baselines=("input",)
    )
    assert replace(plan, images_digest="0" * 64).fingerprint() == "742564b9a8b4"
