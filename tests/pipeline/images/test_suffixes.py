"""The endings of image files: one list, of which each reader takes its formats."""

from __future__ import annotations

import pytest

from pipeline.data import images
from pipeline.images.read import RESTORED_FORMATS
from pipeline.images.suffixes import suffixes_of
from pipeline.restoring import read


def test_what_is_restored_can_be_packed() -> None:
    assert set(suffixes_of(RESTORED_FORMATS)) == read.SUFFIXES < set(images.SUFFIXES)
    assert {suffix.lower().lstrip(".") for suffix in images.SUFFIXES} == {
        "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "tif", "tiff", "ppm", "pgm",
    }  # fmt: skip


def test_a_format_without_endings_is_a_slip() -> None:
    with pytest.raises(KeyError, match="GIF"):
        suffixes_of(["PNG", "GIF"])
