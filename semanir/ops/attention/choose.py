"""Which backend ``auto`` means, decided in one place and said once in the log."""

from __future__ import annotations

import logging

import torch

BACKENDS = ("auto", "mask", "gather", "dense", "triton")

_log = logging.getLogger("semanir")
_said: set[str] = set()


def choose_backend(device: torch.device, num_tokens: int) -> str:
    """The backend of ``auto``: ``dense`` on every device, in chunks of windows that suit it.

    Measured on a CPU against ``mask`` and ``gather`` over N from 64 to 1024: fastest, and the least memory.
    """
    choice = "dense"
    # A logger call would break a compiled graph.
    if not torch.compiler.is_compiling():
        say = f"attention backend auto: {choice} on {device.type}, {num_tokens} tokens a window"
        if say not in _said:
            _said.add(say)
            _log.info(say)
    return choice


def check_backend(backend: str) -> None:
    """Raises ValueError for an unknown name, RuntimeError for a backend that cannot run."""
    if backend not in BACKENDS:
        raise ValueError(f"unknown attention backend {backend!r}; known: {', '.join(BACKENDS)}")
    if backend == "triton":
        raise RuntimeError("attention backend 'triton' has no kernel yet; use 'auto', 'dense', 'mask' or 'gather'")
