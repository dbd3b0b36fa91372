"""imresize against MATLAB's definition written out, and against Pillow where edges do not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semanir import imresize


def cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def by_definition(line: list[float], new_size: int) -> list[float]:
    """One axis of MATLAB's imresize: explicit sum over a symmetrically extended signal."""
    size, scale = len(line), new_size / len(line)
    shrink = min(scale, 1.0)
    out = []
    for row in range(new_size):
        center = (row + 0.5) / scale - 0.5
        reach = math.ceil(2 / shrink) + 2
        total = weight_sum = 0.0
        for index in range(math.floor(center) - reach, math.floor(center) + reach + 1):
            folded = index % (2 * size)
            weight = cubic(shrink * (center - index))
            total += weight * line[folded if folded < size else 2 * size - 1 - folded]
            weight_sum += weight
        out.append(total / weight_sum)
    return out


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_definition(size: int, new_size: int, seed: int) -> None:
    line = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = torch.tensor(by_definition(line.tolist(), new_size), dtype=torch.float64)
    torch.testing.assert_close(imresize(line.expand(3, size), 3, new_size)[1], expected)
    torch.testing.assert_close(imresize(line[:, None].expand(size, 2), new_size, 2)[:, 1], expected)


@pytest.mark.parametrize(("size", "new_size"), [(700, 350), (350, 700), (900, 300), (300, 777)])
def test_blocks_of_a_long_axis(size: int, new_size: int) -> None:
    line = torch.rand(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.tensor(by_definition(line.tolist(), new_size), dtype=torch.float64)
    torch.testing.assert_close(imresize(line.expand(1, size), 1, new_size)[0], expected)


@pytest.mark.parametrize("new_size", [(20, 24), (120, 90)])
def test_interior_equals_pillow(new_size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((60, 72), dtype=np.float32)
    pillow = np.asarray(Image.fromarray(image).resize(new_size[::-1], Image.Resampling.BICUBIC))
    ours = imresize(torch.from_numpy(image), *new_size).numpy()
    np.testing.assert_allclose(ours[6:-6, 6:-6], pillow[6:-6, 6:-6], atol=1e-5)


def test_constant_and_identity() -> None:
    x = torch.rand(2, 3, 9, 7)
    assert torch.equal(imresize(x, 9, 7), x)
    torch.testing.assert_close(imresize(torch.full((1, 9, 7), 0.3), 4, 15), torch.full((1, 4, 15), 0.3))


def test_differentiable() -> None:
    x = torch.rand(1, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: imresize(t, 3, 9), (x,))


def test_weights_first_used_in_inference_mode_still_train() -> None:
    with torch.inference_mode():
        imresize(torch.rand(1, 31, 31), 17, 17)
    x = torch.rand(1, 31, 31, requires_grad=True)
    imresize(x, 17, 17).sum().backward()
    assert x.grad is not None


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="float tensor"):
        imresize(torch.zeros(3, 4, 4, dtype=torch.uint8), 2, 2)
    with pytest.raises(ValueError, match=r"\(4, 4\) -> \(0, 2\)"):
        imresize(torch.zeros(3, 4, 4), 0, 2)
