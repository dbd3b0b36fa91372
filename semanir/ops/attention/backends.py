"""The one table of attention backends: configuration, head padding, error texts and ``benchmark attention`` read it.

A new backend is its own file and its line here; ``choose`` says when ``auto`` means it. Every line is tested against
``mask``, with its gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from semanir.ops.attention.call import AttentionCall, runs_anywhere
from semanir.ops.attention.compiled import compiled_attention, why_not_compiled
from semanir.ops.attention.dense import dense_attention
from semanir.ops.attention.gather import gather_attention
from semanir.ops.attention.mask import mask_attention
from semanir.ops.attention.sparse import sparse_attention, why_not_sparse
from semanir.ops.attention.triton.available import why_not_triton
from semanir.ops.attention.triton.operator import triton_attention


@dataclass(frozen=True)
class Backend:
    """One way to compute attention over the kept keys.

    attend: (query, key, value, dictionary, scale, bias) -> (M, H, N, d); see
        :func:`semanir.ops.key_semantic_attention`.
    why_not: the reason why it cannot serve a call, in words that follow "cannot run:"; None when it can.
    alignment: channels a head are padded with zeros to a multiple of this. 16 for kernels: 32 bytes in bf16, and the
        shortest product that tensor cores take.
    numbers: (N, k, channels a head) -> how many numbers a query of one head holds in forward and backward together, a
        rough upper estimate, by which a benchmark leaves out what would exhaust the machine.
    """

    attend: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    why_not: Callable[[AttentionCall], str | None] = runs_anywhere
    alignment: int = 1
    numbers: Callable[[int, int, int], int] = lambda tokens, k, channels: 2 * tokens


BACKENDS: dict[str, Backend] = {
    "mask": Backend(mask_attention, numbers=lambda tokens, k, channels: 6 * tokens),
    "gather": Backend(gather_attention, numbers=lambda tokens, k, channels: 4 * k * channels),
    "dense": Backend(dense_attention),
    "compiled": Backend(compiled_attention, why_not_compiled),
    "sparse": Backend(sparse_attention, why_not_sparse),
    "triton": Backend(triton_attention, why_not_triton, alignment=16),
}

# What a configuration may name: ``auto`` is no backend but a choice among them (see ``choose``).
BACKEND_NAMES = ("auto", *BACKENDS)


def able_backends(call: AttentionCall) -> list[str]:
    """Names of the backends that can serve a call, in the table's order."""
    return [name for name, backend in BACKENDS.items() if backend.why_not(call) is None]
