"""Losses by name, and VGG16's from a weights file with the standard key names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from pipeline.errors import UserError
from pipeline.training import perceptual
from pipeline.training.losses import LOSSES, check_loss, get_loss
from pipeline.training.perceptual import Vgg16Features

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


def vgg16_taps(image: Tensor, weights: dict[str, Tensor]) -> list[Tensor]:
    """relu1_2, relu2_2 and relu3_3 of images in [0, 1], written again: configuration D of VGG (ICLR 2015), and the
    statistics of ImageNet that torchvision documents for its weights.
    """
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    x = torch.stack([(image[:, c] - mean[c]) / deviation[c] for c in range(3)], dim=1)
    taps = []
    for index, _, _ in SHAPES:
        x = max_pool2d(x, 2) if index in (5, 10) else x
        weight, bias = (weights[f"features.{index}.{part}"] for part in ("weight", "bias"))
        x = conv2d(x, weight, bias, padding=1).clamp_min(0)
        if index in (2, 7, 14):
            taps.append(x)
    return taps


def smooth_l1(difference: Tensor) -> Tensor:
    """Huber's loss with a threshold of 1 (Girshick, Fast R-CNN, ICCV 2015, eq. 3)."""
    size = difference.abs()
    return torch.where(size < 1, 0.5 * size**2, size - 0.5).mean()


def test_the_loss_is_smooth_l1_plus_features(vgg_file: Path) -> None:
    """TransWeather (Valanarasu et al., CVPR 2022), section 3.4: smooth L1 + 0.04 · perceptual loss."""
    loss = get_loss("smooth_l1_vgg", str(vgg_file))
    generator = torch.Generator().manual_seed(1)
    gt = torch.rand(2, 3, 16, 16, generator=generator)
    restored = (gt + 0.1 * torch.randn(gt.shape, generator=generator)).requires_grad_()
    assert loss(gt, gt).item() == 0
    value = loss(restored, gt)
    weights = load_file(vgg_file)
    pairs = list(zip(vgg16_taps(restored, weights), vgg16_taps(gt, weights), strict=True))
    assert [tuple(truth.shape) for _, truth in pairs] == [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4)]
    features = sum(((mine - truth) ** 2).mean() for mine, truth in pairs) / 3
    torch.testing.assert_close(value, smooth_l1(restored - gt) + 0.04 * features)
    value.backward()
    assert restored.grad is not None
    assert restored.grad.abs().sum() > 0


# (loss, difference of all pixels, its value worked out by hand from the source of its formula).
KNOWN = [
    ("l1", 0.25, 0.25),
    ("charbonnier", 0.0, 1e-3),  # ε itself
    ("charbonnier", 3e-3, 1e-5**0.5),
    ("pseudo_huber", 0.04, 2 / 3),  # a 3-4-5 triangle over δ 0.03
    ("pseudo_huber", 0.0, 0.0),
    ("log_mse", 0.0, -50.0),  # the floor
    ("log_mse", 0.1, -19.9957),  # PSNR 20 dB, moved a little by the floor
]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_known_value(name: str) -> None:
    assert name in {known for known, *_ in KNOWN}, f"add ({name!r}, difference, value worked out by hand) to KNOWN"


@pytest.mark.parametrize(("name", "difference", "value"), KNOWN)
def test_pixel_losses_at_known_differences(name: str, difference: float, value: float) -> None:
    gt = torch.full((1, 3, 4, 4), 0.5)
    for sign in (1, -1):
        assert get_loss(name)(gt + sign * difference, gt).item() == pytest.approx(value, rel=2e-4, abs=1e-7)


def test_each_channel_is_shifted_and_scaled_by_its_own_statistics(vgg_file: Path) -> None:
    """Two deviations differ by half a percent: swapped, they would hardly move a loss."""
    vgg = Vgg16Features(load_file(vgg_file))
    seen: list[Tensor] = []
    vgg.network.register_forward_pre_hook(lambda network, given: seen.append(given[0]))
    vgg(torch.tensor([0.0, 0.25, 1.0, 0.0]).view(1, 1, 4, 1).expand(2, 3, 4, 4))
    red, green, blue = (seen[0][1, channel, :3, 2] for channel in range(3))
    torch.testing.assert_close(red, torch.tensor([-0.485 / 0.229, -0.235 / 0.229, 0.515 / 0.229]))
    torch.testing.assert_close(green, torch.tensor([-0.456 / 0.224, -0.206 / 0.224, 0.544 / 0.224]))
    torch.testing.assert_close(blue, torch.tensor([-0.406 / 0.225, -0.156 / 0.225, 0.594 / 0.225]))


def test_each_tap_of_the_loss_counts_alike(vgg_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.04 times the mean of the taps' mean squares, beside smooth L1: worked out for features of one number."""

    class Constant(torch.nn.Module):
        def __init__(self, weights: dict[str, Tensor]) -> None:
            super().__init__()

        def forward(self, image: Tensor) -> list[Tensor]:
            return [image.mean() * factor for factor in (1, 2, 4)]

    monkeypatch.setattr(perceptual, "Vgg16Features", Constant)
    loss = get_loss("smooth_l1_vgg", str(vgg_file))
    gt = torch.full((1, 3, 4, 4), 0.25)
    # A difference of 1/2: 1/8 of smooth L1, and 1/4, 1, 4 of the taps.
    assert loss(gt + 0.5, gt).item() == pytest.approx(0.125 + 0.04 * (0.25 + 1 + 4) / 3, rel=1e-6)


def test_every_image_counts_alike_in_decibels() -> None:
    gt = torch.full((2, 3, 4, 4), 0.5)
    errors = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    alone = [get_loss("log_mse")(gt[:1] + error, gt[:1]).item() for error in errors]
    assert get_loss("log_mse")(gt + errors, gt).item() == pytest.approx(sum(alone) / 2)


def test_features_are_computed_where_the_worker_says(vgg_file: Path) -> None:
    image = torch.rand(1, 3, 16, 16, device="meta")
    assert get_loss("smooth_l1_vgg", str(vgg_file), torch.device("meta"))(image, image).device.type == "meta"


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
    with pytest.raises(UserError, match=", ".join(sorted([*LOSSES, "smooth_l1_vgg"]))):
        check_loss("nope", None)
