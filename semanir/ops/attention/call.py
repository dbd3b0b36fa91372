"""What a backend must know of a call before it can say whether it can serve it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanir.ops.dictionary.bits import unpack_bits


@dataclass(frozen=True)
class AttentionCall:
    """Tensors of one call.

    device, dtype: of query, key and value. num_tokens: N of a window. head_dim: channels a head. needs_grad: whether
    gradients follow. kept: keys per query, None where it is not known (see :func:`kept_keys`).
    """

    device: torch.device
    dtype: torch.dtype
    num_tokens: int
    head_dim: int
    needs_grad: bool
    kept: int | None = None


def kept_keys(dictionary: Tensor, num_tokens: int) -> int | None:
    """How many keys the first query keeps; None where reading it would wait for a GPU or break a compiled graph.

    Dictionaries keep k for every query; one that does not is still attended to rightly, only not the fastest way.
    """
    if dictionary.device.type != "cpu" or torch.compiler.is_compiling() or not dictionary.numel():
        return None
    return int(unpack_bits(dictionary.flatten(0, -2)[0], num_tokens).sum())


def runs_anywhere(call: AttentionCall) -> str | None:
    """No reason why not: for backends in plain torch."""
    return None
