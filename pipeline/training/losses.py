"""Pixel losses, by the names that tasks and configurations use."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from pipeline.errors import UserError
from pipeline.training.perceptual import smooth_l1_vgg

Loss = Callable[[Tensor, Tensor], Tensor]

PSEUDO_HUBER_DELTA = 0.03  # in image units; shared by every quick run: L1's slope beyond 8 gray levels
LOG_MSE_FLOOR = 1e-5  # 50 dB, below which nobody sees a difference: nothing is gained by polishing there
CHARBONNIER_EPSILON = 1e-3  # Lai et al., LapSRN (CVPR 2017), section 3.2; MIRNet and Restormer keep it


def pseudo_huber(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean of sqrt((d/0.03)² + 1) - 1: quadratic near zero, so a zero-initialized residual gets a gradient."""
    return (((restored - gt) / PSEUDO_HUBER_DELTA).square() + 1).sqrt().mean() - 1


def charbonnier(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean of sqrt(d² + 1e-6) (Lai et al. 2017, eq. 3)."""
    return ((restored - gt).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


def log_mse(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean over images of 10·log10(MSE + 1e-5), in dB: what PSNR measures, so a decibel lost on a nearly perfect image
    weighs as much as one on a ruined image (NAFNet's loss: Chen et al., ECCV 2022, section 5; the floor is ours).

    Both (B, C, H, W), in [0, 1].
    """
    error = (restored - gt).square().mean(dim=(1, 2, 3))
    return 10 * (error + LOG_MSE_FLOOR).log10().mean()


LOSSES: dict[str, Loss] = {"l1": l1_loss, "charbonnier": charbonnier, "pseudo_huber": pseudo_huber, "log_mse": log_mse}
PERCEPTUAL = "smooth_l1_vgg"


def check_loss(name: str, perceptual_weights: str | None) -> None:
    """Raise UserError for an unknown loss, listing what exists, or one whose weights file is not given."""
    known = [*LOSSES, PERCEPTUAL]
    if name not in known:
        raise UserError(f"unknown loss {name!r} (there are: {', '.join(sorted(known))})")
    if name == PERCEPTUAL and not perceptual_weights:
        raise UserError(
            f"loss {name} compares VGG16's features: give its weights as training.perceptual_weights, a safetensors "
            "file with torchvision's key names (features.0.weight, …), or set training.loss"
        )


def get_loss(name: str, perceptual_weights: str | None = None, device: torch.device | None = None) -> Loss:
    """The loss called ``name``, computed in float32; raises UserError as :func:`check_loss` does."""
    check_loss(name, perceptual_weights)
    loss = LOSSES[name] if name in LOSSES else smooth_l1_vgg(str(perceptual_weights), device or torch.device("cpu"))

    def in_float32(restored: Tensor, gt: Tensor) -> Tensor:
        # Squares of 8-bit-sized differences vanish in bf16.
        return loss(restored.to(torch.float32), gt.to(torch.float32))

    return in_float32
