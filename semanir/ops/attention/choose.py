"""Which backend ``auto`` means, and which backends can run: decided in one place, said once in the log."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec

import torch

BACKENDS = ("auto", "mask", "gather", "dense", "triton")
LARGEST_HEAD_DIM = 128

# Read once: the answers cannot change, and a compiled graph must not ask.
_HAS_TRITON = find_spec("triton") is not None
_INTERPRETING = os.environ.get("TRITON_INTERPRET", "0") == "1"

_log = logging.getLogger("semanir")
_said: set[str] = set()


def choose_backend(device: torch.device, dtype: torch.dtype, num_tokens: int, head_dim: int, needs_grad: bool) -> str:
    """The backend of ``auto``: ``triton`` for bf16 and fp16 on a GPU that can run it, ``dense`` for all else.

    CPU: ``dense`` took 0.59 of ``mask``'s time and 0.57 of its memory for a training step of 16 windows x 256 tokens
    (``jobs/benchmark.py attention``); without gradients it is PyTorch's fused attention.
    GPU: modeled, not measured. Float32 products do not run on tensor cores without losing float32's precision, so
    ``dense`` and its library products keep it; below 64 tokens a kernel's tile would be mostly empty.
    k is not asked: ``dense`` and ``triton`` cost the same for every k, and ``gather``, which does not, was slower
    even at k = N / 16. ``needs_grad`` changes the words in the log only: both have a forward and a backward pass.
    """
    wanted = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and num_tokens >= 64
    choice = "triton" if wanted and why_not_triton(device, dtype, head_dim) is None else "dense"
    # A logger call would break a compiled graph.
    if not torch.compiler.is_compiling():
        purpose = "training" if needs_grad else "inference"
        kind = str(dtype).removeprefix("torch.")
        say = f"attention backend auto: {choice} on {device.type}, {kind}, {num_tokens} tokens a window, {purpose}"
        if say not in _said:
            _said.add(say)
            _log.info(say)
    return choice


def check_backend(backend: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> None:
    """Raises ValueError for an unknown name, RuntimeError for a backend that cannot run, saying why."""
    if backend not in BACKENDS:
        raise ValueError(f"unknown attention backend {backend!r}; known: {', '.join(BACKENDS)}")
    reason = why_not_triton(device, dtype, head_dim) if backend == "triton" else None
    if reason:
        raise RuntimeError(f"attention backend 'triton' cannot run: {reason}; use 'auto', 'dense', 'mask' or 'gather'")


def why_not_triton(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """None when the kernels can run on such tensors, else the reason."""
    if not _HAS_TRITON:
        return "Triton is not installed (pip install triton)"
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"it takes float32, bfloat16 or float16, not {dtype}"
    if head_dim > LARGEST_HEAD_DIM:
        return f"it takes at most {LARGEST_HEAD_DIM} channels a head, got {head_dim}"
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return None if capability >= (8, 0) else f"it needs a GPU of compute capability 8.0, this one has {capability}"
    if device.type == "cpu" and _INTERPRETING:
        return None
    return f"it needs a CUDA device, got {device.type} (TRITON_INTERPRET=1 runs it on a CPU, for tests, very slowly)"
