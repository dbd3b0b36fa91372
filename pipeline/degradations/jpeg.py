"""JPEG through a real encoder: Pillow's libjpeg(-turbo), baseline, standard tables."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL.Image
from numpy.random import Generator

from pipeline.degradations.image import Image, check_image
from pipeline.degradations.quantize import from_uint8, to_uint8
from pipeline.degradations.ranges import IntRange, draw_int


def jpeg(image: Image, rng: Generator, quality: IntRange, subsampling: str = "4:2:0") -> Image:
    """Compress and decompress; the quality factor (1..100) is drawn once per image from ``quality``.

    Color is coded as YCbCr with ``subsampling`` of its chroma (4:2:0 is the benchmarks' setting; cameras write 4:2:2
    and 4:4:4 too), gray as a single component.
    """
    check_image(image)
    factor = draw_int(rng, quality)
    pixels = to_uint8(image)
    coded = BytesIO()
    if image.shape[2] == 1:
        PIL.Image.fromarray(pixels[:, :, 0]).save(coded, "JPEG", quality=factor)
    else:
        PIL.Image.fromarray(pixels).save(coded, "JPEG", quality=factor, subsampling=subsampling)
    coded.seek(0)
    with PIL.Image.open(coded) as decoded:
        return from_uint8(np.asarray(decoded)).reshape(image.shape)
