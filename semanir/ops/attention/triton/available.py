"""Whether the Triton kernels can run, without importing Triton."""

from __future__ import annotations

import torch

from semanir.ops.attention.call import AttentionCall
from semanir.ops.presence import HAS_TRITON, INTERPRETING

LARGEST_HEAD_DIM = 128


def why_not_triton(call: AttentionCall) -> str | None:
    """None when the kernels can run on such tensors, else the reason."""
    if not HAS_TRITON:
        return "Triton is not installed (pip install triton)"
    if call.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"it takes float32, bfloat16 or float16, not {call.dtype}"
    if call.head_dim > LARGEST_HEAD_DIM:
        return f"it takes at most {LARGEST_HEAD_DIM} channels a head, got {call.head_dim}"
    if call.device.type == "cuda":
        capability = torch.cuda.get_device_capability(call.device)
        return None if capability >= (8, 0) else f"it needs a GPU of compute capability 8.0, this one has {capability}"
    if call.device.type == "cpu" and INTERPRETING:
        return None
    return (
        f"it needs a CUDA device, got {call.device.type} (TRITON_INTERPRET=1 runs it on a CPU, for tests, very slowly)"
    )
