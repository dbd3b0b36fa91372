"""Tiles cover the image, blend to one, and a tiled result equals the whole one where nothing is cut."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import semanir
from semanir import tiling


def tiny(name: str = "ushape_tiny") -> semanir.SemanIR:
    torch.manual_seed(0)
    return semanir.create_model(name, zero_init_last=False).eval()


@given(st.integers(1, 300), st.integers(1, 6), st.integers(0, 5), st.sampled_from([8, 16]), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_origins_and_weights(size: int, steps: int, overlap: int, grid: int, upscale: int) -> None:
    overlap *= 5
    tile = overlap + steps * grid + steps
    origins = tiling.tile_origins(size, tile, overlap, grid)
    assert origins[0] == 0
    assert origins[-1] + tile >= size
    assert all(origin % grid == 0 and origin < size for origin in origins)
    for before, after in itertools.pairwise(origins):
        assert before + tile - after >= overlap
        assert before + tile < size
    total = torch.zeros(size * upscale, dtype=torch.float64)
    for origin, weight in zip(origins, tiling.blending_weights(size, origins, tile, upscale), strict=True):
        assert (weight > 0).all()
        assert weight.dtype == torch.float64
        total[origin * upscale : (origin + tile) * upscale] += weight
    torch.testing.assert_close(total, torch.ones_like(total))


@given(st.integers(-10, 100), st.integers(-10, 40), st.sampled_from([8, 16]))
@settings(max_examples=80, deadline=None)
def test_a_tile_is_refused_by_the_check_exactly_where_tiles_cannot_be_laid(tile: int, overlap: int, grid: int) -> None:
    if overlap >= 0 and tile >= overlap + grid:
        tiling.check_tile(tile, overlap, grid)
        assert tiling.tile_origins(200, tile, overlap, grid)
    else:
        for call in (tiling.check_tile, lambda *given: tiling.tile_origins(200, *given)):
            with pytest.raises(ValueError, match=f"overlap {overlap}"):
                call(tile, overlap, grid)


def test_ramps_take_the_whole_overlap() -> None:
    """Tiles of 12 at 0 and 8 of 20 pixels share four: the second rises there by quarters, centered on the pixels."""
    first, second = tiling.blending_weights(20, [0, 8], 12, upscale=1)
    rise = [0.125, 0.375, 0.625, 0.875]
    assert first.tolist() == [1.0] * 8 + rise[::-1]
    assert second.tolist() == rise + [1.0] * 8
    assert tiling.blending_weights(20, [0, 8], 12, upscale=2)[1][:3].tolist() == [0.0625, 0.1875, 0.3125]


@pytest.mark.parametrize("size", [(30_000, 1), (1, 30_000)])
def test_weights_of_a_thin_image_take_memory_as_its_side_and_not_as_its_square(size: tuple[int, int]) -> None:
    """A row per tile, each as long as the side, made 32 MB of 30 kB; of 80 megapixels it would be 200 TB."""
    canvas = tiling.Canvas(tiling.ModelShape(16, 1, 1), (1, *size), 256, 32)
    weights = [*canvas._rows.values(), *canvas._columns.values()]
    storages = {weight.untyped_storage().data_ptr(): weight.untyped_storage().nbytes() for weight in weights}
    assert len(canvas.origins) == 134
    assert sum(storages.values()) < 2 * 8 * 30_000


@pytest.mark.parametrize("name", ["ushape_tiny", "columnar_tiny"])
def test_one_tile_is_the_whole_image(name: str) -> None:
    model, image = tiny(name), torch.rand(3, 30, 41)
    with torch.no_grad():
        assert torch.equal(semanir.restore_tiled(model, image, 64, 16), model(image[None])[0])


def test_traversal_order_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = tiny(), torch.rand(2, 3, 70, 55)
    # Tiles that disagree where they overlap, bit for bit the same at every call.
    monkeypatch.setattr(model, "forward", lambda x, k: x + 3 * x[..., :1, :1])
    forward = semanir.restore_tiled(model, image, 40, 16)
    origins, weights = tiling.tile_origins, tiling.blending_weights
    monkeypatch.setattr(tiling, "tile_origins", lambda *args: origins(*args)[::-1])
    monkeypatch.setattr(tiling, "blending_weights", lambda size, o, *a: weights(size, o[::-1], *a)[::-1])
    assert torch.equal(semanir.restore_tiled(model, image, 40, 16), forward)


def test_the_number_of_threads_does_not_show() -> None:
    """Tiles at once, one thread each, or one after the other: bit for bit the same, and the setting is put back."""
    model, image, before = tiny(), torch.rand(3, 70, 55), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(semanir.restore_tiled(model, image, 40, 16))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)
    assert not results[1].requires_grad


def test_tiles_are_computed_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two threads waits inside its first tile for the other: alone, neither would go on."""
    model, both = tiny(), threading.Barrier(2, timeout=60)
    first, forward = threading.local(), model.forward

    def meet(x: torch.Tensor, k: int | None) -> torch.Tensor:
        if not hasattr(first, "done"):
            first.done = True
            both.wait()
        assert not torch.is_grad_enabled()
        return forward(x, k)

    monkeypatch.setattr(model, "forward", meet)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        semanir.restore_tiled(model, torch.rand(3, 70, 55), 40, 16)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fault_in_a_tile_is_raised_and_ends_the_work(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls, before = tiny(), [], torch.get_num_threads()

    def fail(x: torch.Tensor, k: int | None) -> torch.Tensor:
        calls.append(1)
        raise ValueError("this tile cannot be restored")

    monkeypatch.setattr(model, "forward", fail)
    torch.set_num_threads(threads)
    try:
        with pytest.raises(ValueError, match="this tile cannot be restored"):
            semanir.restore_tiled(model, torch.rand(3, 300, 300), 40, 16)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(calls) <= 4 * threads  # of 144


def test_progress_counts_every_tile() -> None:
    seen: list[tuple[int, int]] = []
    semanir.restore_tiled(
        tiny(), torch.rand(3, 70, 40), 40, 16, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("name", "upscale"), [("ushape_tiny", 1), ("columnar_tiny", 2)])
def test_shapes(name: str, upscale: int) -> None:
    out = semanir.restore_tiled(tiny(name), torch.rand(3, 35, 50), 40, 16)
    assert out.shape == (3, 35 * upscale, 50 * upscale)


def test_k_reaches_the_model() -> None:
    model, image = tiny(), torch.rand(3, 40, 24)
    assert not torch.equal(
        semanir.restore_tiled(model, image, 32, 16, k=1), semanir.restore_tiled(model, image, 32, 16, k=64)
    )


@pytest.mark.parametrize(
    ("window", "levels", "overlap", "tile"),
    [(8, 1, 32, 256), (8, 1, 30, 254), (12, 1, 32, 248), (32, 3, 32, 160), (64, 3, 32, 288), (8, 1, 256, 264)],
)
def test_a_tile_is_as_large_as_the_grid_allows(window: int, levels: int, overlap: int, tile: int) -> None:
    """At most 256 pixels where one step of the grid fits into that, else one step beyond the overlap."""
    name, depths = ("columnar_tiny", (1,)) if levels == 1 else ("ushape_tiny", (1,) * (2 * levels))
    with torch.device("meta"):
        model = semanir.create_model(name, window_size=window, depths=depths, k=4)
    assert tiling.default_tile(model, overlap) == tile
    assert tiling.tile_origins(1, tile, overlap, window * 2 ** (levels - 1)) == [0]
    if overlap == 32:
        assert tiling.default_tile(model) == tile


def test_bad_input() -> None:
    for tile, overlap in ((20, 8), (16, 16)):
        message = f"tile {tile} with overlap {overlap}: this model takes tiles of at least {overlap + 16} pixels"
        with pytest.raises(ValueError, match=message):
            semanir.restore_tiled(tiny(), torch.rand(3, 40, 40), tile, overlap)
    with pytest.raises(ValueError, match="overlap -1 is negative"):
        semanir.restore_tiled(tiny(), torch.rand(3, 40, 40), 64, -1)
    with pytest.raises(ValueError, match=r"image must have shape"):
        semanir.restore_tiled(tiny(), torch.rand(40, 40), 64, 16)
