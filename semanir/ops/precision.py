"""What autocast does to a type, and keeping float32 arithmetic in float32 under it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Autocast switched off for the device's type; does nothing where there is none (meta tensors)."""
    if not _has_autocast(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _has_autocast(kind: str) -> bool:
    # The two common ones by name: PyTorch 2.11's compiler cannot trace the question, and would break the graph there.
    return kind in ("cpu", "cuda") or torch.amp.is_autocast_available(kind)


def dtype_under_autocast(tensor: Tensor) -> torch.dtype:
    """The type that a linear layer returns for ``tensor``: autocast's where it is on, else the tensor's own."""
    kind = tensor.device.type
    if not _has_autocast(kind) or not torch.is_autocast_enabled(kind):
        return tensor.dtype
    return tensor.dtype if tensor.dtype == torch.float64 else torch.get_autocast_dtype(kind)
