"""The real loop, two processes, real shards: an interrupted run is the uninterrupted one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig, resolve
from pipeline.data.whole import iter_whole_images
from pipeline.scoring.evaluator import score_restored
from pipeline.tasks import TASKS
from pipeline.training.context import PlainContext
from pipeline.training.loop import train
from pipeline.training.proof import FileProof, proof_of
from semanir import load

STEPS, HALF = 6, 4


def config(shards: Path, *overrides: str) -> RunConfig:
    document = {
        "defaults": {
            "storage": "unused",
            "setting": {"sigma": 25},
            "model": {"name": "ushape_tiny"},
            "data": {"train": str(shards), "val": str(shards), "patch_size": 16, "streams": 4, "block_size": 2},
            "training": {
                "steps": STEPS, "global_batch_size": 4, "learning_rate": 2e-3, "loss": "pseudo_huber",
                "random_k": [4, 16], "log_every": 1, "validate_every": 2, "checkpoint_every": 2,
                "schedule": {"warmup_steps": 2},
            },
        }
    }  # fmt: skip
    return resolve(document, "denoising_color", overrides)


def digests(checkpoint: Path) -> dict[str, FileProof]:
    """What a checkpoint holds, but for the lists, which count attempts, and figures, which tell times."""
    files = (path for path in checkpoint.rglob("*") if path.is_file() and path.parent.name != "parts")
    return {path.relative_to(checkpoint).as_posix(): proof_of(path) for path in files if path.name != "figures.json"}


def last_value_per_step(logged: list[Any], metric: str) -> dict[int, float]:
    return {step: metrics[metric] for step, metrics in logged if metric in metrics}


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        *(
            pytest.param((f"training.zero_stage={stage}", f"training.precision={precision}"), marks=pytest.mark.slow)
            for stage in range(4)
            for precision in ("fp32", "bf16")
        ),
    ],
    ids=lambda overrides: " ".join(overrides) or "default",
)
def test_interrupted_run_equals_uninterrupted(
    overrides: tuple[str, ...], shards: Path, run_group: Any, tmp_path: Path
) -> None:
    job = config(shards, "training.ema_decay=0.9", *overrides).model_dump_json()
    whole = run_group(tmp_path, "loop", 2, config=job)[0]
    checkpoints = tmp_path / "checkpoints"
    last = digests(max(checkpoints.iterdir()))
    # As after a kill past step 4: later checkpoints never came to be.
    for folder in checkpoints.iterdir():
        if int(folder.name.removeprefix("step-")) > HALF:
            shutil.rmtree(folder)
    resumed = run_group(tmp_path, "loop", 2, config=job)[0]
    losses, again = (last_value_per_step(run["logged"], "loss") for run in (whole, resumed))
    assert sorted(losses) == list(range(1, STEPS + 1))
    assert sorted(again) == list(range(HALF + 1, STEPS + 1))
    assert {step: losses[step] for step in again} == again
    assert (
        last_value_per_step(resumed["logged"], "val_psnr")[STEPS]
        == last_value_per_step(whole["logged"], "val_psnr")[STEPS]
    )
    assert resumed["best_psnr"] == whole["best_psnr"]
    # Weights, moments, average, state: the last checkpoint is the same to the last bit.
    assert digests(max(checkpoints.iterdir())) == last
    # Two workers, three images: the score is that of all of them.
    assert score_of(max(checkpoints.iterdir()) / "best", config(shards), shards) == pytest.approx(
        resumed["best_psnr"], abs=1e-9
    )


def score_of(folder: Path, run: RunConfig, shards: Path) -> float:
    """Mean PSNR of the model in ``folder`` over the validation images, one after another."""
    task, model = TASKS[run.task], load(folder)
    setting = task.parse_settings(run.setting)
    scores = [
        score_restored(model, task, setting, clean, degraded, index=index, key=key).psnr_db
        for index, key, clean, degraded in iter_whole_images(str(shards))
    ]
    assert len(scores) == 3
    return sum(scores) / len(scores)


@pytest.mark.slow
def test_one_worker_told_to_leave_takes_all_and_loses_nothing(shards: Path, run_group: Any, tmp_path: Path) -> None:
    job = config(shards, "training.checkpoint_every=100", "training.validate_every=100").model_dump_json()
    (tmp_path / "whole").mkdir()
    whole = run_group(tmp_path / "whole", "loop", 2, config=job)[0]
    left = run_group(tmp_path, "loop", 2, config=job, leave={"1": 3})
    assert [run["interrupted"] for run in left] == [f"asked to leave at step 3 of {STEPS}, which is saved"] * 2
    resumed = run_group(tmp_path, "loop", 2, config=job)[0]
    losses, before, after = (last_value_per_step(run["logged"], "loss") for run in (whole, left[0], resumed))
    assert sorted(before) == [1, 2, 3]
    assert sorted(after) == [4, 5, 6]
    assert before | after == losses
    assert resumed["best_psnr"] == whole["best_psnr"]


def test_best_weights_score_what_the_run_says(shards: Path, tmp_path: Path) -> None:
    run = config(shards)
    context = PlainContext(tmp_path)
    summary = train(resolve_single(run), context)
    found = score_of(max(tmp_path.glob("step-*")) / "best", run, shards)
    assert found == pytest.approx(summary.best_psnr, abs=1e-9)
    assert summary.best_psnr == max(last_value_per_step(context.logged, "val_psnr").values())


def resolve_single(run: RunConfig) -> RunConfig:
    """The same run for one worker."""
    training = run.training.model_copy(update={"num_workers": 1})
    return run.model_copy(update={"training": training})


def test_another_sample_order_does_not_continue(shards: Path, tmp_path: Path) -> None:
    context = PlainContext(tmp_path)
    train(resolve_single(config(shards, "training.steps=2")), context)
    with pytest.raises(Exception, match="sample order"):
        train(resolve_single(config(shards, "training.steps=4", "data.block_size=3")), context)
