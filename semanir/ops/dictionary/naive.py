"""The readable reference of the key-semantic dictionary: a stable descending sort of every row."""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.ops.dictionary.bits import pack_bits
from semanir.ops.precision import no_autocast


@torch.no_grad()
def naive_dictionary(windows: Tensor, k: int, regions: Tensor | None = None) -> Tensor:
    """Same arguments and result as :func:`semanir.ops.key_semantic_dictionary`."""
    features = windows.float()
    with no_autocast(windows.device):
        scores = features @ features.mT + 0.0  # -0.0 + 0.0 = +0.0: the two zeros tie
    num_windows, num_tokens, _ = scores.shape
    if regions is not None:
        same = (regions[:, :, None] == regions[:, None, :]).repeat(num_windows // len(regions), 1, 1)
        scores = scores.masked_fill(~same, -torch.inf)
    order = scores.argsort(dim=-1, descending=True, stable=True)[..., : min(k, num_tokens)]
    keep = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, order, True)
    return pack_bits(keep & same if regions is not None else keep)
