from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch

import semanir
from pipeline.serving import shared_tiles
from pipeline.serving.shared_tiles import restore_shared
from semanir.tiling import ModelShape


@pytest.fixture(scope="module", params=["ushape_tiny", "columnar_tiny"])
def model(request):
    torch.manual_seed(0)
    small = {"ushape_tiny": {}, "columnar_tiny": {"upscale": 2}}[request.param]
    return semanir.create_model(request.param, embed_dim=8, num_heads=1, window_size=4, k=4, **small).eval()


def forward(model):
    def run(tile):
        with torch.inference_mode():
            return model(tile)

    return run


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_helpers_change_nothing_of_the_result(model, helpers: int) -> None:
    shape = ModelShape.of(model)
    tile, overlap = 2 * shape.grid, shape.grid // 2
    image = torch.rand(1, 3, 4 * shape.grid + 5, 3 * shape.grid + 1, generator=torch.Generator().manual_seed(1))
    run, sent = forward(model), []
    with ThreadPoolExecutor(4) as pool:

        def send(part):
            sent.append(part)
            return pool.submit(run, part)

        restored = restore_shared(image, run, shape, tile=tile, overlap=overlap, send=send, helpers=helpers)
    assert torch.equal(restored, semanir.restore_tiled(model, image, tile, overlap))
    assert bool(sent) == (helpers > 0)


@pytest.mark.parametrize("fault", ["refuses", "fails", "is silent", "is cancelled"])
def test_a_helper_that_does_not_help_stops_nobody(model, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_tiles, "GRACE_S", 0.01)
    shape = ModelShape.of(model)
    tile, overlap = 2 * shape.grid, 0
    image = torch.rand(1, 3, 4 * shape.grid, 4 * shape.grid, generator=torch.Generator().manual_seed(1))
    asked = []

    def send(part):
        asked.append(part)
        future: Future = Future()
        if fault == "refuses":
            future.set_result(None)
        elif fault == "fails":
            future.set_exception(RuntimeError("its node is gone"))
        elif fault == "is cancelled":
            future.cancel()
        return future

    restored = restore_shared(image, forward(model), shape, tile=tile, overlap=overlap, send=send, helpers=2)
    assert torch.equal(restored, semanir.restore_tiled(model, image, tile, overlap))
    assert len(asked) <= 2  # who did not help is not asked again


def test_a_failure_here_ends_it(model) -> None:
    def run(tile):
        raise MemoryError

    image = torch.rand(1, 3, 4 * ModelShape.of(model).grid, 8)
    with pytest.raises(MemoryError):
        restore_shared(image, run, ModelShape.of(model), tile=2 * ModelShape.of(model).grid, overlap=0)
    assert threading.active_count() < 50
