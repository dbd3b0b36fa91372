"""The compiled kernels, where the installation could make them."""

from __future__ import annotations

import ctypes
import functools
import logging
from importlib.util import find_spec

import torch
from torch import Tensor

KERNELS = 1  # what semanir_kernels() of kernels.c must answer
_NO_MEMORY, _NOT_FINITE = 1, 2

_log = logging.getLogger("semanir")


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """The library, or None: there was no C compiler at installation, or the sources are newer than what it made."""
    spec = find_spec("semanir.ops.compiled._kernels")
    if spec is None or spec.origin is None:
        _log.info("no compiled kernels: the package was installed without a C compiler; restoring on a CPU is slower")
        return None
    try:
        library = ctypes.CDLL(spec.origin)
        found = int(library.semanir_kernels())
    except (OSError, AttributeError) as error:
        _log.warning("compiled kernels cannot be loaded (%s); restoring on a CPU is slower; install again", error)
        return None
    if found != KERNELS:
        _log.warning("compiled kernels are of another version (%d, not %d); install again", found, KERNELS)
        return None
    return declared(library)


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """The same, told what its functions take."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.semanir_select.argtypes = [pointer, pointer, number, number, number, pointer]
    library.semanir_attend.argtypes = [*[pointer] * 7, *[number] * 4, pointer]
    return library


def select(scores: Tensor, labels: Tensor | None, k: int, words: Tensor) -> bool:
    """Scores (M, N, N), region labels (M, N) or None: fills words (M, N, ceil(N / 32)) with the k largest of each row.

    All float32 and int32, contiguous, on the CPU; as :func:`semanir.ops.dictionary.select_torch.keep_top`. False: some
    score is not finite, no order is defined here, and ``words`` is not to be used.
    """
    library = kernels()
    if library is None:
        raise RuntimeError("there are no compiled kernels")
    windows, num_tokens, _ = scores.shape
    region = None if labels is None else labels.data_ptr()
    result = library.semanir_select(scores.data_ptr(), region, windows, num_tokens, k, words.data_ptr())
    if result != _NOT_FINITE:
        _check(result)
    return bool(result != _NOT_FINITE)


def attend(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """As :func:`semanir.ops.key_semantic_attention`, for float32 on the CPU, but (M, N, H, d): heads together."""
    library = kernels()
    if library is None:
        raise RuntimeError("there are no compiled kernels")
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    dictionary, scale, bias = dictionary.contiguous(), scale.float().contiguous(), bias.float().contiguous()
    windows, num_heads, num_tokens, head_dim = query.shape
    out = torch.empty(windows, num_tokens, num_heads, head_dim)
    strides = (ctypes.c_int64 * 9)(*(x.stride(axis) for x in (query, key, value) for axis in range(3)))
    pointers = [x.data_ptr() for x in (query, key, value)]
    _check(
        library.semanir_attend(
            *pointers, ctypes.addressof(strides), dictionary.data_ptr(), scale.data_ptr(), bias.data_ptr(),
            windows, num_heads, num_tokens, head_dim, out.data_ptr(),
        )
    )  # fmt: skip
    return out


def _check(result: int) -> None:
    if result == _NO_MEMORY:
        raise MemoryError("no memory for one window's keys and values")
