"""The compiled kernel: on a CPU and without gradients, one window after the other in the first cache."""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.ops.attention.call import AttentionCall
from semanir.ops.compiled.library import attend, kernels
from semanir.ops.opaque import opaque_op


def why_not_compiled(call: AttentionCall) -> str | None:
    """Float32 on a CPU, no gradient, and an installation that had a C compiler."""
    if call.device.type != "cpu":
        return f"it is for CPUs, got {call.device}"
    if call.needs_grad:
        return "it has no gradient"
    if call.dtype != torch.float32:
        return f"it is for float32, got {call.dtype}"
    if kernels() is None:
        return "the package was installed without a C compiler (install one, then the package again)"
    return None


def compiled_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """See :func:`semanir.ops.key_semantic_attention`. All in float32."""
    out: Tensor = attend_windows(query, key, value, dictionary, scale, bias)
    return out.transpose(1, 2)


def _fake(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    windows, heads, tokens, channels = query.shape
    return query.new_empty(windows, tokens, heads, channels)


@opaque_op(
    "semanir::attend_windows(Tensor query, Tensor key, Tensor value, Tensor dictionary, Tensor scale, Tensor bias)"
    " -> Tensor",
    fake=_fake,
)
def attend_windows(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """(M, H, N, d) each -> (M, N, H, d): heads together, as the projection that follows wants them."""
    return attend(query, key, value, dictionary, scale, bias)
