"""Backward kernel for queries: one program per tile of queries, looping over tiles of keys."""

from __future__ import annotations

import triton
import triton.language as tl

from semanir.ops.attention.triton.kernels.configs import tuned
from semanir.ops.attention.triton.kernels.tiles import (
    LOG2E,
    add_dot,
    dot,
    kept,
    load_bias,
    load_tokens,
    load_vector,
    store_tokens,
    unit_tokens,
)


@tuned((64, 64, 4, 2), (64, 32, 4, 2), (128, 32, 8, 2), (32, 64, 4, 2))
@triton.jit
def backward_query_kernel(
    query,
    key,
    value,
    words,
    query_factor,
    key_factor,
    bias,
    out,
    grad,
    lse2,
    delta,
    grad_query,
    grad_scale,
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
    """Writes grad_query (M, H, N, D), delta (M, H, N) for the other kernels, grad_scale (M, H, N) by row."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile, pair = tl.program_id(0) % tiles, tl.program_id(0) // tiles
    head, window = pair % H, (pair // H).to(tl.int64)
    rows = tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    start = window * stride_m + head * stride_h
    out_start = window * out_stride_m + head * out_stride_h
    words += window * N * num_words
    bias += head * N * N
    vectors = pair.to(tl.int64) * N

    q = load_tokens(query + start, rows, N, stride_n, D, BLOCK_D, EVEN)
    g = load_tokens(grad + out_start, rows, N, out_stride_n, D, BLOCK_D, EVEN)
    o = load_tokens(out + out_start, rows, N, out_stride_n, D, BLOCK_D, EVEN)
    q_factor = load_vector(query_factor + vectors, rows, N, EVEN)
    row_lse2 = load_vector(lse2 + vectors, rows, N, EVEN)
    row_delta = tl.sum(g.to(tl.float32) * o.to(tl.float32), 1)
    # Each row of ds sums to zero, but for the rounding in delta. Float32 takes that excess out again: with a single
    # key, where every gradient is zero, nothing else would be left.
    EXACT: tl.constexpr = query.dtype.element_ty == tl.float32

    acc = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)
    mean_key = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)
    excess = tl.zeros([BLOCK_Q], tl.float32)
    for first in range(0, N, BLOCK_K):
        columns = first + tl.arange(0, BLOCK_K)
        k = load_tokens(key + start, columns, N, stride_n, D, BLOCK_D, EVEN)
        k_factor = load_vector(key_factor + vectors, columns, N, EVEN)
        s = dot(q, tl.trans(k)) * q_factor[:, None] * k_factor[None, :]
        s += load_bias(bias, rows[:, None], columns[None, :], N, EVEN)
        s = tl.where(kept(words, rows, first, num_words, N, BLOCK_K, EVEN), s, -float("inf"))
        p = tl.exp2(s * LOG2E - row_lse2[:, None])
        v = load_tokens(value + start, columns, N, stride_n, D, BLOCK_D, EVEN)
        ds = p * (dot(g, tl.trans(v)) - row_delta[:, None])
        acc = add_dot((ds * k_factor[None, :]).to(k.dtype), k, acc)
        if EXACT:
            excess += tl.sum(ds, 1)
            mean_key = add_dot(p * k_factor[None, :], k, mean_key)

    if EXACT:
        acc -= excess[:, None] * mean_key
        row_delta += excess
    tl.store(delta + vectors + rows, row_delta, mask=rows < N)
    q_unit, inverse = unit_tokens(q)
    along = tl.sum(q_unit * acc, 1)
    tl.store(grad_scale + vectors + rows, along, mask=rows < N)
    # Below the smallest norm, normalization is a plain product: nothing to project out.
    across = acc - tl.where(inverse < 1e12, along, 0.0)[:, None] * q_unit
    store_tokens(grad_query + out_start, rows, N, out_stride_n, across * q_factor[:, None], D, BLOCK_D, EVEN)
