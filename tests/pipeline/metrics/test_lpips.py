"""LPIPS against a second writing of its formula in float64, and what its file may hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from pipeline.errors import UserError
from pipeline.metrics.lpips import Lpips, build_lpips, lpips, read_lpips
from tests.pipeline.metrics.lpips_weights import COMPARED, CONVOLUTIONS, random_lpips

BACKBONES = ["alexnet", "vgg16"]


def reference(restored: Tensor, gt: Tensor, weights: dict[str, Tensor], backbone: str) -> float:
    """Equation 1 of Zhang et al. (2018) on images (3, H, W) in [0, 1], position by position."""
    mean, deviation = [-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]
    images = torch.stack([restored, gt]).double()
    x = torch.stack([(2 * images[:, c] - 1 - mean[c]) / deviation[c] for c in range(3)], dim=1)
    total = 0.0
    for index, (_, _, _, stride, padding, pool) in CONVOLUTIONS[backbone].items():
        x = max_pool2d(x, pool, stride=2) if pool else x
        weight, bias = (weights[f"features.{index}.{part}"].double() for part in ("weight", "bias"))
        x = conv2d(x, weight, bias, stride=stride, padding=padding).clamp_min(0)
        if index in COMPARED[backbone]:
            mine, truth = (x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10)).unbind()
            lin = weights[f"lin{COMPARED[backbone].index(index)}.model.1.weight"].double().flatten()
            total += float(torch.einsum("c,chw->hw", lin, (mine - truth) ** 2).mean())
    return total


@pytest.mark.parametrize(("backbone", "size"), [("alexnet", (31, 47)), ("alexnet", (64, 50)), ("vgg16", (16, 35))])
def test_it_is_the_papers_formula(backbone: str, size: tuple[int, int]) -> None:
    weights = random_lpips(backbone)
    metric = Lpips(weights)
    generator = torch.Generator().manual_seed(1)
    gt = torch.rand(2, 3, *size, generator=generator)
    restored = (gt + 0.1 * torch.randn(gt.shape, generator=generator)).clamp(0, 1)
    wanted = [reference(a, b, weights, backbone) for a, b in zip(restored, gt, strict=True)]
    assert metric(restored, gt).tolist() == pytest.approx(wanted, rel=1e-5)
    assert torch.equal(metric(restored, gt), metric(gt, restored))
    assert metric(gt, gt).tolist() == [0, 0]
    assert metric(gt + 0.1 * (restored - gt), gt).max() < metric(restored, gt).min()


def test_images_are_compared_as_saved_and_gray_as_rgb() -> None:
    metric = Lpips(random_lpips("alexnet"))
    rng = np.random.default_rng(0)
    gt = (rng.integers(0, 256, (40, 36, 1)) / 255).astype(np.float32)
    restored = (gt + 0.1 * rng.standard_normal(gt.shape)).astype(np.float32)  # leaves [0, 1]
    saved = (np.rint(restored.clip(0, 1) * 255) / 255).astype(np.float32)
    value = lpips(restored, gt, metric)
    assert value == lpips(saved, gt, metric) > 0
    assert value == lpips(np.repeat(restored, 3, axis=2), np.repeat(gt, 3, axis=2), metric)
    with pytest.raises(ValueError, match=r"at least 31x31 pixels with AlexNet; got \(30, 36\) and \(30, 36\)"):
        lpips(restored[:30], gt[:30], metric)
    with pytest.raises(ValueError, match="of one size"):
        lpips(restored[:35], gt, metric)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_file_travels_without_what_is_not_used(backbone: str, tmp_path: Path) -> None:
    weights = random_lpips(backbone)
    save_file(weights, tmp_path / "whole.safetensors")
    used = {key: value.double() for key, value in weights.items() if not key.startswith("classifier")}
    save_file(used, tmp_path / "used.safetensors")
    whole, small = (read_lpips(str(tmp_path / f"{name}.safetensors")) for name in ("whole", "used"))
    assert whole == small
    assert whole.title.lower() == backbone
    assert whole.digest == hashlib.sha256(whole.tensors).hexdigest()
    assert sorted(load(whole.tensors)) == sorted(key for key in weights if not key.startswith("classifier"))
    x = torch.rand(1, 3, 40, 40)
    assert torch.equal(build_lpips(whole, "cpu")(x, x.flip(-1)), Lpips(weights)(x, x.flip(-1)))


def test_the_last_network_is_kept(tmp_path: Path) -> None:
    found = []
    for seed in (0, 1):
        save_file(random_lpips("alexnet", seed), tmp_path / "file.safetensors")
        found.append(read_lpips(str(tmp_path / "file.safetensors")))
    assert found[0].digest != found[1].digest
    first, second = (build_lpips(each, "cpu") for each in found)
    assert build_lpips(found[1], "cpu") is second
    assert build_lpips(found[0], "cpu") is not first
    assert not torch.equal(first.get_buffer("lin0"), second.get_buffer("lin0"))
    elsewhere = build_lpips(found[0], "meta")  # a device that computes nothing, but refuses tensors of others
    assert elsewhere(*torch.rand(2, 5, 3, 40, 40, device="meta")).shape == (5,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features.0.weight": None}, r"features\.0\.weight is missing; expected \(64, 3, 11, 11\)"),
        ({"features.0.weight": torch.zeros(96, 3, 11, 11)}, r"has shape \(96, 3, 11, 11\)"),
        ({"features.8.bias": None}, r"AlexNet weights, torchvision's alexnet: features\.8\.bias is missing"),
        ({"features.8.bias": torch.zeros(3)}, r"features\.8\.bias has shape \(3,\); expected \(256,\)"),
        ({"features.3.bias": torch.full((192,), torch.nan)}, r"features\.3\.bias holds values that are not finite"),
        ({"lin2.model.1.weight": None}, r"linear layers of AlexNet: lin2\.model\.1\.weight is missing"),
        ({"lin1.model.1.weight": torch.zeros(1, 128, 1, 1)}, r"has shape \(1, 128, 1, 1\); expected \(1, 192, 1, 1\)"),
    ],
)
def test_wrong_weights_are_refused(change: dict[str, Tensor | None], said: str, tmp_path: Path) -> None:
    changed = random_lpips("alexnet") | change
    save_file({key: value for key, value in changed.items() if value is not None}, tmp_path / "file.safetensors")
    with pytest.raises(UserError, match=said) as error:
        read_lpips(str(tmp_path / "file.safetensors"))
    assert str(error.value).startswith("--lpips ")


def test_pickles_and_other_backbones_are_refused(tmp_path: Path) -> None:
    torch.save(random_lpips("alexnet"), tmp_path / "alex.pth")
    with pytest.raises(UserError, match="is not a safetensors file"):
        read_lpips(str(tmp_path / "alex.pth"))
    with pytest.raises(UserError, match=r"--lpips: .*none does not exist"):
        read_lpips(str(tmp_path / "none"))
    with pytest.raises(UserError, match="unknown LPIPS backbone 'squeeze'; there are: alexnet, vgg16"):
        Lpips(random_lpips("alexnet"), "squeeze")
    with pytest.raises(UserError, match=r"features\.0\.weight has shape \(64, 3, 11, 11\); expected \(64, 3, 3, 3\)"):
        Lpips(random_lpips("alexnet"), "vgg16")
