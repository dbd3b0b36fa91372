"""Restore image files with a registered model or a weights folder.

    semanir restore models:/semanir-denoising-color@champion holiday/ "scans/*.tif" --output restored

    semanir restore models:/semanir-denoising-color@champion s3://photos/2026 --output s3://restored/2026 --on-ray

PNG, JPEG, TIFF and WebP of 8 to 16 bits keep their format, transparency, color profile, resolution, and tags byte
for byte; what was assumed of a file or left out of its result is said in a line. With --on-ray the workers of a Ray
cluster restore one folder, S3 prefix or packed data set; the same command continues what was interrupted and tries
again what failed, and record.parquet in the output has a row per image. Exit status: 0 all restored, now or before;
1 some were not (each is named); 2 bad input, nothing was done; 130 stopped by ctrl-C.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("model", help="models:/name@alias, models:/name/version, runs:/run_id, or a folder")
    add("inputs", nargs="+", help="image files, folders, or patterns in quotes")
    add("--output", required=True, help="folder for the restored images; with --on-ray also s3://…")
    add("--k", type=int, help="keys per token, a knob of quality, in large windows of time (default: the model's)")
    add("--tile", type=int, help="tile side in input pixels; 0: the whole image (default: ~256)")
    add("--overlap", type=int, default=32, help="pixels that tiles share (default: 32)")
    add("--overwrite", action="store_true", help="replace results that exist")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--max-pixels", type=int, default=200_000_000, help="larger images are refused")
    add("--on-ray", action="store_true", help="restore one folder or S3 prefix on the Ray cluster of RAY_ADDRESS")
    add("--force", metavar="REASON", default="", help="with --on-ray: push aside a run that is lost for good; says why")
    add("--workers", type=int, help="with --on-ray: at most so many (default: all that fit)")


def run(options: argparse.Namespace) -> int:
    """Restore the files; returns the exit status. Raises UserError on bad input."""
    return _run_on_ray(options) if options.on_ray else _run_here(options)


def _run_here(options: argparse.Namespace) -> int:
    from pipeline.addresses import check_local_output
    from pipeline.errors import UserError
    from pipeline.registry import AlteredModelError, pull
    from pipeline.restoring.files import find_jobs
    from pipeline.restoring.report import report
    from pipeline.restoring.restorer import Restorer
    from pipeline.restoring.run import check_writable, restore_files

    output = Path(check_local_output(options.output, "give --on-ray for s3://, or copy the results there afterwards"))
    jobs = find_jobs(options.inputs, output, print)
    check_writable(output)
    try:
        folder = pull(options.model)
        restorer = Restorer(folder, k=options.k, tile=options.tile, overlap=options.overlap, device=options.device)
    except AlteredModelError as error:
        raise UserError(str(error)) from error
    outcomes = restore_files(restorer, jobs, overwrite=options.overwrite, max_pixels=options.max_pixels)
    return 1 if report(outcomes, total=len(jobs), restorer=restorer) else 0


def _run_on_ray(options: argparse.Namespace) -> int:
    from pipeline.addresses import absolute, check_output
    from pipeline.errors import UserError
    from pipeline.registry import AlteredModelError
    from pipeline.serving.batch.run import Request, restore_on_ray

    if len(options.inputs) != 1:
        raise UserError(f"--on-ray takes one folder, S3 prefix or packed data set, not {len(options.inputs)}")
    request = Request(
        source=absolute(options.inputs[0]),
        output=absolute(check_output(options.output)),
        model=options.model,
        k=options.k,
        tile=options.tile,
        overlap=options.overlap,
        max_pixels=options.max_pixels,
        workers=options.workers,
        force=options.force,
        device=options.device,
    )
    try:
        return 1 if restore_on_ray(request) else 0
    except AlteredModelError as error:
        raise UserError(str(error)) from error
