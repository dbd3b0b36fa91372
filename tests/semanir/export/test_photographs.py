"""What a user would see: the shipped models on photographs that they never saw, exported and not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

import semanir
from pipeline.registry.export import export
from pipeline.registry.export_parity import in_onnxruntime, in_openvino, psnr
from pipeline.shipped.locate import locate, names

# In dB.
MOST_CHANGE = 0.01
KEYS = (4, 16, 64)
SIDE = 128


@cache
def photographs() -> list[tuple[Tensor, Tensor]]:
    """(clean, with noise of sigma 25): crops of the three held-out photographs, (1, 3, H, W)."""
    rng = np.random.default_rng(0)
    pairs = []
    for image in (data.rocket(), data.chelsea(), data.coffee()):
        top, left = (side // 2 - SIDE // 2 for side in image.shape[:2])
        clean = image[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1)[None].astype(np.float32) / 255
        noisy = clean + rng.normal(0, 25 / 255, clean.shape).astype(np.float32)
        pairs.append((torch.from_numpy(clean), torch.from_numpy(noisy)))
    return pairs


def same_size(name: str) -> bool:
    config = semanir.load(f"shipped:{name}").config
    return (config.in_channels, config.out_channels, config.upscale) == (3, 3, 1)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [in_onnxruntime, in_openvino])
@pytest.mark.parametrize("name", names())
def test_a_metric_on_photographs_does_not_change(name: str, runtime, tmp_path: Path) -> None:
    if not same_size(name):
        pytest.skip("the noisy photographs are for color models that keep the size")
    model = semanir.load(f"shipped:{name}").eval()
    run = runtime(export(locate(f"shipped:{name}"), tmp_path / "model.onnx").path, threads=1)
    for k in KEYS:
        changes = []
        for clean, noisy in photographs():
            with torch.inference_mode():
                expected = model(noisy, k)
            found = run(noisy, k)
            assert psnr(found, expected) >= 60
            changes.append(psnr(found.clamp(0, 1), clean) - psnr(expected.clamp(0, 1), clean))
        assert abs(np.mean(changes)) <= MOST_CHANGE, f"k {k}: {changes} dB"


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_float16_shifts_no_color(name: str, tmp_path: Path) -> None:
    if not same_size(name):
        pytest.skip("the noisy photographs are for color models that keep the size")
    model = semanir.load(f"shipped:{name}").eval()
    run = in_onnxruntime(export(locate(f"shipped:{name}"), tmp_path / "model.onnx", "onnx-float16").path, threads=1)
    for _, noisy in photographs():
        with torch.inference_mode():
            expected = model(noisy)
        found = run(noisy, model.config.k)
        assert bool(found.isfinite().all())
        assert float((found - expected).mean((0, 2, 3)).abs().max()) <= 0.25 / 255  # a quarter of a level
