"""Only the kept keys: gathers k keys and values per query. The most memory of all; kept as a cross-check."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from semanir.ops.dictionary.bits import unpack_bits


def gather_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """See :func:`semanir.ops.key_semantic_attention`. Synchronizes, to read the longest row."""
    num_heads, num_tokens = query.shape[1:3]
    keep = unpack_bits(dictionary, num_tokens)
    most = int(keep.sum(-1).max())
    index = keep.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[..., :most]  # (M, N, k)
    kept = keep.gather(-1, index)[:, None]

    query = F.normalize(query, dim=-1) * scale[:, None, None].to(query.dtype)
    key, value = _gather_rows(F.normalize(key, dim=-1), index), _gather_rows(value, index)
    scores = (query[..., None, :] @ key.mT).squeeze(-2)
    heads = torch.arange(num_heads, device=query.device)[:, None, None]
    rows = torch.arange(num_tokens, device=query.device)[:, None]
    scores = scores + bias[heads, rows, index[:, None]]
    scores = scores.masked_fill(~kept, -torch.inf)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return (weights[..., None, :] @ value).squeeze(-2)


def _gather_rows(tokens: Tensor, index: Tensor) -> Tensor:
    """tokens (M, H, N, d), index (M, N, k) -> (M, H, N, k, d)."""
    num_windows, num_heads, _num_tokens, _ = tokens.shape
    windows = torch.arange(num_windows, device=tokens.device)[:, None, None, None]
    heads = torch.arange(num_heads, device=tokens.device)[:, None, None]
    return tokens[windows, heads, index[:, None]]
