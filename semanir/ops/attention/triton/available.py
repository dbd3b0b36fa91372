"""Whether the Triton kernels can run, without importing Triton."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

from semanir.ops.attention.call import AttentionCall

LARGEST_HEAD_DIM = 128

# Read once: the answers cannot change, and a compiled graph must not ask. INTERPRETING is read as Triton itself does,
# when it is imported: the kernels then run on CPU tensors, as a test.
_HAS_TRITON = find_spec("triton") is not None
INTERPRETING = os.environ.get("TRITON_INTERPRET", "0") == "1"


def why_not_triton(call: AttentionCall) -> str | None:
    """None when the kernels can run on such tensors, else the reason."""
    if not _HAS_TRITON:
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
