from __future__ import annotations

import numpy as np
import pytest

from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import paired_sources
from pipeline.data.whole import iter_whole_images


@pytest.mark.parametrize("world", [1, 2, 3, 10])
def test_each_image_comes_once_over_the_ranks(dataset, world):
    manifest = dataset(7, per_shard=3)
    found = [item for rank in range(world) for item in iter_whole_images(manifest.uri, rank, world)]
    assert sorted((index, key) for index, key, *_ in found) == [(n, f"img{n:03d}") for n in range(7)]
    for _, _, clean, degraded in found:
        assert clean.dtype == np.float32
        assert 0 <= clean.min() < clean.max() <= 1
        assert degraded is None


def test_pairs_come_as_pairs(images, tmp_path):
    sources = paired_sources(str(images(2)), str(images(2)))
    manifest = pack_dataset(sources, str(tmp_path / "out"))
    for _, _, clean, degraded in iter_whole_images(manifest):
        np.testing.assert_array_equal(clean, degraded)
