"""The readable reference: all N x N scores, those that the dictionary does not keep at minus infinity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from semanir.ops.dictionary.bits import unpack_bits


def mask_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """See :func:`semanir.ops.key_semantic_attention`. Softmax in float32 whatever the input's type."""
    keep = unpack_bits(dictionary, query.shape[2])
    scores = (F.normalize(query, dim=-1) * scale[:, None, None].to(query.dtype)) @ F.normalize(key, dim=-1).mT
    scores = (scores + bias).masked_fill(~keep[:, None], -torch.inf)
    return scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value
