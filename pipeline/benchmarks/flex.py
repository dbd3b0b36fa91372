"""PyTorch's flex_attention with the dictionary's bits in its score function: what a GPU user gets by compiling."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, *, scale: Tensor, bias: Tensor
) -> Tensor:
    """As :func:`semanir.ops.key_semantic_attention`. Compiled on a GPU; on a CPU uncompiled, for its result alone."""

    def kept_with_bias(score: Tensor, window: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        bit = (dictionary[window, row, column // 32] >> (column % 32)) & 1
        return torch.where(bit > 0, score + bias[head, row, column], -torch.inf)

    query = F.normalize(query, dim=-1) * scale[:, None, None].to(query.dtype)
    return _attend(query.is_cuda)(query, F.normalize(key, dim=-1), value, score_mod=kept_with_bias, scale=1.0)


@cache
def _attend(compiled: bool) -> Any:
    # Here, not at the top: importing it takes seconds.
    from torch.nn.attention import flex_attention as module

    return torch.compile(module.flex_attention, dynamic=False) if compiled else module.flex_attention
