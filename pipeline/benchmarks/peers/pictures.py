"""The same small pictures for every library: crops of the photographs that come with the package, and their digests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.benchmarks.peers.consumer import digest
from pipeline.data.images import decode_image, encode_image
from pipeline.data.packing.builtin import Split, builtin_sources

COLOR: tuple[Split, ...] = ("train", "test")


def make_pictures(folder: Path, count: int, side: int, jpeg_quality: int | None = None) -> dict[str, str]:
    """Write ``count`` different square files of ``side`` pixels; returns each one's key and digest of its pixels.

    jpeg_quality: 1 to 95, of JPEG files; None: PNG.

    The digests are Pillow's decoding of the written files, which is what the peers use.
    """
    folder.mkdir(parents=True)
    photographs = [decode_image(source.clean.read()) for split in COLOR for source in builtin_sources(split)]
    photographs = [pixels for pixels in photographs if min(pixels.shape[:2]) > side and pixels.shape[2] == 3]
    each = math.ceil(count / len(photographs))
    truth = {}
    for number in range(count):
        pixels, turn = photographs[number % len(photographs)], number // len(photographs)
        height, width = pixels.shape[0] - side, pixels.shape[1] - side
        # The golden ratio's multiples spread over the width, so that no two crops of a photograph are the same.
        top, left = turn * height // each, int(width * (turn * 0.618034 % 1))
        crop = pixels[top : top + side, left : left + side].copy()
        if jpeg_quality is None:
            path = folder / f"p{number:06d}.png"
            path.write_bytes(encode_image(crop))
        else:
            path = folder / f"p{number:06d}.jpg"
            Image.fromarray(crop).save(path, quality=jpeg_quality)
        with Image.open(path) as image:
            truth[path.stem] = digest(np.asarray(image.convert("RGB")))
    return truth
