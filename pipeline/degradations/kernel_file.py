"""Measured blur kernels from files: MATLAB (Levin's eight camera shakes are published so), NumPy arrays, pictures.

A. Levin et al., "Understanding and evaluating blind deconvolution algorithms", CVPR 2009 (Levin09.mat). Nothing is
unpickled: NumPy files with objects are refused.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.degradations.matlab_file import read_matrices
from pipeline.degradations.motion_kernel import Kernel

MAX_SIZE = 255
SUFFIXES = (".mat", ".npy", ".png")


def parse_kernels(data: bytes, name: str) -> tuple[Kernel, ...]:
    """All kernels in a file's bytes, each (n, n), n odd, non-negative and summing to 1.

    Kernels of even or unequal sides get rows or columns of zeros; sums are normalized.

    Args:
        data: the file.
        name: its name, which says the kind: .mat (a matrix or a cell array of them, any MATLAB version), .npy
            ((n, n) or (count, n, n)), or .png (gray).

    Raises:
        ValueError: another kind, an unreadable file, no kernel in it, or one that is negative, empty or too large.
    """
    suffix = name.rpartition(".")[2].lower()
    readers = {"mat": read_matrices, "npy": _numpy, "png": _picture}
    if suffix not in readers:
        raise ValueError(f"kernel file {name!r} is of no known kind; there are {', '.join(SUFFIXES)}")
    try:
        arrays = list(readers[suffix](data))
    except Exception as error:  # on damaged data NumPy and Pillow raise anything, SyntaxError too
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"kernel file {name!r} cannot be read: {said}") from error
    if not arrays:
        raise ValueError(f"kernel file {name!r} holds no two-dimensional array")
    return tuple(_kernel(array, f"kernel {number} of {name!r}") for number, array in enumerate(arrays))


def _kernel(array: npt.NDArray[Any], what: str) -> Kernel:
    height, width = array.shape
    if max(height, width) > MAX_SIZE:
        raise ValueError(f"{what} is {height}x{width}; at most {MAX_SIZE}x{MAX_SIZE} is allowed")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} is no blur kernel: it holds {array.dtype}, not numbers")
    values = array.astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.sum() <= 0:
        raise ValueError(f"{what} is no blur kernel: it holds negative or non-finite values, or only zeros")
    side = max(height, width) | 1
    top, left = (side - height) // 2, (side - width) // 2
    square = np.pad(values, ((top, side - height - top), (left, side - width - left)))
    kernel: Kernel = (square / square.sum()).astype(np.float32)
    kernel.flags.writeable = False
    return kernel


def _numpy(data: bytes) -> Iterator[npt.NDArray[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that Python 2 wrote
        array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.ndim == 2:
        yield array
    elif array.ndim == 3:
        yield from array


def _picture(data: bytes) -> Iterator[npt.NDArray[Any]]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        yield np.asarray(image.convert("L"))
