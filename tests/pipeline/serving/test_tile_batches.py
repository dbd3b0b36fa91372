from __future__ import annotations

import pytest
import torch

import semanir
from pipeline.serving.tile_batches import Tile, in_groups, restore_images
from semanir.model import create_model
from semanir.tiling import ModelShape


@pytest.fixture(scope="module", params=["ushape_tiny", "columnar_tiny"])
def model(request):
    torch.manual_seed(0)
    small = {"ushape_tiny": {}, "columnar_tiny": {"upscale": 2}}[request.param]
    return create_model(request.param, zero_init_last=False, window_size=4, k=4, **small).eval()


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_tiles_in_batches_give_what_one_image_after_the_other_gives(model, batch):
    shape = ModelShape.of(model)
    tile, overlap = 2 * shape.grid, shape.grid // 2
    generator = torch.Generator().manual_seed(1)
    sizes = [(3 * shape.grid + 5, 2 * shape.grid + 1), (7, 9), (tile, tile), (tile + 1, 3)]
    images = [torch.rand(1, 3, height, width, generator=generator) for height, width in sizes]
    batches = []

    def run(tiles):
        batches.append(tuple(tiles.shape))
        with torch.inference_mode():
            return model(tiles)

    restored = restore_images(images, run, shape, tile=tile, overlap=overlap, batch=batch)
    for image, output in zip(images, restored, strict=True):
        whole = max(image.shape[2:]) <= tile
        with torch.inference_mode():
            expected = model(image) if whole else semanir.restore_tiled(model, image, tile, overlap)
        torch.testing.assert_close(output, expected, atol=2e-6, rtol=1e-5)
    largest = max(shape[0] for shape in batches)
    assert largest <= batch
    assert (largest > 1) == (batch > 1)


def test_tile_zero_takes_images_whole(model):
    image = torch.rand(1, 3, 3 * ModelShape.of(model).grid, 5)
    with torch.inference_mode():
        (restored,) = restore_images([image], model, ModelShape.of(model), tile=0, overlap=8, batch=4)
        torch.testing.assert_close(restored, model(image))


def test_groups_hold_equal_sizes_and_each_tile_once():
    tiles = [Tile(number, 0, 0, torch.zeros(3, 4 + number % 2, 4)) for number in range(11)]
    groups = list(in_groups(iter(tiles), 4))
    assert sorted(tile.image for group in groups for tile in group) == list(range(11))
    assert [len(group) for group in groups] == [4, 4, 2, 1]
    assert all(len({tuple(tile.pixels.shape) for tile in group}) == 1 for group in groups)
