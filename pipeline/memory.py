"""What wants of memory look like: Python, NumPy and PyTorch each say it in their own way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.errors import first_line

# On a CPU, and where CUDA or one of its libraries asks for memory behind PyTorch's back, PyTorch raises a plain
# RuntimeError, as it does for bugs: only these words tell the two apart.
_WORDS = (
    "you tried to allocate",
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@contextmanager
def as_memory_error() -> Iterator[None]:
    """Whatever inside says that memory is wanting is a MemoryError outside; all other errors pass as they are."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS):
            raise MemoryError(first_line(error)) from error
        raise
