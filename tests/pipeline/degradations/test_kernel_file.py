"""Blur kernels from files: every kind gives the same kernels, and nothing else passes."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from pipeline.degradations.blur import check_kernel
from pipeline.degradations.kernel_file import parse_kernels
from pipeline.errors import UserError
from pipeline.tasks import TASKS
from pipeline.tasks.deblurring import kernel_of

SHAKE = np.array([[0, 1, 0, 0, 0], [0, 2, 3, 0, 0], [0, 0, 4, 2, 0], [0, 0, 0, 2, 1], [0, 0, 0, 0, 5]], np.float64)


def numpy_file(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def matlab_file(value) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"kernels": value})
    return buffer.getvalue()


def matlab_7_3_file(*kernels: np.ndarray) -> bytes:
    """A cell array as MATLAB 7.3 stores it: references into a group of transposed matrices."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as file:
        group = file.create_group("#refs#")
        cells = file.create_dataset("kernels", (len(kernels), 1), dtype=h5py.ref_dtype)
        for number, kernel in enumerate(kernels):
            cells[number, 0] = group.create_dataset(chr(ord("a") + number), data=kernel.T).ref
    return buffer.getvalue()


def cell_array(*kernels: np.ndarray) -> np.ndarray:
    cells = np.empty((1, len(kernels)), dtype=object)
    cells[0, :] = kernels
    return cells


def picture(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((array * 10).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    "one.npy": numpy_file(SHAKE),
    "one.mat": matlab_file(SHAKE),
    "cell.mat": matlab_file(cell_array(SHAKE, SHAKE[:3, :3] + 1)),
    "new.mat": matlab_7_3_file(SHAKE, SHAKE[:3, :3] + 1),
    "stack.npy": numpy_file(np.stack([SHAKE, SHAKE.T])),
    "one.png": picture(SHAKE),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_normalized_kernels(name):
    kernels = parse_kernels(FILES[name], name)
    assert len(kernels) == (1 if name.startswith("one") else 2)
    np.testing.assert_allclose(kernels[0], SHAKE / 20, rtol=1e-6)
    for kernel in kernels:
        check_kernel(kernel)


def test_even_and_unequal_sides_are_filled_with_zeros():
    (kernel,) = parse_kernels(numpy_file(SHAKE[:, 1:3]), "k.npy")
    assert kernel.shape == (5, 5)
    assert np.count_nonzero(kernel) == np.count_nonzero(SHAKE[:, 1:3])
    assert parse_kernels(numpy_file(np.ones((4, 4))), "k.npy")[0].shape == (5, 5)


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (numpy_file(np.array([{"a": 1}], dtype=object), allow_pickle=True), "k.npy", "cannot be read: Object arrays"),
        (b"\x80\x04.", "k.pkl", "of no known kind"),
        (b"not a file", "k.mat", "cannot be read"),
        (b"not a file", "k.png", "cannot be read"),
        (numpy_file(np.zeros(3)), "k.npy", "holds no two-dimensional array"),
        (numpy_file(-SHAKE), "k.npy", "negative or non-finite"),
        (numpy_file(np.zeros((3, 3))), "k.npy", "only zeros"),
        (numpy_file(np.full((3, 3), np.nan)), "k.npy", "non-finite"),
        (numpy_file(np.ones((257, 3))), "k.npy", "257x3; at most 255x255"),
    ],
)
def test_what_is_no_kernel_is_refused(data, name, message):
    with pytest.raises(ValueError, match=message):
        parse_kernels(data, name)


def test_deblurring_draws_from_all_kernels_of_its_files(tmp_path: Path):
    task = TASKS["deblurring"]
    for name in ("one.npy", "new.mat"):
        (tmp_path / name).write_bytes(FILES[name])
    settings = task.parse_settings({"kernel_files": [str(tmp_path / "one.npy"), str(tmp_path / "new.mat")]})
    rng = np.random.default_rng(0)
    shapes = [kernel_of(rng, settings).shape for _ in range(60)]
    assert 8 < shapes.count((3, 3)) < 35
    gt = np.random.default_rng(1).random((16, 16, 3), dtype=np.float32)
    assert task.degrade(gt, np.random.default_rng(2), settings).shape == gt.shape


def test_kernel_files_that_cannot_be_are_one_clear_line(tmp_path: Path):
    task = TASKS["deblurring"]
    with pytest.raises(UserError, match="kernel_files and kernel_seed exclude each other"):
        task.parse_settings({"kernel_files": ["k.npy"], "kernel_seed": 1})
    missing = task.parse_settings({"kernel_files": [str(tmp_path / "no.mat")]})
    with pytest.raises(UserError, match=r"no\.mat' does not exist"):
        kernel_of(np.random.default_rng(0), missing)
