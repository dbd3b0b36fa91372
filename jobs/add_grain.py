"""Copies of photographs with film grain, for the training of the shipped models (for maintainers).

    python jobs/add_grain.py PHOTOS GRAINY

A model that meets grain in its truth learns that it is no noise. Strength and size are drawn for each picture from its
name, so the copies are the same at every run. Exit status: 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

LEVELS = (2.0, 6.0)  # chosen: kodim18 of Kodak24, a scanned film, has about 4
SIZE = (0.5, 1.0)  # pixels: a scanner's resolution


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, help="folder of images")
    parser.add_argument("output", type=Path, help="folder for their grainy copies, PNG")
    options = parser.parse_args(arguments)
    # Heavy imports only now, so that --help answers at once.
    import numpy as np
    from PIL import Image

    from pipeline.degradations.grain import film_grain
    from pipeline.degradations.quantize import from_uint8, to_uint8

    if not options.photos.is_dir():
        print(f"error: {options.photos} is no folder", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for path in sorted(options.photos.iterdir()):
        rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
        with Image.open(path) as picture:
            image = from_uint8(np.asarray(picture.convert("RGB")))
        Image.fromarray(to_uint8(film_grain(image, rng, LEVELS, SIZE))).save(options.output / f"{path.stem}_grain.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
