"""Each dataset is found in a folder of its published layout; a wrong folder is told what was expected and found."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.packing.importers import DATASETS, get_dataset
from pipeline.data.packing.importers.dataset_layout import find_splits
from pipeline.errors import UserError

# Per split: (clean files, degraded files) as the archives hold them, and files beside them that do not count.
LAYOUTS: dict[str, Any] = {
    "div2k": {
        "train": ["DIV2K_train_HR/0001.png", "DIV2K_train_HR/0800.png"],
        "val": ["DIV2K_valid_HR/0801.png", "DIV2K_valid_HR/0900.png"],
        "": ["DIV2K_train_LR_bicubic/X2/0001x2.png"],
    },
    "flickr2k": {"train": ["Flickr2K/Flickr2K_HR/000001.png", "Flickr2K/Flickr2K_HR/002650.png"]},
    "bsds500": {
        "train": ["BSR/BSDS500/data/images/train/100075.jpg", "BSR/BSDS500/data/images/test/2018.jpg"],
        "": ["BSR/BSDS500/data/images/val/101085.jpg"],
    },
    "wed": {"train": ["WED/pristine_images/00001.bmp", "WED/pristine_images/04744.bmp"]},
    "gopro": {
        "train": [("train/GOPR0372_07_00/sharp/000047.png", "train/GOPR0372_07_00/blur/000047.png")],
        "test": [
            ("test/GOPR0384_11_00/sharp/000001.png", "test/GOPR0384_11_00/blur/000001.png"),
            ("test/GOPR0385_11_01/sharp/000001.png", "test/GOPR0385_11_01/blur/000001.png"),
        ],
        "": ["train/GOPR0372_07_00/blur_gamma/000047.png"],
    },
    "hide": {
        "train": [("HIDE_dataset/GT/1fromGOPR0950.png", "HIDE_dataset/train/1fromGOPR0950.png")],
        "test": [
            ("HIDE_dataset/GT/2fromGOPR1096.png", "HIDE_dataset/test/test-close-ups/2fromGOPR1096.png"),
            ("HIDE_dataset/GT/3fromGOPR1096.png", "HIDE_dataset/test/test-long-shot/3fromGOPR1096.png"),
        ],
    },
    "snow100k": {
        "train": [("all/gt/beautiful_smile_00001.jpg", "all/synthetic/beautiful_smile_00001.jpg")],
        "test_l": [("test/Snow100K-L/gt/city_02.jpg", "test/Snow100K-L/synthetic/city_02.jpg")],
        "test_s": [("test/Snow100K-S/gt/city_02.jpg", "test/Snow100K-S/synthetic/city_02.jpg")],
        "": ["all/mask/beautiful_smile_00001.jpg"],
    },
    "outdoor_rain": {
        "train": [
            ("train/gt/im_0001.png", "train/in/im_0001_s80_a04.png"),
            ("train/gt/im_0001.png", "train/in/im_0001_s95_a05.png"),
            ("train/gt/im_0300.png", "train/in/im_0300_s80_a04.png"),
            ("train/gt/im_0351.png", "train/in/im_0351_s80_a04.png"),
        ],
        "test": [("Test1/gt/im_0301.png", "Test1/in/im_0301_s80_a04.png")],
        "": [  # the ground truths of Test1
            "train/gt/im_0301.png",
            "train/in/im_0301_s80_a04.png",
            "train/gt/im_0350.png",
            "train/in/im_0350_s80_a04.png",
        ],
    },
    "raindrop": {
        "train": [("train/gt/0_clean.png", "train/data/0_rain.png")],
        "test": [("test_a/gt/0_clean.png", "test_a/data/0_rain.png")],
        "test_b": [("test_b/gt/10_clean.jpg", "test_b/data/10_rain.jpg")],
    },
    "allweather": {"train": [("allweather/gt/im_0001_s80_a04.png", "allweather/input/im_0001_s80_a04.png")]},
    "reside": {
        "train": [
            ("OTS/clear/0005.jpg", "OTS/hazy/0005_0.8_0.04.jpg"),
            ("OTS/clear/0005.jpg", "OTS/hazy/0005_1_0.2.jpg"),
            ("Dehaze/original/0007.jpg", "Dehaze/synthetic/part1/0007_0.9_0.12.jpg"),
        ],
        "test": [
            ("SOTS/outdoor/clear/0001.png", "SOTS/outdoor/hazy/0001_0.8_0.2.jpg"),
            ("dehaze/target/0002.png", "dehaze/input/0002_0.85_0.08.jpg"),
        ],
        "": ["SOTS/indoor/hazy/1400_1.png", "SOTS/indoor/clear/1400.png"],
    },
    "rain100l": {
        "train": [
            ("Derain/gt/norain-1.png", "Derain/rainy/rain-1.png"),
            ("RainTrainL/norain-2.png", "RainTrainL/rain-2.png"),
        ],
        "test": [
            ("Rain100L/target/1.png", "Rain100L/input/1.png"),
            ("Rain100L/norain-002.png", "Rain100L/rainy/rain-002.png"),
        ],
        "": ["Rain100H/target/1.png", "Rain100H/input/1.png"],
    },
    "lol": {
        "train": [("our485/high/2.png", "our485/low/2.png")],
        "test": [("eval15/high/1.png", "eval15/low/1.png")],
    },
    "kodak": {"test": ["kodim01.png", "kodim24.png"]},
    "mcmaster": {"test": ["1.tif", "18.tif"]},
    "live1": {"test": ["refimgs/bikes.bmp", "refimgs/sailing1.bmp", "refimgs/womanhat.bmp"]},
    "classic5": {"test": ["baboon.bmp", "lena.bmp"]},
    "set5": {"test": ["baby_GT.png", "bird_GT.png"], "": ["baby_x2.png"]},
    "set12": {"test": ["01.png", "12.png"]},
    "set14": {"test": ["HR/baboon.png", "HR/zebra.png"], "": ["LR/baboonx4.png"]},
    "bsd68": {"test": ["test001.png", "test068.png"]},
    "bsd100": {"test": ["101085.jpg", "8023.png"]},
    "urban100": {"test": ["img_001.png", "img_100.png"], "": ["img_001x4.png"]},
    "manga109": {"test": ["AisazuNihaIrarenai.png", "ARMS.png"]},
}


def files_of(samples) -> list[tuple[str, ...]]:
    return [(sample,) if isinstance(sample, str) else sample for sample in samples]


def write(folder: Path, layout) -> None:
    for samples in layout.values():
        for sample in files_of(samples):
            for name in sample:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(b"")


def test_every_dataset_has_a_layout_here():
    missing = sorted(set(DATASETS) - set(LAYOUTS))
    assert not missing, f"add to LAYOUTS a small folder of the published layout of {', '.join(missing)}"
    assert set(LAYOUTS) == set(DATASETS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_of_the_published_layout_is_understood(tmp_path, name):
    layout = LAYOUTS[name]
    write(tmp_path / "some" / "where", layout)
    found = find_splits(get_dataset(name), str(tmp_path), allow_incomplete=True)
    assert set(found) == set(layout) - {""}
    for split, sources in found.items():
        files = {tuple(place.key for place in (s.clean, s.degraded) if place) for s in sources}
        assert files == {tuple(f"some/where/{file}" for file in sample) for sample in files_of(layout[split])}
        assert len({source.key for source in sources}) == len(sources)
        assert all(source.credit and "." not in source.key for source in sources)


@pytest.mark.parametrize("name", DATASETS)
def test_a_wrong_folder_is_told_what_was_expected_and_found(tmp_path, name):
    write(tmp_path, {"": ["holiday/2024-05-01.png", "holiday/2024-05-02.png"]})
    dataset = get_dataset(name)
    expected = re.escape(dataset.splits[0].expected)
    with pytest.raises(UserError, match=f"expected {expected}.* found 2 images in holiday/"):
        find_splits(dataset, str(tmp_path))


def test_an_incomplete_split_is_refused_unless_allowed(tmp_path):
    write(tmp_path, LAYOUTS["kodak"])
    with pytest.raises(UserError, match=r"test of Kodak has 2 samples, expected 24 .*--incomplete"):
        find_splits(get_dataset("kodak"), str(tmp_path))
    small = replace(get_dataset("kodak"), splits=(replace(get_dataset("kodak").splits[0], samples=2),))
    assert len(find_splits(small, str(tmp_path))["test"]) == 2


def test_more_images_than_published_are_refused_even_so(tmp_path):
    write(tmp_path, {"": [f"kodim{number:02d}.png" for number in range(25)]})
    with pytest.raises(UserError, match="has 25 samples, expected 24"):
        find_splits(get_dataset("kodak"), str(tmp_path), allow_incomplete=True)


def test_a_blurred_image_without_its_sharp_partner_is_refused(tmp_path):
    write(tmp_path, LAYOUTS["gopro"])
    (tmp_path / "test/GOPR0385_11_01/sharp/000001.png").unlink()
    with pytest.raises(UserError, match=r"GOPR0385_11_01/blur/000001\.png of GoPro .* has no clean partner"):
        find_splits(get_dataset("gopro"), str(tmp_path), allow_incomplete=True)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UserError, match=r"unknown dataset 'div4k'; there are: div2k, .*manga109"):
        get_dataset("div4k")


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_says_its_terms_and_where_it_comes_from(name):
    text = get_dataset(name).describe()
    assert all(part in text for part in ("cite: ", "license: ", "download: ", "seen: ", "samples"))
