"""The convolutional features that a loss and a metric compare: AlexNet's and VGG16's, from a file that a person gives.

The files are safetensors with torchvision's key names, ``features.<i>.weight`` and ``features.<i>.bias``; nothing here
reads a pickle. Published weights come as one, so convert them once, where you trust them::

    tensors = torch.load("vgg16-397923af.pth", map_location="cpu", weights_only=True)
    safetensors.torch.save_file({k: v for k, v in tensors.items() if k.startswith("features.")}, "vgg16.safetensors")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.errors import UserError


@dataclass(frozen=True)
class Conv:
    """A convolution and the ReLU after it."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True)
class Architecture:
    """title: for errors and tables. name: torchvision's. layers: a convolution with its ReLU, or max pooling's window.

    least: pixels a side needs so that the last layer still sees one.
    """

    title: str
    name: str
    layers: tuple[Conv | int, ...]
    least: int


def _vgg(*widths: Sequence[int]) -> tuple[Conv | int, ...]:
    layers: list[Conv | int] = []
    inputs = 3
    for block in widths:
        for outputs in block:
            layers.append(Conv(inputs, outputs, kernel=3, stride=1, padding=1))
            inputs = outputs
        layers.append(2)
    return tuple(layers[:-1])  # the last pool is after the last ReLU that anyone compares


ALEXNET = Architecture(
    # A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (arXiv:1404.5997).
    "AlexNet", "alexnet",
    (Conv(3, 64, 11, 4, 2), 3, Conv(64, 192, 5, 1, 2), 3, Conv(192, 384, 3, 1, 1), Conv(384, 256, 3, 1, 1),
     Conv(256, 256, 3, 1, 1)),
    least=31,
)  # fmt: skip
# K. Simonyan, A. Zisserman, "Very deep convolutional networks" (ICLR 2015), configuration D.
VGG16 = Architecture("VGG16", "vgg16", _vgg((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3), least=16)


class Features(nn.Module):
    """What the ReLUs of a published network give, frozen.

    Args:
        architecture: whose layers.
        weights: ``features.<i>.weight|bias`` tensors; keys beyond the last tap are left aside.
        taps: torchvision's indices of the ReLUs whose output is wanted, rising.

    Raises:
        UserError: a tensor is missing, has another shape, or holds values that are not finite.
    """

    def __init__(self, architecture: Architecture, weights: Mapping[str, Tensor], taps: Sequence[int]) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for layer in architecture.layers:
            if isinstance(layer, Conv):
                modules.append(nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding))
                modules.append(nn.ReLU(inplace=True))
            else:
                modules.append(nn.MaxPool2d(layer, stride=2))
        self.taps = tuple(taps)
        self.features = nn.Sequential(*modules[: max(taps) + 1])
        wanted = {key: tuple(tensor.shape) for key, tensor in self.state_dict().items()}
        said = f"{architecture.title} weights, torchvision's {architecture.name}"
        self.load_state_dict(checked(weights, wanted, said))
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Iterator[Tensor]:
        """The taps of normalized images (B, 3, H, W), one after the other, so that few are held at once."""
        for index, layer in enumerate(self.features):
            image = layer(image)
            if index in self.taps:
                yield image


MOST_BYTES = 4 << 30  # VGG16 with its classifier has 0.6 GB


def checked(weights: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], said: str) -> dict[str, Tensor]:
    """The ``wanted`` tensors (key -> shape) in float32, and no others.

    Raises UserError, which begins with ``said``, for a tensor that is missing, has another shape or is not finite.
    """
    for key, shape in wanted.items():
        found = weights.get(key)
        if found is None:
            names = ", ".join(sorted(weights)[:3]) or "nothing"
            raise UserError(f"{said}: {key} is missing; expected shape {shape}; the file holds {names} …")
        if tuple(found.shape) != shape:
            raise UserError(f"{said}: {key} has shape {tuple(found.shape)}; expected {shape}")
        if not found.is_floating_point() or not bool(torch.isfinite(found.to(torch.float32)).all()):
            raise UserError(f"{said}: {key} holds values that are not finite; convert the published file again")
    return {key: weights[key].to(torch.float32) for key in wanted}


def read_tensors(uri: str, option: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, local or on S3.

    option: what the person set, for errors. Raises UserError when the file is missing or is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from pipeline.storage import open_storage

    folder, _, name = uri.rpartition("/")
    storage = open_storage(folder or ("/" if uri.startswith("/") else "."))
    if not storage.exists(name):
        raise UserError(f"{option}: {uri} does not exist")
    if (size := storage.size(name)) > MOST_BYTES:
        raise UserError(f"{option}: {uri} has {size} bytes; at most {MOST_BYTES} are read")
    try:
        return load(storage.read(name))
    except (SafetensorError, ValueError, KeyError, RuntimeError, RecursionError) as error:
        raise UserError(f"{option}: {uri} is not a safetensors file ({error}); convert it once") from None
