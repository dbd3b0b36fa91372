"""What LPIPS looks at, written a second time, and a file's tensors with random values."""

from __future__ import annotations

import torch

# torchvision's index of each convolution: (outputs, inputs, kernel, stride, padding, window of the pool before it).
CONVOLUTIONS = {
    "alexnet": {
        0: (64, 3, 11, 4, 2, 0), 3: (192, 64, 5, 1, 2, 3), 6: (384, 192, 3, 1, 1, 3), 8: (256, 384, 3, 1, 1, 0),
        10: (256, 256, 3, 1, 1, 0),
    },
    "vgg16": {
        0: (64, 3, 3, 1, 1, 0), 2: (64, 64, 3, 1, 1, 0), 5: (128, 64, 3, 1, 1, 2), 7: (128, 128, 3, 1, 1, 0),
        10: (256, 128, 3, 1, 1, 2), 12: (256, 256, 3, 1, 1, 0), 14: (256, 256, 3, 1, 1, 0),
        17: (512, 256, 3, 1, 1, 2), 19: (512, 512, 3, 1, 1, 0), 21: (512, 512, 3, 1, 1, 0),
        24: (512, 512, 3, 1, 1, 2), 26: (512, 512, 3, 1, 1, 0), 28: (512, 512, 3, 1, 1, 0),
    },
}  # fmt: skip
COMPARED = {"alexnet": (0, 3, 6, 8, 10), "vgg16": (2, 7, 14, 21, 28)}  # convolutions whose ReLU LPIPS looks at


def random_lpips(backbone: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors as a person's LPIPS file holds them, a key of the classifier among them; the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {"classifier.6.bias": torch.zeros(1000)}
    for index, (outputs, inputs, kernel, *_) in CONVOLUTIONS[backbone].items():
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=generator)
        tensors[f"features.{index}.weight"] = weight * (2 / (inputs * kernel**2)) ** 0.5
        tensors[f"features.{index}.bias"] = 0.05 * torch.randn(outputs, generator=generator)
    for number, index in enumerate(COMPARED[backbone]):
        width = CONVOLUTIONS[backbone][index][0]
        tensors[f"lin{number}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=generator)
    return tensors
