"""The choice of an encoder's pixel format."""

from __future__ import annotations

import pytest

from pipeline.video.encoding import nearest_format

X264 = [
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuv444p",
    "nv12",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
    "gray",
    "gray10le",
]


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("yuv422p", X264, "yuv422p"),
        ("yuvj420p", X264, "yuvj420p"),
        ("yuv422p12le", X264, "yuv422p10le"),
        ("yuv411p", X264, "yuv422p"),
        ("gbrp", X264, "yuv444p"),
        ("rgb24", X264, "yuv444p"),
        ("gbrp10le", X264, "yuv444p10le"),
        ("yuv422p", ["yuv420p", "yuv420p10le"], "yuv420p"),
        ("yuv420p", ["yuv422p10le", "yuv444p10le", "yuva444p10le"], "yuv422p10le"),
        ("yuv444p12le", ["yuv422p10le", "yuv444p10le", "yuva444p10le"], "yuv444p10le"),
    ],
)  # fmt: skip
def test_the_least_is_lost(wanted: str, offered: list[str], chosen: str) -> None:
    assert nearest_format(wanted, offered) == chosen
