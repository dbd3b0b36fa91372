"""Which backend ``auto`` means, and which backends can run: decided in one place, said once in the log."""

from __future__ import annotations

import logging

import torch

from semanir.ops.attention.backends import BACKEND_NAMES, BACKENDS, able_backends
from semanir.ops.attention.call import AttentionCall

_log = logging.getLogger("semanir")
_said: set[str] = set()


def resolve_backend(backend: str, call: AttentionCall) -> str:
    """The backend of :data:`BACKENDS` that ``backend``, a name or ``auto``, means for a call.

    Raises ValueError for an unknown name, RuntimeError for a backend that cannot serve the call, saying why.
    """
    if backend == "auto":
        return choose_backend(call)
    if backend not in BACKENDS:
        raise ValueError(f"unknown attention backend {backend!r}; known: {', '.join(BACKEND_NAMES)}")
    reason = BACKENDS[backend].why_not(call)
    if reason:
        able = " or ".join(f"'{name}'" for name in ("auto", *able_backends(call)))
        raise RuntimeError(f"attention backend {backend!r} cannot run: {reason}; use {able}")
    return backend


def choose_backend(call: AttentionCall) -> str:
    """The backend of ``auto``: ``triton`` for bf16 and fp16 on a GPU that can run it, ``compiled`` on a CPU without
    gradients, or where it was not installed ``sparse`` for few keys, ``dense`` for all else.

    CPU: ``compiled`` took 0.3 to 0.7 of ``dense``'s time for k up to a quarter of 64, 256 or 1024 tokens a window,
    and 0.4 to 0.9 of ``sparse``'s for every k; only where all of 256 keys were kept ``dense`` was faster (0.8). Where
    it is not installed, and for gradients: ``dense`` took 0.59 of ``mask``'s time and 0.57 of its memory for a
    training step of 16 windows x 256 tokens (``jobs/benchmark.py attention``); without gradients it is PyTorch's
    fused attention. ``sparse`` took 0.4 to 0.8 of ``dense``'s time where an eighth of the keys or fewer is kept, more
    than it at a quarter; with fewer than 256 tokens a window both cost little.
    GPU: on an H100 in bf16, 64 to 1024 tokens a window, forward and backward of ``triton`` took 0.11 to 0.12 of
    ``dense``'s time and 0.04 to 0.1 of its memory, the same for every k; ``gather``, which costs less for fewer keys,
    was slower than ``dense`` even at k = N / 16 (pipeline/benchmarks/gpu.md). Not measured: float32 products do not run
    on tensor cores without losing float32's precision, so ``dense`` and its library products keep it; below 64 tokens a
    kernel's tile would be mostly empty.
    """
    if call.device.type == "cuda" and call.dtype in (torch.bfloat16, torch.float16) and call.num_tokens >= 64:
        wanted = "triton"
    elif BACKENDS["compiled"].why_not(call) is None:
        wanted = "compiled"
    elif call.device.type == "cpu" and call.num_tokens >= 256 and call.kept and 8 * call.kept <= call.num_tokens:
        wanted = "sparse"
    else:
        wanted = "dense"
    choice = wanted if BACKENDS[wanted].why_not(call) is None else "dense"
    # A logger call would break a compiled graph.
    if not torch.compiler.is_compiling():
        _say(choice, call)
    return choice


def _say(choice: str, call: AttentionCall) -> None:
    purpose = "training" if call.needs_grad else "inference"
    kind = str(call.dtype).removeprefix("torch.")
    say = (
        f"attention backend auto: {choice} on {call.device.type}, {kind}, {call.num_tokens} tokens a window, {purpose}"
    )
    if say not in _said:
        _said.add(say)
        _log.info(say)
