"""Losses by name, and VGG16's from a weights file with the standard key names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import smooth_l1_loss

from pipeline.errors import UserError
from pipeline.training.losses import LOSSES, check_loss, get_loss
from pipeline.training.perceptual import PERCEPTUAL_WEIGHT, Vgg16Features

SHAPES = [(0, 64, 3), (2, 64, 64), (5, 128, 64), (7, 128, 128), (10, 256, 128), (12, 256, 256), (14, 256, 256)]


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under torchvision's names, a key of the classifier among them."""
    generator = torch.Generator().manual_seed(0)
    tensors = {"classifier.0.bias": torch.zeros(3)}
    for index, out_channels, in_channels in SHAPES:
        weight = torch.randn(out_channels, in_channels, 3, 3, generator=generator) * (2 / (9 * in_channels)) ** 0.5
        tensors |= {f"features.{index}.weight": weight, f"features.{index}.bias": torch.zeros(out_channels)}
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(tensors, path)
    return path


def test_the_loss_is_smooth_l1_plus_features(vgg_file: Path) -> None:
    from safetensors.torch import load_file

    loss = get_loss("smooth_l1_vgg", str(vgg_file))
    generator = torch.Generator().manual_seed(1)
    gt = torch.rand(2, 3, 16, 16, generator=generator)
    restored = (gt + 0.1 * torch.randn(gt.shape, generator=generator)).requires_grad_()
    assert loss(gt, gt).item() == 0
    value = loss(restored, gt)
    vgg = Vgg16Features(load_file(vgg_file))
    taps = [(a - b).square().mean() for a, b in zip(vgg(restored), vgg(gt), strict=True)]
    assert [tuple(tap.shape) for tap in vgg(gt)] == [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4)]
    assert all(tap.min() >= 0 for tap in vgg(gt))  # after the ReLU
    expected = smooth_l1_loss(restored, gt) + PERCEPTUAL_WEIGHT * sum(taps) / 3
    torch.testing.assert_close(value, expected)
    value.backward()
    assert restored.grad is not None
    assert restored.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "difference", "value"),
    [
        ("l1", 0.25, 0.25),
        ("charbonnier", 0.0, 1e-3),  # ε itself
        ("charbonnier", 3e-3, 1e-5**0.5),
        ("pseudo_huber", 0.04, 2 / 3),  # a 3-4-5 triangle over δ 0.03
        ("pseudo_huber", 0.0, 0.0),
        ("log_mse", 0.0, -50.0),  # the floor
        ("log_mse", 0.1, -19.9957),  # PSNR 20 dB, moved a little by the floor
    ],
)
def test_pixel_losses_at_known_differences(name: str, difference: float, value: float) -> None:
    gt = torch.full((1, 3, 4, 4), 0.5)
    for sign in (1, -1):
        assert get_loss(name)(gt + sign * difference, gt).item() == pytest.approx(value, rel=2e-4, abs=1e-7)


def test_every_image_counts_alike_in_decibels() -> None:
    gt = torch.full((2, 3, 4, 4), 0.5)
    errors = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    alone = [get_loss("log_mse")(gt[:1] + error, gt[:1]).item() for error in errors]
    assert get_loss("log_mse")(gt + errors, gt).item() == pytest.approx(sum(alone) / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_compared_in_single(name: str) -> None:
    """The square of one gray level is 1.5e-5: beside Charbonnier's 1e-6 and pseudo-Huber's 1, bfloat16 loses it."""
    generator = torch.Generator().manual_seed(2)
    gt, restored = (torch.rand(2, 3, 8, 8, generator=generator).to(torch.bfloat16) for _ in range(2))
    value = get_loss(name)(restored, gt)
    assert value.dtype == torch.float32
    assert value == get_loss(name)(restored.float(), gt.float())


def test_weights_that_are_not_vgg16s_are_refused(vgg_file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no")
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name, said in [
        ("none", "does not exist"),
        ("text", "not a safetensors"),
        ("other", r"features\.0\.weight has"),
    ]:
        with pytest.raises(UserError, match=said):
            get_loss("smooth_l1_vgg", str(tmp_path / f"{name}.safetensors"))
    with pytest.raises(UserError, match=r"training\.perceptual_weights"):
        check_loss("smooth_l1_vgg", None)
    with pytest.raises(UserError, match="charbonnier, l1, log_mse, pseudo_huber, smooth_l1_vgg"):
        check_loss("l2", None)
