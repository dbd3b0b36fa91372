"""Backward kernel for the position bias: one program per tile, head and chunk of windows, no atomics.

A program loops over its windows with the tile's sum in registers and writes it once; the chunks are then added
in fixed order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from semanir.ops.attention.triton.kernels.configs import tuned
from semanir.ops.attention.triton.kernels.tiles import LOG2E, dot, kept, load_bias, load_tokens, load_vector


@tuned((64, 64, 4, 2), (64, 32, 4, 2), (64, 64, 8, 2), (32, 64, 4, 3))
@triton.jit
def backward_bias_kernel(
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
    partial,
    M,
    H,
    N,
    num_words,
    windows_per_chunk,
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
    """Writes partial (chunks, H, N, N): Σ of ds over the windows of each chunk."""
    row_tiles, column_tiles = tl.cdiv(N, BLOCK_Q), tl.cdiv(N, BLOCK_K)
    program = tl.program_id(0)
    tile, pair = program % (row_tiles * column_tiles), program // (row_tiles * column_tiles)
    head, chunk = pair % H, pair // H
    first_key = tile % column_tiles * BLOCK_K
    rows = tile // column_tiles * BLOCK_Q + tl.arange(0, BLOCK_Q)
    columns = first_key + tl.arange(0, BLOCK_K)
    b = load_bias(bias + head * N * N, rows[:, None], columns[None, :], N, EVEN)

    acc = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)
    first_window = chunk.to(tl.int64) * windows_per_chunk
    for i in range(tl.minimum(windows_per_chunk, M - chunk * windows_per_chunk)):
        window = first_window + i
        start = window * stride_m + head * stride_h
        out_start = window * out_stride_m + head * out_stride_h
        vectors = (window * H + head) * N
        q = load_tokens(query + start, rows, N, stride_n, D, BLOCK_D, EVEN)
        k = load_tokens(key + start, columns, N, stride_n, D, BLOCK_D, EVEN)
        q_factor = load_vector(query_factor + vectors, rows, N, EVEN)
        k_factor = load_vector(key_factor + vectors, columns, N, EVEN)
        s = dot(q, tl.trans(k)) * q_factor[:, None] * k_factor[None, :] + b
        keep = kept(words + window * N * num_words, rows, first_key, num_words, N, BLOCK_K, EVEN)
        row_lse2 = load_vector(lse2 + vectors, rows, N, EVEN)
        p = tl.exp2(tl.where(keep, s, -float("inf")) * LOG2E - row_lse2[:, None])
        g = load_tokens(grad + out_start, rows, N, out_stride_n, D, BLOCK_D, EVEN)
        v = load_tokens(value + start, columns, N, stride_n, D, BLOCK_D, EVEN)
        acc += p * (dot(g, tl.trans(v)) - load_vector(delta + vectors, rows, N, EVEN)[:, None])

    pointers = partial + pair.to(tl.int64) * N * N + rows[:, None] * N + columns[None, :]
    if EVEN:
        tl.store(pointers, acc)
    else:
        tl.store(pointers, acc, mask=(rows[:, None] < N) & (columns[None, :] < N))
