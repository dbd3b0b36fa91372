"""VGG16's features as a loss, from a weights file that the person gives (standard torchvision key names)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, smooth_l1_loss

from pipeline.errors import UserError
from pipeline.storage import open_storage

# Simonyan & Zisserman (ICLR 2015), configuration D up to relu3_3; the indices are torchvision's `features.<i>`.
_CHANNELS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
_POOLS = (4, 9)
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
        layers: list[nn.Module] = []
        for index in range(max(_TAPS) + 1):
            if index in _CHANNELS:
                layers.append(nn.Conv2d(*_CHANNELS[index], 3, padding=1))
            else:
                layers.append(nn.MaxPool2d(2) if index in _POOLS else nn.ReLU())
        self.features = nn.Sequential(*layers)
        wanted = self.features.state_dict(prefix="features.")
        for name, tensor in wanted.items():
            found = weights.get(name)
            if found is None or found.shape != tensor.shape:
                what = "is missing" if found is None else f"has shape {tuple(found.shape)}"
                raise UserError(f"VGG16 weights: {name} {what}; expected {tuple(tensor.shape)} (torchvision's vgg16)")
        self.load_state_dict({name: weights[name].to(torch.float32) for name in wanted}, strict=False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, taps = (image - self.mean) / self.std, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS:
                taps.append(x)
        return taps


def smooth_l1_vgg(weights_uri: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Smooth-L1 + 0.04 · mean over the taps of the features' mean squared difference (TransWeather's loss).

    Args:
        weights_uri: a safetensors file, local or on S3.
        device: where the features are computed.
    """
    vgg = Vgg16Features(read_weights(weights_uri)).to(device)

    def loss(restored: Tensor, gt: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = vgg(gt)
        parts = torch.stack([mse_loss(mine, truth) for mine, truth in zip(vgg(restored), wanted, strict=True)])
        return smooth_l1_loss(restored, gt) + PERCEPTUAL_WEIGHT * parts.mean()

    return loss


def read_weights(uri: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises UserError when it is missing or is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder, _, name = uri.rpartition("/")
    storage = open_storage(folder or ".")
    if not storage.exists(name):
        raise UserError(f"training.perceptual_weights: {uri} does not exist")
    try:
        return load(storage.read(name))
    except SafetensorError as error:
        raise UserError(f"training.perceptual_weights: {uri} is not a safetensors file ({error})") from None
