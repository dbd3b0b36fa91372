"""The sample pictures of the page, made anew: python -m pipeline.serving.page_samples

Cuts of photographs that lie inside scikit-image and that no shipped model learned from, with their truth beside them.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.degradations.image import Image as Pixels
from pipeline.degradations.noise import gaussian_noise
from pipeline.degradations.quantize import from_uint8, to_uint8
from pipeline.degradations.soft import soften

FOLDER = Path(__file__).resolve().parent / "page" / "samples"
SEED = 20240417
SIDE = 192


def samples() -> dict[str, bytes]:
    """File name -> bytes; ``samples.json`` says what they are."""
    import skimage

    rng = np.random.Generator(np.random.Philox(key=SEED))
    cat = _cut(skimage.data.chelsea(), 60, 130)
    cup = _cut(skimage.data.coffee(), 120, 200)
    rocket = _cut(skimage.data.rocket(), 150, 240)
    noisy = to_uint8(gaussian_noise(cat, rng, (25.0, 25.0)))
    soft = to_uint8(soften(rocket, rng, (1.0, 1.0)))
    files = {"cat-noisy.png": _png(noisy), "cup-jpeg.jpg": _jpeg(to_uint8(cup), 10), "rocket-soft.png": _png(soft)}
    truths = {"cat.webp": cat, "cup.webp": cup, "rocket.webp": rocket}
    listed = [
        _entry("Cat with noise, σ 25", "cat-noisy.png", "cat.webp", "Chelsea, by Stefan van der Walt, CC0"),
        _entry("Cup as JPEG of quality 10", "cup-jpeg.jpg", "cup.webp", "Coffee, by Rachel Michetti, CC0"),
        _entry("Rocket, soft by one pixel", "rocket-soft.png", "rocket.webp", "Falcon 9, by SpaceX, CC0"),
    ]
    text = json.dumps(listed, indent=1, ensure_ascii=False) + "\n"
    return files | {name: _webp(to_uint8(pixels)) for name, pixels in truths.items()} | {"samples.json": text.encode()}


def _entry(name: str, file: str, truth: str, credit: str) -> dict[str, str]:
    return {"name": name, "file": file, "truth": truth, "credit": f"Photograph: {credit}, from scikit-image"}


def _cut(levels: np.ndarray, top: int, left: int) -> Pixels:
    return from_uint8(np.ascontiguousarray(levels[top : top + SIDE, left : left + SIDE]))


def _png(levels: np.ndarray) -> bytes:
    return _saved(levels, "PNG", optimize=True)


def _jpeg(levels: np.ndarray, quality: int) -> bytes:
    return _saved(levels, "JPEG", quality=quality)


def _webp(levels: np.ndarray) -> bytes:
    return _saved(levels, "WEBP", lossless=True, quality=100, method=6)


def _saved(levels: np.ndarray, kind: str, **options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(levels).save(file, kind, **options)
    return file.getvalue()


def main() -> None:
    """Write them into the package."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in samples().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
