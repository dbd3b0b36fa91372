"""Window grids: a lossless cut, regions that follow the image, and reflection at any size."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semanir.windows import WindowGrid, plan_grids, reflect_pad

sizes = st.integers(1, 23)


@given(sizes, sizes, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_partition_round_trip(height: int, width: int, window_size: int) -> None:
    for grid in plan_grids(height, width, window_size):
        x = torch.arange(2 * height * width * 3.0).view(2, height, width, 3)
        windows = grid.partition(grid.pad(x))
        assert windows.shape == (2 * grid.num_windows, grid.num_tokens, 3)
        assert torch.equal(grid.crop(grid.merge(windows)), x)


@given(sizes, sizes, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_regions_join_only_true_neighbors(height: int, width: int, window_size: int) -> None:
    """Tokens of one region lie in one window-sized box of the image; padding is never with the image."""
    for grid in plan_grids(height, width, window_size):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        real = torch.ones_like(y)
        positions = grid.partition(grid.pad(torch.stack([y, x, real], -1)[None]))
        regions = grid.regions(torch.device("cpu"))
        if regions is None:
            assert positions[..., 2].all()
            regions = torch.zeros(positions.shape[:2])
        assert regions.shape == positions.shape[:2]
        for window, labels in zip(positions, regions, strict=True):
            for label in labels.unique():
                tokens = window[labels == label]
                assert tokens[:, 2].unique().numel() == 1
                if tokens[0, 2]:
                    extent = tokens[:, :2].amax(0) - tokens[:, :2].amin(0)
                    assert (extent < torch.tensor(grid.window)).all()


def test_all_is_made_on_the_device_that_is_meant() -> None:
    grid, image = plan_grids(20, 13, 8)[1], torch.rand(1, 3, 5, 7)
    regions, padded = grid.regions(torch.device("cpu")), reflect_pad(image, 4)
    with torch.device("meta"):
        assert torch.equal(grid.regions(torch.device("cpu")), regions)
        assert torch.equal(reflect_pad(image, 4), padded)


def test_short_axes_are_one_unshifted_window() -> None:
    plain, shifted = plan_grids(5, 20, 8)
    assert plain == WindowGrid(5, 20, 5, 8)
    assert shifted == WindowGrid(5, 20, 5, 8, 0, 4)
    # An axis of just one window is not shifted, whatever the other one is.
    assert plan_grids(20, 8, 8)[1] == WindowGrid(20, 8, 8, 8, 4, 0)
    assert plan_grids(8, 20, 8)[1] == WindowGrid(8, 20, 8, 8, 0, 4)
    assert plan_grids(8, 3, 8)[0] == plan_grids(8, 3, 8)[1] == WindowGrid(8, 3, 8, 3)
    assert plan_grids(8, 8, 8)[0].regions(torch.device("cpu")) is None


@given(sizes, sizes, st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=40, deadline=None)
def test_reflect_pad(height: int, width: int, multiple: int) -> None:
    image = torch.arange(float(height * width)).view(1, 1, height, width)
    padded = reflect_pad(image, multiple)
    assert padded.shape[2] % multiple == 0
    assert padded.shape[3] % multiple == 0
    assert torch.equal(padded[..., :height, :width], image)
    extra_y, extra_x = padded.shape[2] - height, padded.shape[3] - width
    if extra_y < height and extra_x < width:
        assert torch.equal(padded, torch.nn.functional.pad(image, (0, extra_x, 0, extra_y), mode="reflect"))


def test_reflect_pad_bounces_back_and_forth() -> None:
    assert reflect_pad(torch.tensor([[[[1.0, 2.0]]]]), 8)[0, 0, 0].tolist() == [1, 2, 1, 2, 1, 2, 1, 2]
    assert reflect_pad(torch.tensor([[[[7.0]]]]), 4).unique().tolist() == [7.0]
