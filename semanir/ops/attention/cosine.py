"""Queries and keys of length one, as the fast backends compute them."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_NORM = 1e-12  # as in torch.nn.functional.normalize: shorter vectors are divided by it


def cosine_operands(query: Tensor, key: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """(M, H, N, d) each, any type, and a factor per head (H,) -> float32 whose products are scale * cos(query, key).

    What ``normalize`` does to rows of so few channels takes 1.5 times as long on a CPU, and its gradient twice as long:
    here a row is multiplied once, by the inverse of its length and the scale together.
    """
    query, key = query.float(), key.float()
    return query * (_inverse_norm(query) * scale.float()[:, None, None]), key * _inverse_norm(key)


def _inverse_norm(x: Tensor) -> Tensor:
    return torch.rsqrt((x * x).sum(-1, keepdim=True).clamp_min(SMALLEST_NORM**2))
