"""One SemanIR transformer layer: attention over the stage's dictionary, then an MLP, both post-norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from semanir.config import ModelConfig
from semanir.heads import HeadsToOutput, TokensToHeads, aligned_head_dim
from semanir.ops.attention import key_semantic_attention
from semanir.ops.attention.call import AttentionCall, kept_keys
from semanir.ops.attention.choose import resolve_backend
from semanir.ops.linear import linear
from semanir.ops.precision import dtype_under_autocast
from semanir.position_bias import PositionBias
from semanir.windows import WindowGrid

LARGEST_LOGIT_SCALE = math.log(100.0)


class KeySemanticAttention(nn.Module):
    """Multi-head cosine attention over the kept keys. (M, N, C) -> (M, N, C) for M windows of N tokens."""

    def __init__(self, config: ModelConfig, dim: int, num_heads: int) -> None:
        super().__init__()
        self.head_dim = dim // num_heads
        self.backend = config.attention
        self.qkv = TokensToHeads(dim, num_heads)
        self.proj = HeadsToOutput(dim, num_heads)
        # Starts at log 10, clamped at log 100, as in GRL's and SwinV2's code.
        self.logit_scale = nn.Parameter(torch.full((num_heads,), math.log(10.0)))
        self.position_bias = PositionBias(num_heads, config.window_size, config.bias_hidden_dim)

    def forward(self, windows: Tensor, dictionary: Tensor, window: tuple[int, int]) -> Tensor:
        backend = self.backend_for(windows, dictionary)
        head_dim = aligned_head_dim(self.head_dim, backend)
        query, key, value = self.qkv(windows, head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        scale = self.logit_scale.clamp(max=LARGEST_LOGIT_SCALE).exp()
        out = key_semantic_attention(
            query, key, value, dictionary, scale=scale, bias=self.position_bias(window), backend=backend
        )
        return self.proj(out)

    def backend_for(self, windows: Tensor, dictionary: Tensor) -> str:
        """Decided before the projection, so that heads are padded for the backend that runs and for no other."""
        needs_grad = torch.is_grad_enabled() and (
            windows.requires_grad or any(parameter.requires_grad for parameter in self.parameters())
        )
        dtype, num_tokens = dtype_under_autocast(windows), windows.shape[1]
        kept = kept_keys(dictionary, num_tokens)
        return resolve_backend(
            self.backend, AttentionCall(windows.device, dtype, num_tokens, self.head_dim, needs_grad, kept)
        )


class MlpLinear(nn.Linear):
    """(..., C) -> (..., O), GELU applied if asked: in the product's own pass, where that can be."""

    def __init__(self, in_features: int, out_features: int, *, gelu: bool = False) -> None:
        super().__init__(in_features, out_features)
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, gelu=self.gelu)


class TransformerLayer(nn.Module):
    """x + norm(attention(x)), then x + norm(mlp(x)): residual post-norm as in SwinV2 and GRL.

    (B, Hp, Wp, C) features padded to the grid -> the same shape.
    """

    def __init__(self, config: ModelConfig, dim: int, num_heads: int) -> None:
        super().__init__()
        hidden = int(dim * config.mlp_ratio)
        self.attention = KeySemanticAttention(config, dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        # The place of GELU in the names of saved weights stays: mlp.0 and mlp.2.
        self.mlp = nn.Sequential(MlpLinear(dim, hidden, gelu=True), nn.Identity(), MlpLinear(hidden, dim))
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, grid: WindowGrid, dictionary: Tensor) -> Tensor:
        x = x + self.norm1(grid.merge(self.attention(grid.partition(x), dictionary, grid.window)))
        return x + self.norm2(self.mlp(x))
