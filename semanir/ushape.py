"""The U-shape network for restoration at equal size: stages at halving resolutions, down and up again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semanir.config import ModelConfig
from semanir.network import SemanIR, zero_
from semanir.norm import ChannelNorm
from semanir.reuse import Dictionaries
from semanir.stage import Stage


class UShape(SemanIR):
    """Encoder stages, a latent stage, decoder stages with skips, an optional last stage at full size.

    Level l has embed_dim * 2**l channels and num_heads * 2**l heads. The layout of the published 25.82 M model is not
    public; this one reaches the published count (see :class:`semanir.ModelConfig` for ``depths``).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        levels = config.levels
        dims = [config.embed_dim * 2**level for level in range(levels)]
        heads = [config.num_heads * 2**level for level in range(levels)]
        stages = [
            Stage(config, dims[level], heads[level], depth, index)
            for index, (level, depth) in enumerate(zip(config.stage_levels, config.depths, strict=True))
        ]

        self.conv_first = nn.Conv2d(config.in_channels, dims[0], 3, padding=1)
        self.norm_first = ChannelNorm(dims[0])
        self.encoder = nn.ModuleList(stages[: levels - 1])
        self.downs = nn.ModuleList(_down(dims[level]) for level in range(levels - 1))
        self.latent = stages[levels - 1]
        self.ups = nn.ModuleList(_up(dims[level + 1], dims[level]) for level in reversed(range(levels - 1)))
        self.joins = nn.ModuleList(nn.Conv2d(2 * dims[level], dims[level], 1) for level in reversed(range(levels - 1)))
        self.decoder = nn.ModuleList(stages[levels : 2 * levels - 1])
        self.refinement = nn.ModuleList(stages[2 * levels - 1 :])
        self.norm_last = ChannelNorm(dims[0])
        self.conv_after_body = nn.Conv2d(dims[0], dims[0], 3, padding=1)
        self.conv_last = nn.Conv2d(dims[0], config.out_channels, 3, padding=1)
        self.initialize()
        if config.zero_init_last:
            zero_(self.conv_last)

    def body(self, x: Tensor, k: int, kept: Dictionaries | None = None) -> Tensor:
        shallow = self.conv_first(x)
        deep = self.norm_first(shallow)
        skips: list[Tensor] = []
        for stage, down in zip(self.encoder, self.downs, strict=True):
            deep = stage(deep, k, kept)
            skips.append(deep)
            deep = down(deep)
        deep = self.latent(deep, k, kept)
        for up, join, stage in zip(self.ups, self.joins, self.decoder, strict=True):
            deep = stage(join(torch.cat([up(deep), skips.pop()], dim=1)), k, kept)
        for stage in self.refinement:
            deep = stage(deep, k, kept)
        return self.conv_last(shallow + self.conv_after_body(self.norm_last(deep)))


def _down(dim: int) -> nn.Sequential:
    """(B, C, H, W) -> (B, 2C, H/2, W/2)."""
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * dim, 2 * dim, 1))


def _up(dim: int, out_dim: int) -> nn.Sequential:
    """(B, dim, H, W) -> (B, out_dim, 2H, 2W)."""
    return nn.Sequential(nn.Conv2d(dim, 4 * out_dim, 3, padding=1, bias=False), nn.PixelShuffle(2))
