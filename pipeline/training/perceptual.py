"""VGG16's features as a loss, from a weights file that the person gives (standard torchvision key names)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, smooth_l1_loss

from pipeline.metrics.features import VGG16, Features, read_tensors

_TAPS = (3, 8, 15)  # relu1_2, relu2_2, relu3_3, as TransWeather (Valanarasu et al., CVPR 2022) compares
PERCEPTUAL_WEIGHT = 0.04  # TransWeather, section 3.4
# The statistics that VGG16's published weights were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Vgg16Features(nn.Module):
    """relu1_2, relu2_2 and relu3_3 of images (B, 3, H, W) in [0, 1]; H, W ≥ 4.

    Args:
        weights: ``features.<i>.weight|bias`` tensors; other keys (the classifier's) are left aside.

    Raises:
        UserError: a tensor is missing or has another shape.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = Features(VGG16, weights, _TAPS)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        return list(self.network((image - self.mean) / self.std))


def smooth_l1_vgg(weights_uri: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Smooth-L1 + 0.04 · mean over the taps of the features' mean squared difference (TransWeather's loss).

    Args:
        weights_uri: a safetensors file, local or on S3.
        device: where the features are computed.
    """
    vgg = Vgg16Features(read_tensors(weights_uri, "training.perceptual_weights")).to(device)

    def loss(restored: Tensor, gt: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = vgg(gt)
        parts = torch.stack([mse_loss(mine, truth) for mine, truth in zip(vgg(restored), wanted, strict=True)])
        return smooth_l1_loss(restored, gt) + PERCEPTUAL_WEIGHT * parts.mean()

    return loss
