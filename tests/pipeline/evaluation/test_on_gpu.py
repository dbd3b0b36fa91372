"""The same figures of images restored on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.scoring.evaluator import ImageJob, evaluate_image
from pipeline.scoring.model_files import read_weights
from pipeline.scoring.plan import make_plan
from pipeline.tasks import TASKS
from semanir import load

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_model_restores_there_as_on_the_cpu(image_set: str, model_folder: Callable[..., Path]) -> None:
    folder = model_folder()
    weights = read_weights(folder)
    plan = make_plan(
        task=TASKS["denoising_color"], setting={"sigma": 25}, images=image_set, config=load(folder).config,
        weights=weights.digest,
    )  # fmt: skip
    cpu, gpu = (evaluate_image(ImageJob(plan, 1, lambda: weights, device)) for device in ("cpu", "cuda"))
    assert gpu.scores[0] == cpu.scores[0]  # the baseline does not depend on the device
    assert gpu.scores[1].psnr_db == pytest.approx(cpu.scores[1].psnr_db, abs=0.02)
