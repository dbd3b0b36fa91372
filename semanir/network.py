"""What both body shapes share: input checks, padding to a size multiple, output size, initial weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semanir.caution import cautious
from semanir.config import ModelConfig, check_k
from semanir.reuse import Dictionaries
from semanir.windows import reflect_pad

# Mean of DIV2K, subtracted from color input as in SwinIR and GRL; gray input is not shifted there.
_RGB_MEAN = (0.4488, 0.4371, 0.4040)


class SemanIR(nn.Module):
    """Base of the columnar and the U-shape network.

    ``model(x, k=None, dictionaries=None)``: x is (B, in_channels, H, W) float in [0, 1] (noise may leave it), any
    H, W >= 1; k overrides ``config.k`` for this call; ``dictionaries`` keeps those of one call for the next
    (:class:`semanir.Dictionaries`). Returns (B, out_channels, H * upscale, W * upscale), not clipped.
    Raises ValueError for a wrong shape or type and for k outside 1..window_size**2.
    """

    input_mean: Tensor
    output_mean: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        for name, channels in (("input_mean", config.in_channels), ("output_mean", config.out_channels)):
            mean = torch.tensor(_RGB_MEAN) if channels == 3 else torch.zeros(channels)
            self.register_buffer(name, mean.view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor, k: int | None = None, dictionaries: Dictionaries | None = None) -> Tensor:
        config = self.config
        if x.dim() != 4 or x.shape[1] != config.in_channels or 0 in x.shape:
            raise ValueError(
                f"input must have shape (batch, {config.in_channels}, height, width), none of them 0, "
                f"got {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            raise ValueError(f"input must be a float tensor in [0, 1], got {x.dtype}")
        k = config.k if k is None else k
        check_k(k, config.window_size)
        height, width = x.shape[2] * config.upscale, x.shape[3] * config.upscale
        x = reflect_pad(x, config.size_multiple)
        residual = self.body(x - self.input_mean, k, dictionaries)
        if config.caution is not None:
            residual = cautious(residual, config.caution)
        out = residual + (self.skip(x) if config.image_skip else self.output_mean)
        return out[..., :height, :width]

    def body(self, x: Tensor, k: int, kept: Dictionaries | None = None) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H * upscale, W * upscale).

        H and W are multiples of ``size_multiple``.
        """
        raise NotImplementedError

    def skip(self, x: Tensor) -> Tensor:
        """The image that the residual is added to; broadcasts over the output's channels."""
        return x

    def initialize(self) -> None:
        """Linear layers from a truncated normal of 0.02 (as in Swin), convolutions as PyTorch has them."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def zero_(conv: nn.Conv2d) -> None:
    """Zero a convolution in place, so that it starts by adding nothing."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
