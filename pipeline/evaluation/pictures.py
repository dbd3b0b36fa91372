"""Results side by side, with the same detail of each enlarged."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from pipeline.degradations.image import Image
from pipeline.degradations.quantize import to_uint8
from pipeline.scoring.evaluator import Panel

CROP = 64  # side of the enlarged detail, pixels
ZOOM = 4
TEXT_HEIGHT = 20
FONT_SIZE = 13
MARK = (255, 40, 40)


def draw_panels(panels: Sequence[Panel]) -> bytes:
    """A PNG: the last panel (the truth) whole with the detail marked, then each panel's detail, enlarged 4 times.

    The detail is where the truth has most texture, the same place for all.
    """
    truth = panels[-1].image
    top, left, side = busiest_crop(truth)
    height = ZOOM * side
    whole = _pil(truth)
    draw = ImageDraw.Draw(whole)
    draw.rectangle((left, top, left + side - 1, top + side - 1), outline=MARK, width=2)
    whole.thumbnail((4 * height, height))
    font = ImageFont.load_default(FONT_SIZE)
    sheet = PilImage.new("RGB", (whole.width + len(panels) * (height + 4), height + TEXT_HEIGHT), "white")
    sheet.paste(whole, (0, TEXT_HEIGHT))
    write = ImageDraw.Draw(sheet)
    for number, panel in enumerate(panels):
        x = whole.width + 4 + number * (height + 4)
        detail = _pil(panel.image[top : top + side, left : left + side])
        sheet.paste(detail.resize((height, height), PilImage.Resampling.NEAREST), (x, TEXT_HEIGHT))
        figure = "" if panel.score is None else f": {panel.score.psnr_db:.2f} dB"
        write.text((x, 2), panel.title + figure, fill="black", font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def busiest_crop(image: Image, side: int = CROP) -> tuple[int, int, int]:
    """(top, left, side) of the square with the largest variance; half-overlapping squares are compared."""
    height, width = image.shape[:2]
    side = min(side, height, width)
    step = max(1, side // 2)
    corners = [(top, left) for top in range(0, height - side + 1, step) for left in range(0, width - side + 1, step)]
    gray = image.mean(axis=2, dtype=np.float64)
    top, left = max(corners, key=lambda corner: gray[corner[0] : corner[0] + side, corner[1] : corner[1] + side].var())
    return top, left, side


def _pil(image: Image) -> PilImage.Image:
    levels = to_uint8(image)
    return PilImage.fromarray(np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3))))


def fit(picture: bytes, width: int) -> bytes:
    """A PNG that is at most ``width`` pixels wide, for pages that show pictures as large as they are."""
    buffer = io.BytesIO()
    with PilImage.open(io.BytesIO(picture)) as image:
        image.thumbnail((width, image.height))
        image.save(buffer, "PNG")
    return buffer.getvalue()
