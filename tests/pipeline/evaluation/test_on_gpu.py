"""The same figures on a GPU: its metrics, and images restored there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.evaluation.convention import MetricConvention
from pipeline.evaluation.image_job import ImageJob, evaluate_image
from pipeline.evaluation.metrics import psnr, ssim
from pipeline.evaluation.metrics_device import psnr_batch, ssim_batch
from pipeline.evaluation.plan import make_plan
from pipeline.evaluation.weights import read_weights
from pipeline.tasks import TASKS
from semanir import load

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("convention", [MetricConvention(channel="rgb"), MetricConvention(channel="y", border=4)])
def test_device_metrics_agree_with_the_cpu(convention: MetricConvention) -> None:
    rng = np.random.default_rng(0)
    gt = rng.random((40, 52, 3), np.float32)
    restored = (gt + rng.normal(0, 0.05, gt.shape)).astype(np.float32)
    a, b = (torch.from_numpy(image.transpose(2, 0, 1).copy())[None].cuda() for image in (restored, gt))
    assert float(psnr_batch(a, b, convention)) == pytest.approx(psnr(restored, gt, convention), abs=1e-4)
    for window in ("valid", "same"):
        found = float(ssim_batch(a, b, convention, window))  # type: ignore[arg-type]
        assert found == pytest.approx(ssim(restored, gt, convention, window), abs=1e-4)  # type: ignore[arg-type]


def test_a_model_restores_there_as_on_the_cpu(image_set: str, model_folder: Callable[..., Path]) -> None:
    folder = model_folder()
    weights = read_weights(folder)
    plan = make_plan(
        task=TASKS["denoising_color"], setting={"sigma": 25}, images=image_set, config=load(folder).config,
        weights=weights.digest,
    )  # fmt: skip
    cpu, gpu = (evaluate_image(ImageJob(plan, 1, lambda: weights, device)) for device in ("cpu", "cuda"))
    assert gpu.rows[0] == cpu.rows[0]  # the baseline does not depend on the device
    assert gpu.rows[1].psnr_db == pytest.approx(cpu.rows[1].psnr_db, abs=0.02)
