"""One stage computed pixel by pixel from its parameters, importing nothing of what it checks.

Slow and plain: which pixels share a window is asked of their coordinates, neighbors are sorted, softmax is a division.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def stage_by_hand(weights: Weights, x: Tensor, window: int, heads: int, depth: int, k: int) -> Tensor:
    """(C, H, W) float64 -> the same; layers alternate between the plain grid and the one shifted by half a window."""
    _, height, width = x.shape
    tokens = {(y, column): x[:, y, column] for y in range(height) for column in range(width)}
    neighbors = [_neighbors(tokens, height, width, window, k, shifted) for shifted in (False, True)]
    for layer in range(depth):
        own = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"layers.{layer}.")}
        tokens = _layer(own, tokens, neighbors[layer % 2], window, heads)
    out = torch.stack([torch.stack([tokens[y, column] for column in range(width)], -1) for y in range(height)], -2)
    return x + _convolution(out, weights["conv.weight"], weights["conv.bias"])


def _neighbors(
    tokens: Mapping[tuple[int, int], Tensor], height: int, width: int, window: int, k: int, shifted: bool
) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """The k most similar pixels of the same window, by dot product; fewer where the image's edge cuts the window."""

    def cell(position: int, size: int) -> int:
        shift = window // 2 if shifted and size > window else 0
        return (position + window - shift) // window if size > window else 0

    out = {}
    for place, token in tokens.items():
        home = cell(place[0], height), cell(place[1], width)
        same = [other for other in tokens if (cell(other[0], height), cell(other[1], width)) == home]
        out[place] = sorted(same, key=lambda other: -float(token @ tokens[other]))[:k]
    return out


def _layer(
    own: Weights,
    tokens: Mapping[tuple[int, int], Tensor],
    neighbors: Mapping[tuple[int, int], list[tuple[int, int]]],
    window: int,
    heads: int,
) -> dict[tuple[int, int], Tensor]:
    channels = len(next(iter(tokens.values())))
    size = channels // heads
    qkv = {}
    for place, token in tokens.items():
        qkv[place] = own["attention.qkv.weight"] @ token + own["attention.qkv.bias"]
    out = {}
    for place, token in tokens.items():
        parts = []
        for head in range(heads):
            q, k, v = (slice(part * channels + head * size, part * channels + (head + 1) * size) for part in range(3))
            query, logits = qkv[place][q], []
            scale = min(math.exp(float(own["attention.logit_scale"][head])), 100.0)
            for other in neighbors[place]:
                key = qkv[other][k]
                cosine = float(query @ key) / math.sqrt(float(query @ query) * float(key @ key))
                offset = place[0] - other[0], place[1] - other[1]
                logits.append(scale * cosine + _bias(own, offset, window, head))
            powers = [math.exp(logit - max(logits)) for logit in logits]
            mixed = sum(power * qkv[other][v] for power, other in zip(powers, neighbors[place], strict=True))
            parts.append(mixed / sum(powers))
        attended = own["attention.proj.weight"] @ torch.cat(parts) + own["attention.proj.bias"]
        token = token + _norm(attended, own["norm1.weight"], own["norm1.bias"])
        hidden = own["mlp.0.weight"] @ token + own["mlp.0.bias"]
        hidden = torch.tensor([0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in hidden.tolist()]).to(
            token
        )
        hidden = own["mlp.2.weight"] @ hidden + own["mlp.2.bias"]
        out[place] = token + _norm(hidden, own["norm2.weight"], own["norm2.bias"])
    return out


def _bias(own: Weights, offset: tuple[int, int], window: int, head: int) -> float:
    prefix = "attention.position_bias.mlp."
    scaled = [8 * value / (window - 1) for value in offset]
    at = torch.tensor([math.copysign(math.log2(abs(value) + 1) / 3, value) for value in scaled], dtype=torch.float64)
    hidden = (own[prefix + "0.weight"] @ at + own[prefix + "0.bias"]).clamp(min=0)
    return 16 / (1 + math.exp(-float(own[prefix + "2.weight"][head] @ hidden)))


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centered = x - x.mean()
    return centered / torch.sqrt((centered**2).mean() + 1e-5) * weight + bias


def _convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    _, height, width = x.shape
    out = bias[:, None, None].repeat(1, height, width)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            for y in range(max(0, -dy), min(height, height - dy)):
                for column in range(max(0, -dx), min(width, width - dx)):
                    out[:, y, column] += weight[:, :, dy + 1, dx + 1] @ x[:, y + dy, column + dx]
    return out
