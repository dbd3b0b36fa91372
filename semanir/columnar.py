"""The columnar network for super-resolution: SwinIR's skeleton around SemanIR's stages."""

from __future__ import annotations

from torch import Tensor, nn

from semanir.config import ModelConfig
from semanir.network import SemanIR, zero_
from semanir.norm import ChannelNorm
from semanir.resize import imresize
from semanir.reuse import Dictionaries
from semanir.stage import Stage


class Columnar(SemanIR):
    """conv_first, equal stages, conv_after_body with a long skip, pixel-shuffle upsampler, conv_last."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        dim, upsample_dim = config.embed_dim, config.upsample_dim
        self.conv_first = nn.Conv2d(config.in_channels, dim, 3, padding=1)
        self.norm_first = ChannelNorm(dim)
        self.stages = nn.ModuleList(
            Stage(config, dim, config.num_heads, depth, index) for index, depth in enumerate(config.depths)
        )
        self.norm_last = ChannelNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(
            nn.Conv2d(dim, upsample_dim, 3, padding=1), nn.LeakyReLU(inplace=True)
        )
        self.upsample = _upsampler(upsample_dim, config.upscale)
        self.conv_last = nn.Conv2d(upsample_dim, config.out_channels, 3, padding=1)
        self.initialize()
        if config.zero_init_last:
            zero_(self.conv_last)

    def body(self, x: Tensor, k: int, kept: Dictionaries | None = None) -> Tensor:
        shallow = self.conv_first(x)
        deep = self.norm_first(shallow)
        for stage in self.stages:
            deep = stage(deep, k, kept)
        features = shallow + self.conv_after_body(self.norm_last(deep))
        return self.conv_last(self.upsample(self.conv_before_upsample(features)))

    def skip(self, x: Tensor) -> Tensor:
        """Bicubic enlargement, without parameters."""
        upscale = self.config.upscale
        return imresize(x, x.shape[2] * upscale, x.shape[3] * upscale)


def _upsampler(dim: int, upscale: int) -> nn.Sequential:
    """One x3 step, or as many x2 steps as the power of two needs."""
    factors = [3] if upscale == 3 else [2] * (upscale.bit_length() - 1)
    steps: list[nn.Module] = []
    for factor in factors:
        steps += [nn.Conv2d(dim, dim * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*steps)
