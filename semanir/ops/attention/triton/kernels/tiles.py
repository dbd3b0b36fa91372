"""Pieces that the kernels share: loading tiles, the bit mask of a tile, dot products."""

from __future__ import annotations

import triton
import triton.language as tl

from semanir.ops.presence import INTERPRETING

UPCAST_DOTS = tl.constexpr(INTERPRETING)
LOG2E = tl.constexpr(1.4426950408889634)
SMALLEST_NORM = tl.constexpr(1e-12)  # as in torch.nn.functional.normalize


@triton.jit
def dot(a, b):
    """a @ b in float32, float32 operands in full precision. The interpreter multiplies bf16 wrongly: upcast there."""
    if UPCAST_DOTS:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def add_dot(a, b, total):
    """total + a @ b, see `dot`."""
    if UPCAST_DOTS:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, input_precision="ieee")


@triton.jit
def load_tokens(start, tokens, N, stride_n, D: tl.constexpr, BLOCK_D: tl.constexpr, EVEN: tl.constexpr):
    """[tokens, BLOCK_D]; tokens beyond N and channels beyond D are 0. start: of the window and head."""
    channels = tl.arange(0, BLOCK_D)
    pointers = start + tokens[:, None] * stride_n + channels[None, :]
    if EVEN and D == BLOCK_D:
        return tl.load(pointers)
    return tl.load(pointers, mask=(tokens[:, None] < N) & (channels[None, :] < D), other=0.0)


@triton.jit
def store_tokens(start, tokens, N, stride_n, tile, D: tl.constexpr, BLOCK_D: tl.constexpr, EVEN: tl.constexpr):
    """Inverse of `load_tokens`, in the type of the memory."""
    channels = tl.arange(0, BLOCK_D)
    pointers = start + tokens[:, None] * stride_n + channels[None, :]
    tile = tile.to(start.dtype.element_ty)
    if EVEN and D == BLOCK_D:
        tl.store(pointers, tile)
    else:
        tl.store(pointers, tile, mask=(tokens[:, None] < N) & (channels[None, :] < D))


@triton.jit
def load_vector(start, tokens, N, EVEN: tl.constexpr):
    """One number per token, 0 beyond N."""
    if EVEN:
        return tl.load(start + tokens)
    return tl.load(start + tokens, mask=tokens < N, other=0)


@triton.jit
def load_word(words, rows, word, num_words, N, EVEN: tl.constexpr):
    """The rows' dictionary word with the given number; 0 beyond N rows or num_words words."""
    pointers = words + rows * num_words + word
    if EVEN:
        return tl.load(pointers)
    return tl.load(pointers, mask=(rows < N) & (word + tl.zeros_like(rows) < num_words), other=0)


@triton.jit
def kept(words, rows, first_key, num_words, N, BLOCK_K: tl.constexpr, EVEN: tl.constexpr):
    """Boolean [rows, BLOCK_K]: which of the keys from first_key (a multiple of 32) on each row keeps.

    One word per row and 32 keys: broadcast words against constant bits, without changing any layout.
    """
    keys = tl.arange(0, BLOCK_K)
    word = load_word(words, rows, first_key // 32, num_words, N, EVEN)[:, None]
    for i in tl.static_range(1, BLOCK_K // 32):
        later = load_word(words, rows, first_key // 32 + i, num_words, N, EVEN)[:, None]
        word = tl.where(keys[None, :] < 32 * i, word, later)
    return (word & (1 << (keys % 32))[None, :]) != 0


@triton.jit
def kept_transposed(words, rows, first_key, num_words, N, BLOCK_K: tl.constexpr, EVEN: tl.constexpr):
    """Boolean [BLOCK_K, rows]; see `kept`."""
    keys = tl.arange(0, BLOCK_K)
    word = load_word(words, rows, first_key // 32, num_words, N, EVEN)[None, :]
    for i in tl.static_range(1, BLOCK_K // 32):
        later = load_word(words, rows, first_key // 32 + i, num_words, N, EVEN)[None, :]
        word = tl.where(keys[:, None] < 32 * i, word, later)
    return (word & (1 << (keys % 32))[:, None]) != 0


@triton.jit
def load_bias(start, rows, columns, N, EVEN: tl.constexpr):
    """Bias of rows x columns as float32, in the shape that the two index tensors broadcast to."""
    pointers = start + rows * N + columns
    if EVEN:
        return tl.load(pointers).to(tl.float32)
    return tl.load(pointers, mask=(rows < N) & (columns < N), other=0.0).to(tl.float32)


@triton.jit
def unit_tokens(tile):
    """(tile with rows of length one, the inverse lengths); lengths below SMALLEST_NORM count as it."""
    tile = tile.to(tl.float32)
    inverse = 1 / tl.maximum(tl.sqrt(tl.sum(tile * tile, 1)), SMALLEST_NORM)
    return tile * inverse[:, None], inverse
