"""Restore image files with a registered model or a weights folder.

    semanir restore models:/semanir-denoising-color@champion holiday/ "scans/*.tif" --output restored

PNG, JPEG, TIFF and WebP of 8 or 16 bits keep their format, bit depth, transparency, color profile and EXIF
tags. Exit status: 0 all restored, 1 some were not (each is named), 2 bad input, nothing was done.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("model", help="models:/name@alias, models:/name/version, runs:/run_id, or a folder")
    add("inputs", nargs="+", help="image files, folders, or patterns in quotes")
    add("--output", required=True, type=Path, help="folder for the restored images")
    add("--k", type=int, help="keys per token: fewer is faster (default: the model's)")
    add("--tile", type=int, help="tile side in input pixels; 0: the whole image (default: ~256)")
    add("--overlap", type=int, default=32, help="pixels that tiles share (default: 32)")
    add("--overwrite", action="store_true", help="replace results that exist")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--max-pixels", type=int, default=200_000_000, help="larger images are refused")


def run(options: argparse.Namespace) -> int:
    """Restore the files; returns the exit status. Raises UserError on bad input."""
    from pipeline.errors import UserError
    from pipeline.registry import AlteredModelError, pull
    from pipeline.restoring.files import find_jobs
    from pipeline.restoring.report import report
    from pipeline.restoring.restorer import Restorer
    from pipeline.restoring.run import check_writable, restore_files

    jobs = find_jobs(options.inputs, options.output)
    check_writable(options.output)
    try:
        folder = pull(options.model)
        restorer = Restorer(folder, k=options.k, tile=options.tile, overlap=options.overlap, device=options.device)
    except AlteredModelError as error:
        raise UserError(str(error)) from error
    outcomes = restore_files(restorer, jobs, overwrite=options.overwrite, max_pixels=options.max_pixels)
    return 1 if report(outcomes, total=len(jobs)) else 0
