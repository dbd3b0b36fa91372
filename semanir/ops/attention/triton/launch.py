"""Allocating outputs and starting the kernels. Imports Triton."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from semanir.ops.attention.triton.kernels.backward_bias import backward_bias_kernel
from semanir.ops.attention.triton.kernels.backward_key import backward_key_kernel
from semanir.ops.attention.triton.kernels.backward_query import backward_query_kernel
from semanir.ops.attention.triton.kernels.forward import forward_kernel
from semanir.ops.attention.triton.kernels.norms import factors_kernel
from semanir.ops.attention.triton.memory_layout import empty_like_output

_NORM_BLOCK = 64
# Enough programs for every large GPU to date; a constant, so that sums do not depend on the device.
_BIAS_PROGRAMS = 1024
_BIAS_TILE = 64
_PARTIAL_BYTES = 32 << 20


@dataclass(frozen=True)
class Operands:
    """Inputs in the layout that the kernels take: query, key and value with one set of strides."""

    query: Tensor
    key: Tensor
    value: Tensor
    words: Tensor
    bias: Tensor

    @classmethod
    def of(cls, query: Tensor, key: Tensor, value: Tensor, words: Tensor, bias: Tensor) -> Operands:
        same = query.stride() == key.stride() == value.stride() and query.stride(-1) == 1
        if not same:
            query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        return cls(query, key, value, words.contiguous(), bias.contiguous())

    def sizes(self, out: Tensor) -> tuple[int, ...]:
        """H, N, num_words and the strides of inputs and outputs, as every kernel takes them."""
        _, heads, tokens, _ = self.query.shape
        return heads, tokens, self.words.shape[2], *self.query.stride()[:3], *out.stride()[:3]

    def head_dims(self) -> dict[str, int]:
        """The head dimension, and the one that a matrix product takes: a power of two, at least 16."""
        dim = self.query.shape[3]
        return {"D": dim, "BLOCK_D": max(16, triton.next_power_of_2(dim))}


def launch_forward(
    query: Tensor, key: Tensor, value: Tensor, words: Tensor, scale: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """out (M, H, N, D), and for the backward pass lse2, query_factor, key_factor, each (M, H, N) float32."""
    given = Operands.of(query, key, value, words, bias)
    windows, heads, tokens, _ = query.shape
    query_factor, key_factor, lse2 = (_vectors(query) for _ in range(3))
    out = empty_like_output(value)
    with torch.cuda.device_of(query):
        factors_kernel[(triton.cdiv(tokens, _NORM_BLOCK) * heads * windows,)](
            given.query, given.key, scale, query_factor, key_factor,
            heads, tokens, *given.query.stride()[:3], **given.head_dims(), BLOCK=_NORM_BLOCK,
        )  # fmt: skip
        forward_kernel[lambda meta: (triton.cdiv(tokens, meta["BLOCK_Q"]) * heads * windows,)](
            given.query, given.key, given.value, given.words, query_factor, key_factor, given.bias,
            out, lse2, *given.sizes(out), **given.head_dims(),
        )  # fmt: skip
    return out, lse2, query_factor, key_factor


def launch_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, words: Tensor, bias: Tensor,
    out: Tensor, lse2: Tensor, query_factor: Tensor, key_factor: Tensor, needs_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of query, key, value (M, H, N, D), scale (H,), bias (H, N, N; empty unless needed), float32 both."""
    given = Operands.of(query, key, value, words, bias)
    windows, heads, tokens, _ = query.shape
    if grad.stride() != out.stride():
        grad = empty_like_output(out).copy_(grad)
    grad_query, delta, grad_scale = empty_like_output(query), _vectors(query), _vectors(query)
    sizes, dims = given.sizes(out), given.head_dims()
    shared = (given.query, given.key, given.value, given.words, query_factor, key_factor, given.bias)
    with torch.cuda.device_of(query):
        backward_query_kernel[lambda meta: (triton.cdiv(tokens, meta["BLOCK_Q"]) * heads * windows,)](
            *shared, out, grad, lse2, delta, grad_query, grad_scale, *sizes, **dims
        )
        # Before the gradients of keys and values exist: the partial sums are the largest thing in memory here.
        if needs_bias:
            grad_bias = _bias_gradient((*shared, grad, lse2, delta), windows, sizes, dims)
        else:
            grad_bias = bias.new_empty(0, dtype=torch.float32)
        grad_key, grad_value = empty_like_output(key), empty_like_output(value)
        backward_key_kernel[lambda meta: (triton.cdiv(tokens, meta["BLOCK_K"]) * heads * windows,)](
            *shared, grad, lse2, delta, grad_key, grad_value, *sizes, **dims
        )
    return grad_query, grad_key, grad_value, grad_scale.sum((0, 2)), grad_bias


def _bias_gradient(inputs: tuple[Tensor, ...], windows: int, sizes: tuple[int, ...], dims: dict[str, int]) -> Tensor:
    """(H, N, N) float32: chunks of windows summed by the kernel, then the chunks in fixed order."""
    heads, tokens = sizes[:2]
    chunks, per_chunk = bias_chunks(windows, heads, tokens)
    partial = torch.empty(chunks, heads, tokens, tokens, dtype=torch.float32, device=inputs[0].device)

    def grid(meta: dict[str, int]) -> tuple[int]:
        return (triton.cdiv(tokens, meta["BLOCK_Q"]) * triton.cdiv(tokens, meta["BLOCK_K"]) * heads * chunks,)

    backward_bias_kernel[grid](*inputs, partial, windows, *sizes[:3], per_chunk, *sizes[3:], **dims)
    return partial[0] if chunks == 1 else partial.sum(0)


def bias_chunks(windows: int, heads: int, tokens: int) -> tuple[int, int]:
    """(chunks, windows per chunk): enough programs to fill a GPU, partial sums of at most 32 MiB."""
    tiles = triton.cdiv(tokens, _BIAS_TILE) ** 2 * heads
    wanted = min(triton.cdiv(_BIAS_PROGRAMS, tiles), max(1, _PARTIAL_BYTES // (4 * heads * tokens * tokens)), windows)
    per_chunk = triton.cdiv(windows, wanted)
    return triton.cdiv(windows, per_chunk), per_chunk


def _vectors(query: Tensor) -> Tensor:
    return torch.empty(query.shape[:3], dtype=torch.float32, device=query.device)
