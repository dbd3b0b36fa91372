"""The kernels as opaque operators with an autograd formula, so that ``torch.compile`` takes them as they are.

Triton is imported at the first call, not with the package.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semanir.ops.attention.triton.memory_layout import empty_like_output


def triton_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """See :func:`semanir.ops.key_semantic_attention`. Scores and softmax in float32, bias in query's type."""
    return tiled_attention(query, key, value, dictionary, scale.float(), bias.to(query.dtype))[0]


@torch.library.custom_op("semanir::tiled_attention", mutates_args=())
def tiled_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """out (M, H, N, D) in value's type; lse2, query_factor, key_factor (M, H, N) float32 for the backward pass."""
    from semanir.ops.attention.triton.launch import launch_forward

    return launch_forward(query, key, value, dictionary, scale, bias)


@tiled_attention.register_fake
def _(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    vectors = [query.new_empty(query.shape[:3], dtype=torch.float32) for _ in range(3)]
    return empty_like_output(value), vectors[0], vectors[1], vectors[2]


@torch.library.custom_op("semanir::tiled_attention_backward", mutates_args=())
def tiled_attention_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dictionary: Tensor,
    bias: Tensor,
    out: Tensor,
    lse2: Tensor,
    query_factor: Tensor,
    key_factor: Tensor,
    needs_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key, value, scale (H,) and bias (H, N, N), the last empty unless needed."""
    from semanir.ops.attention.triton.launch import launch_backward

    return launch_backward(grad, query, key, value, dictionary, bias, out, lse2, query_factor, key_factor, needs_bias)


@tiled_attention_backward.register_fake
def _(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dictionary: Tensor,
    bias: Tensor,
    out: Tensor,
    lse2: Tensor,
    query_factor: Tensor,
    key_factor: Tensor,
    needs_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    tokens = [empty_like_output(t) for t in (query, key, value)]
    scale = query.new_empty(query.shape[1], dtype=torch.float32)
    return tokens[0], tokens[1], tokens[2], scale, bias.new_empty(bias.shape if needs_bias else 0, dtype=torch.float32)


def _setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: tuple) -> None:
    query, key, value, dictionary, _, bias = inputs
    # Only `out` is ever differentiated: do not fill zeros for the others.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(query, key, value, dictionary, bias, *output)


def _backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor, *_: Tensor | None) -> tuple:
    saved = ctx.saved_tensors  # type: ignore[attr-defined]
    needs_bias = ctx.needs_input_grad[5]  # type: ignore[attr-defined]
    *tokens, scale, bias = tiled_attention_backward(grad, *saved, needs_bias)
    return *tokens, None, scale, bias.to(saved[4].dtype) if needs_bias else None


tiled_attention.register_autograd(_backward, setup_context=_setup_context)
