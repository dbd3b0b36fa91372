"""One stage: dictionaries built once at its entry, then layers sharing them, a convolution, a residual."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from semanir.config import ModelConfig
from semanir.layer import TransformerLayer
from semanir.ops.dictionary import key_semantic_dictionary
from semanir.reuse import Dictionaries
from semanir.windows import WindowGrid, plan_grids


class Stage(nn.Module):
    """(B, C, H, W) -> (B, C, H, W).

    index: number of the stage in the model; with ``shift="per_stage"`` the odd ones use the shifted grid throughout.
    """

    def __init__(self, config: ModelConfig, dim: int, num_heads: int, depth: int, index: int) -> None:
        super().__init__()
        self.config = config
        self.index = index
        self.shifted = [(layer if config.shift == "both_grids" else index) % 2 == 1 for layer in range(depth)]
        self.layers = nn.ModuleList(TransformerLayer(config, dim, num_heads) for _ in range(depth))
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, k: int, kept: Dictionaries | None = None) -> Tensor:
        plain, shifted = plan_grids(x.shape[2], x.shape[3], self.config.window_size)
        grids = [shifted if shift else plain for shift in self.shifted]
        tokens = plain.pad(x.permute(0, 2, 3, 1))
        dictionaries = {grid: self.find_dictionary(tokens, grid, k, kept) for grid in dict.fromkeys(grids)}
        for layer, grid in zip(self.layers, grids, strict=True):
            if self.config.checkpoint_stages and self.training:
                tokens = checkpoint(
                    layer, tokens, grid, dictionaries[grid], use_reentrant=False, preserve_rng_state=False
                )
            else:
                tokens = layer(tokens, grid, dictionaries[grid])
        return x + self.conv(plain.crop(tokens).permute(0, 3, 1, 2))

    def find_dictionary(self, tokens: Tensor, grid: WindowGrid, k: int, kept: Dictionaries | None) -> Tensor:
        """The dictionary of one grid: of an earlier call, where one is kept, else built."""
        if kept is None:
            return self.build_dictionary(tokens, grid, k)
        return kept.take(self.index, grid, k, tokens.shape[0], lambda: self.build_dictionary(tokens, grid, k))

    def build_dictionary(self, tokens: Tensor, grid: WindowGrid, k: int) -> Tensor:
        """Padded features (B, Hp, Wp, C) -> packed dictionary (B*R, N, words) of one grid."""
        return key_semantic_dictionary(
            grid.partition(tokens.detach()),
            k,
            grid.regions(tokens.device),
            check_finite=self.config.check_finite,
        )
