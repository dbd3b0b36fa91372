"""Dense tiles in plain torch: chunks of windows small enough for the cache, forward and backward.

All N x N scores of a chunk are computed, masked, used and dropped, so nothing of that size outlives its chunk
except (when a gradient is needed) the attention weights. Registered as opaque operators: ``torch.compile``
does not unroll the loop over chunks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from semanir.ops.attention.cosine import cosine_operands
from semanir.ops.dictionary.bits import additive_mask
from semanir.ops.opaque import opaque_op
from semanir.ops.precision import no_autocast

# Scores of one chunk of windows, all heads.
_CHUNK_BYTES = {"cpu": 2 << 20, "cuda": 256 << 20}


def dense_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """See :func:`semanir.ops.key_semantic_attention`. Scores and softmax in float32."""
    out_dtype = value.dtype
    with no_autocast(query.device):
        query, key = cosine_operands(query, key, scale)
        needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value, bias))
        attend = masked_softmax_train if needs_grad else masked_softmax_infer
        out = attend(query, key, value.float(), dictionary, bias.float())
    return (out[0] if needs_grad else out).to(out_dtype)


def _chunk(scores_shape: tuple[int, int, int], device: torch.device) -> int:
    num_heads, rows, columns = scores_shape
    return max(1, _CHUNK_BYTES.get(device.type, 64 << 20) // (4 * num_heads * rows * columns))


def _fake_infer(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, bias: Tensor) -> Tensor:
    return value.new_empty(value.shape)


@opaque_op(
    "semanir::masked_softmax_infer(Tensor query, Tensor key, Tensor value, Tensor dictionary, Tensor bias) -> Tensor",
    fake=_fake_infer,
)
def masked_softmax_infer(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, bias: Tensor) -> Tensor:
    """softmax(query @ key.T + bias, kept keys only) @ value, float32; (M, H, N, d) -> (M, H, N, d)."""
    out = torch.empty(value.shape, dtype=value.dtype, device=value.device)
    num_tokens = query.shape[2]
    step = _chunk((query.shape[1], num_tokens, num_tokens), query.device)
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        mask = additive_mask(dictionary[part], num_tokens)[:, None] + bias
        out[part] = F.scaled_dot_product_attention(query[part], key[part], value[part], attn_mask=mask, scale=1.0)
    return out


def _fake_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    empty = [t.new_empty(t.shape) for t in (query, key, value)]
    return empty[0], empty[1], empty[2], weights.new_empty(weights.shape[1:])


@opaque_op(
    "semanir::masked_softmax_backward(Tensor grad, Tensor query, Tensor key, Tensor value, Tensor weights)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    fake=_fake_backward,
)
def masked_softmax_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key, value (M, H, N, d) and bias (H, N, N)."""
    num_windows, num_heads, num_tokens, _ = query.shape
    grads = [torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (query, key, value)]
    grad_bias = torch.zeros(num_heads, num_tokens, num_tokens, device=query.device)
    step = _chunk((num_heads, num_tokens, num_tokens), query.device)
    for start in range(0, num_windows, step):
        part = slice(start, start + step)
        q, k, v, p, g = (t[part].flatten(0, 1) for t in (query, key, value, weights, grad))
        grad_query, grad_key, grad_value = (t[part].flatten(0, 1) for t in grads)
        torch.bmm(p.mT, g, out=grad_value)
        grad_scores = torch.ops.aten._softmax_backward_data(torch.bmm(g, v.mT), p, -1, p.dtype)
        torch.bmm(grad_scores, k, out=grad_query)
        torch.bmm(grad_scores.mT, q, out=grad_key)
        grad_bias += grad_scores.unflatten(0, (-1, num_heads)).sum(0)
    return grads[0], grads[1], grads[2], grad_bias


def _fake_train(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    return value.new_empty(value.shape), query.new_empty(*query.shape[:3], query.shape[2])


def _setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: tuple) -> None:
    query, key, value, _, _ = inputs
    # The weights' own gradient is never used: do not fill a tensor of their size with zeros.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(query, key, value, output[1])


def _backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor, _: Tensor) -> tuple:
    query, key, value, weights = ctx.saved_tensors  # type: ignore[attr-defined]
    grad_query, grad_key, grad_value, grad_bias = masked_softmax_backward(grad.contiguous(), query, key, value, weights)
    return grad_query, grad_key, grad_value, None, grad_bias


@opaque_op(
    "semanir::masked_softmax_train(Tensor query, Tensor key, Tensor value, Tensor dictionary, Tensor bias)"
    " -> (Tensor, Tensor)",
    fake=_fake_train,
    backward=_backward,
    setup_context=_setup_context,
)
def masked_softmax_train(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """As :func:`masked_softmax_infer`; also returns the weights (M, H, N, N) for the backward pass."""
    num_windows, num_heads, num_tokens, _head_dim = query.shape
    weights = torch.empty(num_windows, num_heads, num_tokens, num_tokens, device=query.device)
    out = torch.empty(value.shape, dtype=value.dtype, device=value.device)
    step = _chunk((num_heads, num_tokens, num_tokens), query.device)
    for start in range(0, num_windows, step):
        part = slice(start, start + step)
        scores = additive_mask(dictionary[part], num_tokens)[:, None] + bias
        scores.flatten(0, 1).baddbmm_(query[part].flatten(0, 1), key[part].flatten(0, 1).mT)
        torch.softmax(scores, -1, out=weights[part])
        torch.bmm(weights[part].flatten(0, 1), value[part].flatten(0, 1), out=out[part].flatten(0, 1))
    return out, weights
