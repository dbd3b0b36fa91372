"""MATLAB files, read in a process of their own: SciPy's reader of damaged ones is known to crash the one it is in.

As a program this file is that process: a MATLAB file on standard input, its matrices as NumPy files on standard output.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_SECONDS = 60
MOST_MEMORY = 4 << 30  # bytes of address space, libraries included
MOST_MATRICES, MOST_VALUES = 1_000, 1 << 20
_HDF5 = b"\x89HDF\r\n\x1a\n"  # MATLAB writes 7.3 files as HDF5, behind a header of 512 bytes


def read_matrices(data: bytes) -> list[npt.NDArray[Any]]:
    """Every two-dimensional matrix of a MATLAB file of any version, those in cell arrays too.

    Raises:
        ValueError: it cannot be read, within a minute and 4 GiB, or holds more than a file of kernels does.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__], input=data, capture_output=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"reading it takes longer than {MOST_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(lines[-1][:200] if lines and done.returncode > 0 else "its reader crashed")
    stream, found = io.BytesIO(done.stdout), []
    while stream.tell() < len(done.stdout):
        found.append(np.load(stream, allow_pickle=False))
    return found


def _matrices(data: bytes) -> Iterator[npt.NDArray[Any]]:
    if data[512:520] == _HDF5:
        yield from _version_7_3(data)
        return
    from scipy.io import loadmat

    for key, value in loadmat(io.BytesIO(data)).items():
        if not key.startswith("__"):
            # A cell array comes as an array of objects, each a matrix.
            yield from (cell for cell in (value.ravel() if value.dtype == object else [value]) if cell.ndim == 2)


def _version_7_3(data: bytes) -> Iterator[npt.NDArray[Any]]:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        for key, value in file.items():
            if key.startswith("#") or not isinstance(value, h5py.Dataset):
                continue
            cells = [file[cell] for cell in value[()].ravel()] if value.dtype == object else [value]
            # HDF5 counts dimensions from the other side than MATLAB.
            yield from (cell[()].T for cell in cells if cell.ndim == 2)


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, matrix in enumerate(_matrices(sys.stdin.buffer.read())):
        if number == MOST_MATRICES or matrix.size > MOST_VALUES:
            raise ValueError(
                f"matrix {number} of {matrix.shape[0]}x{matrix.shape[1]}: more than a file of kernels holds"
            )
        np.save(sys.stdout.buffer, np.ascontiguousarray(matrix), allow_pickle=False)


if __name__ == "__main__":
    _main()
