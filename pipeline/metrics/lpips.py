"""LPIPS v0.1, the learned distance of two images, from one safetensors file that a person gives.

R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018. The file holds the
backbone's ``features.<i>.weight|bias`` as torchvision names them (AlexNet or VGG16) and the five linear layers
``lin0.model.1.weight`` … ``lin4.model.1.weight`` as the lpips package names them; other keys are left aside. The
published files are pickles, which nothing here loads; convert them once, where you trust them::

    read = functools.partial(torch.load, map_location="cpu", weights_only=True)
    save_file(read("alexnet-owt-7be5be79.pth") | read("lpips/weights/v0.1/alex.pth"), "lpips-alex.safetensors")

with ``save_file`` from safetensors.torch, torchvision's published backbone, and the linear layers out of the lpips
wheel (BSD-2); for VGG16 ``vgg16-397923af.pth`` and ``lpips/weights/v0.1/vgg.pth``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.degradations.image import Image
from pipeline.degradations.quantize import quantize
from pipeline.errors import UserError
from pipeline.metrics.features import ALEXNET, VGG16, Architecture, Features, checked, read_tensors

OPTION = "--lpips"
# The ReLUs that are compared, by torchvision's index, and the channels that each has.
_TAPS: Mapping[str, tuple[int, ...]] = {ALEXNET.name: (1, 4, 7, 9, 11), VGG16.name: (3, 8, 15, 22, 29)}
_WIDTHS: Mapping[str, tuple[int, ...]] = {ALEXNET.name: (64, 192, 384, 256, 256), VGG16.name: (64, 128, 256, 512, 512)}
_BACKBONES = {architecture.name: architecture for architecture in (ALEXNET, VGG16)}
# ImageNet's statistics for images in [-1, 1], as the linear layers were fitted with (the authors' code, v0.1).
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # beside each pixel's norm, as the authors' code has it


class Lpips(nn.Module):
    """Distances (B,) of image pairs (B, 3, H, W) in [0, 1]; 0 for equal ones, lower is closer, no upper bound.

    Per layer, features are scaled to unit norm over the channels, their squared differences weighted by the linear
    layer and averaged over all positions; the layers' values are summed (Zhang et al., eq. 1).

    Args:
        weights: tensors named as the module's docstring says.
        backbone: "alexnet" or "vgg16"; None: told by the first convolution's shape.

    Raises:
        UserError: another backbone, or a tensor that is missing, has another shape or is not finite.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: Mapping[str, Tensor], backbone: str | None = None) -> None:
        super().__init__()
        self.architecture = find_backbone(weights, backbone)
        name = self.architecture.name
        self.network = Features(self.architecture, weights, _TAPS[name])
        shapes = {f"lin{number}.model.1.weight": (1, width, 1, 1) for number, width in enumerate(_WIDTHS[name])}
        lins = checked(weights, shapes, f"LPIPS linear layers of {self.architecture.title}")
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        for number, key in enumerate(shapes):
            self.register_buffer(f"lin{number}", lins[key])

    def forward(self, restored: Tensor, gt: Tensor) -> Tensor:
        least = self.architecture.least
        if restored.shape != gt.shape or min(gt.shape[2:]) < least:
            raise ValueError(
                f"LPIPS compares images of one size, at least {least}x{least} pixels with {self.architecture.title}; "
                f"got {tuple(restored.shape[2:])} and {tuple(gt.shape[2:])}"
            )
        total = torch.zeros(gt.shape[0], device=gt.device)
        pairs = zip(self.network(self._normalize(restored)), self.network(self._normalize(gt)), strict=True)
        for number, (mine, truth) in enumerate(pairs):
            difference = (_unit(mine) - _unit(truth)).square()
            weighted = (difference * self.get_buffer(f"lin{number}")).sum(dim=1)
            total = total + weighted.mean(dim=(1, 2))
        return total

    def _normalize(self, image: Tensor) -> Tensor:
        return (image * 2 - 1 - self.shift) / self.scale


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON)


def find_backbone(weights: Mapping[str, Tensor], name: str | None = None) -> Architecture:
    """The backbone called ``name``, or the one whose first convolution is in ``weights``.

    Raises UserError when there is none such.
    """
    if name is not None:
        if name not in _BACKBONES:
            raise UserError(f"unknown LPIPS backbone {name!r}; there are: {', '.join(_BACKBONES)}")
        return _BACKBONES[name]
    first = weights.get("features.0.weight")
    shapes: dict[tuple[int, ...], Architecture] = {(64, 3, 11, 11): ALEXNET, (64, 3, 3, 3): VGG16}
    if first is None or tuple(first.shape) not in shapes:
        what = "is missing" if first is None else f"has shape {tuple(first.shape)}"
        raise UserError(
            f"LPIPS weights: features.0.weight {what}; expected (64, 3, 11, 11) of torchvision's alexnet or "
            f"(64, 3, 3, 3) of its vgg16, with lin0.model.1.weight … beside it (pipeline/metrics/lpips.py "
            "says how to make the file)"
        )
    return shapes[tuple(first.shape)]


@dataclass(frozen=True)
class LpipsWeights:
    """What workers need: the used tensors as safetensors, their SHA-256, and the backbone's title."""

    tensors: bytes = field(repr=False)
    digest: str
    title: str


def read_lpips(uri: str) -> LpipsWeights:
    """Read and check a file, local or on S3; raises UserError as :class:`Lpips`, or where there is no such file."""
    from safetensors.torch import save

    tensors = read_tensors(uri, OPTION)
    try:
        metric = Lpips(tensors)
    except UserError as error:
        raise UserError(f"{OPTION} {uri}: {error}") from None
    used = dict(metric.network.state_dict())
    used |= {f"lin{number}.model.1.weight": metric.get_buffer(f"lin{number}") for number in range(5)}
    # Without the classifier, which is most of VGG16's file; equal weights give equal bytes.
    data = save(used)
    return LpipsWeights(data, hashlib.sha256(data).hexdigest(), metric.architecture.title)


_kept: dict[str, Lpips] = {}


def build_lpips(weights: LpipsWeights, device: str) -> Lpips:
    """The metric on ``device``; the last one built in this process is kept."""
    from safetensors.torch import load

    key = f"{weights.digest} {device}"
    if key not in _kept:
        _kept.clear()
        _kept[key] = Lpips(load(weights.tensors)).to(device)
    return _kept[key]


def lpips(restored: Image, gt: Image, metric: Lpips) -> float:
    """LPIPS of two float32 images (H, W, C), C = 1 or 3, in [0, 1].

    Whole images without a border cropped, ``restored`` clipped and both rounded to 8 bits, as saved images are
    compared; gray ones are repeated to RGB. Memory: about 0.1 KiB a pixel with AlexNet,
    1.4 KiB with VGG16. Raises ValueError for images of unequal sizes or below the backbone's least.
    """
    pair = [_batch(image).to(metric.shift.device) for image in (restored, gt)]
    with torch.inference_mode():
        return float(metric(*pair)[0])


def _batch(image: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(quantize(image).transpose(2, 0, 1)))[None].expand(-1, 3, -1, -1)
