"""What a backend must know of a call before it can say whether it can serve it."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class AttentionCall:
    """Tensors of one call: their device and type, N tokens a window, channels a head, and whether gradients follow."""

    device: torch.device
    dtype: torch.dtype
    num_tokens: int
    head_dim: int
    needs_grad: bool


def runs_anywhere(call: AttentionCall) -> str | None:
    """No reason why not: for backends in plain torch."""
    return None
