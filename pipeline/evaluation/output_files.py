"""What an evaluation leaves in its output: per-image Parquet, the table, the curve, the key maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.errors import UserError
from pipeline.evaluation.key_maps import key_maps
from pipeline.evaluation.measure import file_name
from pipeline.evaluation.plots import draw_curve, draw_key_maps
from pipeline.evaluation.summary import curve, table
from pipeline.scoring.evaluator import observe_planned
from pipeline.scoring.model_files import Weights, build
from pipeline.scoring.parquet import encode_scores
from pipeline.scoring.plan import Plan
from pipeline.scoring.record import Mean, Score
from pipeline.storage import Storage


def write_results(plan: Plan, scores: Sequence[Score], found: Sequence[Mean], model: str, output: Storage) -> list[str]:
    """Write table and figures; returns the keys of all that a person or MLflow should keep."""
    metadata = {"plan": json.dumps(asdict(plan)), "fingerprint": plan.fingerprint(), "model": model}
    output.write("per_image.parquet", encode_scores(scores, metadata))
    output.write("table.md", table(plan, found, model).encode())
    keys = ["plan.json", "per_image.parquet", "table.md"]
    points = curve(found)
    if len(points) > 1:
        baselines = [(mean.label, mean.psnr_db) for mean in found if mean.k is None]
        output.write("psnr_against_k.png", draw_curve(points, baselines, plan.describe()))
        keys.append("psnr_against_k.png")
    names = {score.index: score.key for score in scores}
    return keys + [f"pictures/{file_name(index, key)}.png" for index, key in names.items() if index < plan.pictures]


def key_maps_picture(plan: Plan, weights: Weights, index: int, pixel: tuple[int, int]) -> tuple[str, bytes]:
    """File name and PNG of the key maps of ``pixel`` (row, column of the network's input) of one image.

    Raises UserError for an image or pixel that does not exist, or an image that is damaged.
    """
    if not 0 <= index < plan.num_images:
        raise UserError(f"image {index} of --key-maps does not exist: the set has 0 to {plan.num_images - 1}")
    task = plan.resolved_task
    key, lq, _ = observe_planned(plan, index)
    maps = key_maps(build(weights, "cpu"), task.to_input(lq), pixel, plan.ks)
    title = f"Keys per stage and k: {task.title}, {key} of {plan.dataset}, row {pixel[0]}, column {pixel[1]}"
    return f"keys_{file_name(index, key)}_{pixel[0]}_{pixel[1]}.png", draw_key_maps(maps, title)


def copy_to(folder: Path, output: Storage, keys: Sequence[str]) -> None:
    """Copy results into a local folder, for those who take files only."""
    for key in keys:
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(output.read(key))
