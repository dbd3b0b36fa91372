"""Backward kernel for keys and values: one program per tile of keys, looping over tiles of queries.

Works on transposed tiles [keys, queries], so that both products need no further transposition.
"""

from __future__ import annotations

import triton
import triton.language as tl

from semanir.ops.attention.triton.kernels.configs import tuned
from semanir.ops.attention.triton.kernels.tiles import (
    LOG2E,
    add_dot,
    dot,
    kept_transposed,
    load_bias,
    load_tokens,
    load_vector,
    store_tokens,
    unit_tokens,
)


@tuned((64, 64, 4, 2), (32, 64, 4, 2), (64, 64, 8, 2), (32, 64, 4, 3))
@triton.jit
def backward_key_kernel(
    query,
    key,
    value,
    words,
    query_factor,
    key_factor,
    bias,
    grad,
    lse2,
    delta,
    grad_key,
    grad_value,
    H,
    N,
    num_words,
    stride_m,
    stride_h,
    stride_n,
    out_stride_m,
    out_stride_h,
    out_stride_n,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Writes grad_key and grad_value (M, H, N, D); needs delta from `backward_query_kernel`."""
    tiles = tl.cdiv(N, BLOCK_K)
    tile, pair = tl.program_id(0) % tiles, tl.program_id(0) // tiles
    head, window = pair % H, (pair // H).to(tl.int64)
    first_key = tile * BLOCK_K
    columns = first_key + tl.arange(0, BLOCK_K)
    start = window * stride_m + head * stride_h
    out_start = window * out_stride_m + head * out_stride_h
    words += window * N * num_words
    bias += head * N * N
    vectors = pair.to(tl.int64) * N

    k = load_tokens(key + start, columns, N, stride_n, D, BLOCK_D, EVEN)
    v = load_tokens(value + start, columns, N, stride_n, D, BLOCK_D, EVEN)
    k_factor = load_vector(key_factor + vectors, columns, N, EVEN)
    acc_key = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
    acc_value = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
    for first in range(0, N, BLOCK_Q):
        rows = first + tl.arange(0, BLOCK_Q)
        q = load_tokens(query + start, rows, N, stride_n, D, BLOCK_D, EVEN)
        q_factor = load_vector(query_factor + vectors, rows, N, EVEN)
        s = dot(k, tl.trans(q)) * k_factor[:, None] * q_factor[None, :]
        s += load_bias(bias, rows[None, :], columns[:, None], N, EVEN)
        s = tl.where(kept_transposed(words, rows, first_key, num_words, N, BLOCK_K, EVEN), s, -float("inf"))
        p = tl.exp2(s * LOG2E - load_vector(lse2 + vectors, rows, N, EVEN)[None, :])
        g = load_tokens(grad + out_start, rows, N, out_stride_n, D, BLOCK_D, EVEN)
        acc_value = add_dot(p.to(g.dtype), g, acc_value)
        # Float32: the very product that delta was corrected with, see `backward_query_kernel`.
        EXACT: tl.constexpr = query.dtype.element_ty == tl.float32
        dp = tl.trans(dot(g, tl.trans(v))) if EXACT else dot(v, tl.trans(g))
        ds = p * (dp - load_vector(delta + vectors, rows, N, EVEN)[None, :])
        acc_key = add_dot((ds * q_factor[None, :]).to(q.dtype), q, acc_key)

    k_unit, inverse = unit_tokens(k)
    along = tl.where(inverse < 1e12, tl.sum(k_unit * acc_key, 1), 0.0)
    across = (acc_key - along[:, None] * k_unit) * k_factor[:, None]
    store_tokens(grad_key + out_start, columns, N, out_stride_n, across, D, BLOCK_D, EVEN)
    store_tokens(grad_value + out_start, columns, N, out_stride_n, acc_value, D, BLOCK_D, EVEN)
