"""Mutated image files and tars: whatever the bytes, an image, or the one exception that names the file's fault.

python -m tests.pipeline.images.fuzz 200000      # all formats in turn, with the committed seeds
"""

from __future__ import annotations

import io
import resource
import sys
import tarfile
from collections.abc import Callable

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from pipeline.data.faults import DamagedSample
from pipeline.data.images import BadImage, decode_image
from pipeline.data.manifest import Row
from pipeline.data.spans import SpanReader
from pipeline.images.levels import UnusableImageError
from pipeline.restoring.read import read_picture
from pipeline.restoring.write import encode

SEED = 20_261_125
MAX_PIXELS = 4096
MEMORY_BYTES = 512 << 20  # above what the process had before the first input
SIDE = 12


def examples() -> dict[str, bytes]:
    """One small file of each kind that is read, with everything that travels in it."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    deep = rng.integers(0, 65536, (SIDE, SIDE, 3), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    exif.get_ifd(0x8769)[0xA002] = SIDE
    files: dict[str, bytes] = {}

    def save(name: str, picture: Image.Image, kind: str, **options: object) -> None:
        out = io.BytesIO()
        picture.save(out, kind, **options)
        files[name] = out.getvalue()

    save("png", image, "PNG", exif=exif, dpi=(72, 72), icc_profile=b"profile" * 20)
    save("png-palette", image.quantize(8), "PNG", transparency=1)
    save("jpeg", image, "JPEG", exif=exif, comment=b"a comment", dpi=(72, 72))
    save("jpeg-progressive", image.convert("L"), "JPEG", progressive=True)
    save("jpeg-print", image.convert("CMYK"), "JPEG")
    save("phone", image, "MPO", save_all=True, append_images=[image.resize((4, 4))])
    save("webp", image, "WEBP", lossless=True, exif=exif)
    save("webp-lossy", image.convert("RGBA"), "WEBP", quality=50)
    save("tiff-palette", image.quantize(8), "TIFF")
    save("tiff-jpeg", image, "TIFF", compression="jpeg")
    save("bmp", image, "BMP")
    save("ppm", image, "PPM")
    files["png16"] = bytes(imagecodecs.png_encode(deep))
    for name, options in {
        "tiff": {}, "tiff-lzw": {"compression": "lzw"}, "tiff-zlib": {"compression": "zlib", "predictor": True},
        "tiff-planes": {"planarconfig": "separate"}, "tiff-big": {"bigtiff": True, "byteorder": ">"},
        "tiff-tiles": {"tile": (16, 16)},
    }.items():  # fmt: skip
        out = io.BytesIO()
        values = deep.transpose(2, 0, 1) if name == "tiff-planes" else deep
        tifffile.imwrite(out, values, photometric="rgb", extratags=[(315, "s", 0, "Jane", True)], **options)
        files[name] = out.getvalue()
    out = io.BytesIO()
    tifffile.imwrite(out, deep[:, :, 0] >> 4, photometric="miniswhite", bitspersample=12)
    files["tiff-12"] = out.getvalue()
    return files


def span(content: bytes) -> bytes:
    """A sample's part of a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("k.clean.png")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        end = tar.offset
    return out.getvalue()[:end]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: bits, bytes, numbers at their limits, pieces cut, doubled or moved."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, max(1, len(changed) if rng.random() < 0.5 else min(len(changed), 256))))
        kind = int(rng.integers(0, 7))
        if kind == 0 and changed:
            changed[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1 and changed:
            changed[at] = int(rng.integers(0, 256))
        elif kind == 2:
            limit = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)[int(rng.integers(0, 8))]
            width = (1, 2, 4)[int(rng.integers(0, 3))]
            value = (limit & ((1 << 8 * width) - 1)).to_bytes(width, "big" if rng.random() < 0.5 else "little")
            changed[at : at + width] = value
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            del changed[at : at + int(rng.integers(1, 32))]
        elif kind == 5:
            changed[at:at] = changed[at : at + int(rng.integers(1, 64))]
        else:
            other = int(rng.integers(0, max(1, len(changed))))
            changed[at : at + 16] = changed[other : other + 16]
    return bytes(changed)


def read_all(data: bytes) -> None:
    """Restoring's reader and writer, and training's."""
    try:
        encode(read_picture(data, MAX_PIXELS))
    except UnusableImageError as error:
        check_message(str(error))
    try:
        decode_image(data, MAX_PIXELS)
    except BadImage as error:
        check_message(str(error))


def read_span(data: bytes) -> None:
    """A tar span as training reads it, after its digest was checked: so as if the packer had been fooled."""
    row = Row(key="k", offset=0, length=len(data), digest=b"", height=SIDE, width=SIDE, channels=3, degraded=False)
    try:
        SpanReader("set", "shard", MAX_PIXELS).decode(data, row)
    except DamagedSample as error:
        check_message(str(error))


def check_message(text: str) -> None:
    """One line that a person can read."""
    if not text.strip() or "\n" in text or len(text) > 1000:
        raise AssertionError(f"no line for a person: {text[:200]!r}")


def run(count: int, seed: int = SEED) -> dict[str, int]:
    """``count`` mutated inputs, the kinds in turn; how many of each kind. Raises what no caller is told of."""
    cases: list[tuple[str, bytes, Callable[[bytes], None]]] = [(n, d, read_all) for n, d in examples().items()]
    cases.append(("tar", span(examples()["png"]), read_span))
    for _, data, read in cases:
        read(data)
    before = _peak()
    counts = dict.fromkeys((name for name, _, _ in cases), 0)
    for number in range(count):
        name, data, read = cases[number % len(cases)]
        mutated = mutate(data, np.random.default_rng((seed, number)))
        try:
            read(mutated)
        except BaseException as error:
            raise AssertionError(f"input {number} of seed {seed} ({name}): {type(error).__name__}: {error}") from error
        counts[name] += 1
        if _peak() - before > MEMORY_BYTES:
            raise AssertionError(f"input {number} of seed {seed} ({name}) took {(_peak() - before) >> 20} MiB")
    return counts


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.stdout.write(f"{run(int(sys.argv[1]), *map(int, sys.argv[2:3]))}\n")
