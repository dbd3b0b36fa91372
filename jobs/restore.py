"""Restore image files with a registered model or a weights folder.

python jobs/restore.py models:/semanir-denoising-color@champion holiday/ "scans/*.tif" --output restored

PNG, JPEG, TIFF and WebP of 8 or 16 bits keep their format, bit depth, transparency, color profile and EXIF
tags. Exit code 0: all restored; 1: some were not (each is named); 2: bad input, nothing was done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(arguments: list[str] | None = None) -> int:
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    parser.add_argument("model", help="models:/name@alias, models:/name/version, runs:/run_id, or a folder")
    parser.add_argument("inputs", nargs="+", help="image files, folders, or patterns in quotes")
    parser.add_argument("--output", required=True, type=Path, help="folder for the restored images")
    parser.add_argument("--k", type=int, help="keys per token: fewer is faster (default: the model's)")
    parser.add_argument("--tile", type=int, help="tile side in input pixels; 0: the whole image (default: ~256)")
    parser.add_argument("--overlap", type=int, default=32, help="pixels that tiles share (default: 32)")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--max-pixels", type=int, default=200_000_000, help="larger images are refused")
    options = parser.parse_args(arguments)

    from pipeline.errors import UserError
    from pipeline.registry import AlteredModelError, pull
    from pipeline.restoring.files import find_jobs
    from pipeline.restoring.report import report
    from pipeline.restoring.restorer import Restorer
    from pipeline.restoring.run import check_writable, restore_files

    try:
        jobs = find_jobs(options.inputs, options.output)
        check_writable(options.output)
        folder = pull(options.model)
        restorer = Restorer(folder, k=options.k, tile=options.tile, overlap=options.overlap, device=options.device)
    except (UserError, AlteredModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    outcomes = restore_files(restorer, jobs, overwrite=options.overwrite, max_pixels=options.max_pixels)
    return 1 if report(outcomes, total=len(jobs)) else 0


if __name__ == "__main__":
    sys.exit(main())
