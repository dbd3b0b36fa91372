from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import webdataset as wds
from PIL import Image

from pipeline.data.images import SUFFIXES, decode_image, encode_image
from pipeline.data.manifest import MANIFEST_NAME, load_manifest
from pipeline.data.packing.encode import MAX_KEY_BYTES, PackSettings, corners
from pipeline.data.packing.pack import encode_here, pack_dataset
from pipeline.data.packing.sources import Source, folder_sources, paired_sources
from pipeline.data.spans import SpanReader
from pipeline.errors import UserError
from pipeline.storage import open_storage


def test_the_manifest_tells_the_truth_about_every_byte(dataset):
    manifest = dataset(10, per_shard=4)
    assert [shard.samples for shard in manifest.shards] == [4, 4, 2]
    assert (manifest.num_samples, manifest.min_height, manifest.min_width) == (10, 12, 8)
    assert manifest.summary.decoded_bytes == sum(8 * 3 * (12 + number % 3) for number in range(10))
    store = open_storage(manifest.uri)
    for number, shard in enumerate(manifest.shards):
        data = store.read(shard.name)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard.size, shard.sha256)
        rows = manifest.rows(number)
        assert [row.offset for row in rows[1:]] == [row.offset + row.length for row in rows[:-1]]
        for row in rows:
            span = data[row.offset : row.offset + row.length]
            assert hashlib.sha256(span).digest() == row.digest
            assert span.startswith(f"{row.key}.clean.png".encode())


def test_webdataset_alone_reads_the_shards(dataset):
    manifest = dataset(5, per_shard=2)
    urls = [f"{manifest.uri}/{shard.name}" for shard in manifest.shards]
    samples = list(wds.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert [sample["__key__"] for sample in samples] == [f"img{n:03d}" for n in range(5)]
    assert all(sample["clean.png"].shape[1:] == (8, 3) for sample in samples)


def test_the_same_images_make_the_same_bytes(images, tmp_path):
    sources = folder_sources(str(images(4)))
    first, second = (pack_dataset(sources, str(tmp_path / name)) for name in ("one", "two"))
    assert first.digest == second.digest
    assert first.shards[0].sha256 == second.shards[0].sha256


def test_packing_again_does_nothing_and_other_images_are_refused(images, tmp_path):
    output = str(tmp_path / "out")
    sources = folder_sources(str(images(4)))
    pack_dataset(sources, output)
    touched: list[object] = []
    again = pack_dataset(sources, output, progress=touched.append)
    assert (again.num_samples, touched) == (4, [])
    with pytest.raises(UserError, match="holds another dataset \\(4 samples\\)"):
        pack_dataset(sources[:3], output)
    assert pack_dataset(sources[:3], output, replace=True).num_samples == 3


def test_an_interrupted_packing_is_no_dataset_and_can_be_done_again(images, tmp_path):
    output = str(tmp_path / "out")
    sources = folder_sources(str(images(6)))

    def stop_late(source):
        if source is sources[4]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_dataset(sources, output, PackSettings(shard_bytes=1), progress=stop_late)
    assert not open_storage(output).exists(MANIFEST_NAME)
    with pytest.raises(UserError, match=r"holds no manifest\.parquet"):
        load_manifest(output)
    encoded: list[str] = []

    def encode_the_rest(left, settings):
        encoded.extend(source.key for source in left)
        return encode_here(left, settings)

    continued = pack_dataset(sources, output, PackSettings(shard_bytes=1), encode_all=encode_the_rest)
    assert encoded == ["img005"], "what was stored is not encoded again"
    assert continued.digest == pack_dataset(sources, str(tmp_path / "at once"), PackSettings(shard_bytes=1)).digest
    assert not os.path.exists(f"{output}/unfinished")


@pytest.mark.parametrize("harm", ["a byte", "its end", "its record"])
def test_a_shard_that_was_altered_since_the_kill_is_packed_anew(images, tmp_path, harm):
    output, settings = tmp_path / "out", PackSettings(shard_bytes=1)
    sources = folder_sources(str(images(6)))

    def stop_late(source):
        if source is sources[4]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_dataset(sources, str(output), settings, progress=stop_late)
    path = output / ("unfinished/shard-000002.tar.parquet" if harm == "its record" else "shard-000002.tar")
    stored = bytearray(path.read_bytes())
    if harm == "its record":
        stored[40] ^= 1  # in a page of its rows, which has a checksum
    elif harm == "a byte":
        stored[600] ^= 1
    path.write_bytes(stored[:-512] if harm == "its end" else stored)
    encoded: list[str] = []

    def encode_the_rest(left, settings):
        encoded.extend(source.key for source in left)
        return encode_here(left, settings)

    continued = pack_dataset(sources, str(output), settings, encode_all=encode_the_rest)
    assert encoded == ["img002", "img003", "img004", "img005"], "the shards before it are taken over"
    assert continued.digest == pack_dataset(sources, str(tmp_path / "at once"), settings).digest
    for shard in continued.shards:
        assert hashlib.sha256((output / shard.name).read_bytes()).hexdigest() == shard.sha256


@pytest.mark.parametrize("codec", ["png", "original"])
def test_an_image_longer_than_a_manifest_may_say_is_skipped(images, tmp_path, codec):
    """It was packed, and every later run found the record of its shard damaged."""
    folder = images(3)
    for name, size in (("long", (1_000_001, 1)), ("tall", (1, 1_000_001)), ("most", (1, 1_000_000))):
        Image.new("L", size).save(folder / f"{name}.png")
    sources = folder_sources(str(folder))
    settings = PackSettings(codec=codec, max_skipped_share=0.5)
    manifest = pack_dataset(sources, str(tmp_path / "out"), settings)
    assert [row.key for row in manifest.rows(0)] == ["img000", "img001", "img002", "most"]
    reasons = {source.rpartition("/")[2]: reason for source, reason in manifest.summary.skipped}
    said = "side 1,000,001 is more than 1,000,000; cut the image into pieces"
    assert reasons == {"long.png": said, "tall.png": said}
    if codec == "png":
        cut = PackSettings(sub_image=500_001, sub_image_step=500_000)
        assert pack_dataset(sources[3:4], str(tmp_path / "cut"), cut).num_samples == 2


def test_an_attempt_with_other_settings_is_not_continued_and_leaves_nothing(images, tmp_path):
    output = str(tmp_path / "out")
    sources = folder_sources(str(images(6)))

    def stop_at_the_end(source):
        if source is sources[-1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_dataset(sources, output, PackSettings(shard_bytes=1), progress=stop_at_the_end)
    manifest = pack_dataset(sources, output, PackSettings(codec="webp"))
    stored = [entry.key for entry in open_storage(output).list() if not entry.key.startswith("lease/")]
    assert stored == [MANIFEST_NAME, *(shard.name for shard in manifest.shards)]


def test_corrupt_images_are_named_skipped_and_counted(images, tmp_path):
    folder = images(8)
    (folder / "img003.png").write_bytes(b"no image")
    sources = folder_sources(str(folder))
    manifest = pack_dataset(sources, str(tmp_path / "out"), PackSettings(max_skipped_share=0.2))
    assert manifest.num_samples == 7
    ((source, reason),) = manifest.summary.skipped
    assert source.endswith("img003.png")
    assert "damaged or not an image" in reason
    with pytest.raises(UserError, match=r"1 of 8 images cannot be used.*img003\.png.*--max-skipped-share"):
        pack_dataset(sources, str(tmp_path / "strict"), PackSettings(max_skipped_share=0.1))


def test_no_image_left_is_an_error_even_when_all_may_be_skipped(images, tmp_path):
    folder = images(1)
    (folder / "img000.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"none of 1 image can be used; the first is .*img000\.png: damaged"):
        pack_dataset(folder_sources(str(folder)), str(tmp_path / "out"), PackSettings(max_skipped_share=1))


def test_sound_files_of_a_kind_that_is_not_read_are_named_and_do_not_count_as_corrupt(images, tmp_path):
    folder = images(6)
    tifffile.imwrite(folder / "pages.tif", np.zeros((7, 12, 8), np.uint8), photometric="minisblack")
    tifffile.imwrite(folder / "float.tif", np.zeros((12, 8), np.float32), photometric="minisblack")
    (folder / "img004.png").write_bytes(b"no image")
    settings = PackSettings(max_skipped_share=0.125, shard_bytes=1)  # one of eight

    def stop_late(source):
        if source.key == "img005":
            raise KeyboardInterrupt

    sources = folder_sources(str(folder))
    with pytest.raises(KeyboardInterrupt):
        pack_dataset(sources, str(tmp_path / "out"), settings, progress=stop_late)
    manifest = pack_dataset(sources, str(tmp_path / "out"), settings)
    reasons = {source.rpartition("/")[2]: reason for source, reason in manifest.summary.skipped}
    assert manifest.num_samples == 5
    assert "holds 7 pages" in reasons["pages.tif"]
    assert "float32" in reasons["float.tif"]
    assert "damaged" in reasons["img004.png"]
    (folder / "img005.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="2 of 8 images cannot be used"):
        pack_dataset(folder_sources(str(folder)), str(tmp_path / "strict"), settings)


def test_pairs_are_stored_together_and_unequal_ones_skipped(images, tmp_path):
    clean, degraded = images(3), images(4)
    (degraded / "img003.png").unlink()
    (degraded / "img001.png").write_bytes(encode_image(np.zeros((5, 5, 3), np.uint8)))
    manifest = pack_dataset(
        paired_sources(str(clean), str(degraded)), str(tmp_path / "out"), PackSettings(max_skipped_share=0.5)
    )
    assert manifest.has_degraded
    assert [row.key for row in manifest.rows(0)] == ["img000", "img002"]
    assert "degraded partner is 5x5" in manifest.summary.skipped[0][1]


def test_sub_images_cover_the_image_up_to_its_border(images, tmp_path):
    folder = images(1, height=50, width=70)
    settings = PackSettings(sub_image=32, sub_image_step=16)
    manifest = pack_dataset(folder_sources(str(folder)), str(tmp_path / "out"), settings)
    rows = manifest.rows(0)
    assert len(rows) == len(corners(50, 32, 16)) * len(corners(70, 32, 16)) == 3 * 4
    assert {(row.height, row.width) for row in rows} == {(32, 32)}
    assert rows[0].key == "img000_s001"
    assert corners(50, 32, 16) == [0, 16, 18]


def test_original_bytes_are_kept_on_request(images, tmp_path):
    folder = images(2)
    manifest = pack_dataset(folder_sources(str(folder)), str(tmp_path / "out"), PackSettings(codec="original"))
    data = open_storage(manifest.uri).read("shard-000000.tar")
    assert (folder / "img001.png").read_bytes() in data


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_packed_under_its_own_suffix_is_read_again(images, tmp_path, suffix):
    folder = images(1)
    (folder / "img000.png").rename(folder / f"img000{suffix}")
    manifest = pack_dataset(folder_sources(str(folder)), str(tmp_path / "out"), PackSettings(codec="original"))
    (row,) = manifest.rows(0)
    span = open_storage(manifest.uri).read("shard-000000.tar")[row.offset : row.offset + row.length]
    assert SpanReader(manifest.uri, "shard-000000.tar").decode(span, row).clean.shape == (row.height, row.width, 3)


def test_webp_is_lossless_and_read_back(images, tmp_path):
    folder = images(2)
    manifest = pack_dataset(folder_sources(str(folder)), str(tmp_path / "out"), PackSettings(codec="webp"))
    data = open_storage(manifest.uri).read("shard-000000.tar")
    start = data.index(b"RIFF")
    length = int.from_bytes(data[start + 4 : start + 8], "little") + 8
    stored = decode_image(data[start : start + length])
    np.testing.assert_array_equal(stored, decode_image((folder / "img000.png").read_bytes()))


def test_a_key_that_is_too_long_is_left_out_in_a_short_line(images, tmp_path):
    """As a tar's member may have it."""
    first, second, *_ = folder_sources(str(images(3)))
    longest = "ü" * (MAX_KEY_BYTES // 2)  # of two bytes each
    location = replace(second.clean, name="n" * 5_000)
    settings = PackSettings(max_skipped_share=0.5, sub_image=8, sub_image_step=8)
    manifest = pack_dataset(
        [Source(longest, first.clean), Source(f"{longest}x", location)], str(tmp_path / "out"), settings
    )
    ((source, reason),) = manifest.summary.skipped
    assert reason == "its key has 961 bytes, more than 960; give it or its folders a shorter name"
    assert source == f"{str(location)[:100]}…"
    keys = [row.key for row in manifest.rows(0)]
    assert all(key.startswith(longest) for key in keys)
    urls = [f"{manifest.uri}/{manifest.shards[0].name}"]
    samples = list(wds.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == keys
    assert max(len(f"{key}.degraded.webp".encode()) for key in keys) <= 1024
    with pytest.raises(UserError, match="its key has 961 bytes, more than 960"):
        pack_dataset([Source(f"{longest}x", location)], str(tmp_path / "none"), PackSettings(max_skipped_share=1))
