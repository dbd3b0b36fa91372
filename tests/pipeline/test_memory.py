"""Wants of memory are told from all other errors, in the words of the PyTorch that is installed."""

from __future__ import annotations

import pytest
import torch

from pipeline.memory import as_memory_error

TOO_MUCH = 1 << 50  # numbers: more bytes than any address space has


def test_what_pytorch_says_of_a_cpu_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="tried to allocate"), as_memory_error():
        torch.empty(TOO_MUCH)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_so_is_what_is_said_of_a_gpu(error: Exception) -> None:
    with pytest.raises(MemoryError), as_memory_error():
        raise error


@pytest.mark.parametrize("error", [RuntimeError("sizes must match"), KeyboardInterrupt(), KeyError()])
def test_all_other_errors_stay_what_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, as_memory_error():
        raise error
    assert caught.value is error
