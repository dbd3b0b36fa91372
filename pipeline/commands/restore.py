"""Restore image files: with the model that comes with the package, another, or one of your own.

    semanir restore photo.jpg
    semanir restore holiday/ "scans/*.tif" --task unified_color --strength 0.7 --output restored
    semanir restore models:/semanir-denoising-color@champion holiday/ --output restored

    semanir restore models:/semanir-denoising-color@champion s3://photos/2026 --output s3://restored/2026 --on-ray

    semanir restore clip.mp4

PNG, JPEG, TIFF and WebP of 8 to 16 bits keep their format, transparency, color profile, resolution, and tags byte
for byte; what was assumed of a file, left out of its result, or lies outside what the model was made for is said in a
line. With --on-ray the workers of a Ray cluster restore one folder, S3 prefix or packed data set; the same command
continues what was interrupted and tries again what failed, and record.parquet in the output has a row per image. A
file that no such run has made is left alone, as without --on-ray: a failure "in the way", unless --overwrite is given.

Videos that are named outright (MP4, MOV, MKV, WebM; 8 to 12 bits) are restored frame by frame: each frame keeps its
time, sound and subtitles are copied, and the same command continues what was interrupted. They take the extra `video`.

Exit status: 0 all restored, now or before; 1 some were not (each is named); 2 bad input, nothing was done; 130 stopped
by ctrl-C.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.restore_on_ray import check_options, run_on_ray
from pipeline.options import at_least, number

if TYPE_CHECKING:
    from pipeline.restoring.choice import Choice
    from pipeline.restoring.files import Job
    from pipeline.restoring.restorer import Restorer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("words", nargs="+", metavar="INPUT", help="image files, folders, or patterns in quotes; a model may come first")
    add("--model", help="models:/name@alias, models:/name/version, runs:/run_id, shipped:task, or a folder")
    add("--task", help="the model that comes with the package for this task (default: unified_color)")
    add("--verify", type=Path, metavar="PUBLIC_KEY", help="refuse the model unless this key's holder signed it")
    add("--output", default="restored", help="folder for the results; with --on-ray also s3://… (default: restored)")
    add(
        "--strength",
        type=number(0, 1),
        default=1.0,
        help="0 the input, 1 the restored picture, between: mixed (default: 1)",
    )
    add("--as-mosaic", action="store_true", help="take every gray picture for a Bayer mosaic, whatever it looks like")
    add(
        "--k",
        type=at_least(1),
        help="keys per token, a knob of quality; on a CPU fewer are faster too (default: the model's)",
    )
    add("--tile", type=at_least(0), help="tile side in input pixels; 0: the whole image (default: about 256)")
    add("--overlap", type=at_least(0), help="pixels that tiles share (default: 32)")
    add("--overwrite", action="store_true", help="replace files that exist; with --on-ray restore all again")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--max-pixels", type=at_least(1), default=200_000_000, help="larger images are refused")
    add(
        "--video-crf",
        type=at_least(0, 63),
        help="videos: the encoder's constant rate factor, 0 the best (default: near lossless, 4 to 16 by codec)",
    )
    add(
        "--reuse-dictionary",
        type=at_least(1),
        metavar="N",
        help="videos: while a scene stands, find each token's keys on every N-th frame only (default: on each)",
    )
    add("--on-ray", action="store_true", help="restore one folder or S3 prefix on the Ray cluster of RAY_ADDRESS")
    add("--force", metavar="REASON", default="", help="with --on-ray: push aside a run that is lost for good; says why")
    add("--shards", metavar="ADDRESS", help="with --on-ray: then pack its results there, as a data set to train on")
    add("--workers", type=at_least(1), help="with --on-ray: at most so many (default: all that fit)")


def run(options: argparse.Namespace) -> int:
    """Restore the files; returns the exit status. Raises UserError on bad input."""
    from pipeline.restoring.choice import choose

    check_options(options)
    choice = choose(options.words, options.model, options.task)
    return run_on_ray(options, choice) if options.on_ray else _run_here(options, choice)


def _run_here(options: argparse.Namespace, choice: Choice) -> int:
    from pipeline.addresses import check_local_output
    from pipeline.allocator import TILE_BYTES, keep_freed_memory
    from pipeline.errors import UserError
    from pipeline.registry import AlteredModelError, pull
    from pipeline.restoring.files import VIDEO_SUFFIXES, find_jobs
    from pipeline.restoring.report import report
    from pipeline.restoring.restore_files import check_writable, restore_files
    from pipeline.restoring.restorer import Restorer
    from semanir.tiling import DEFAULT_OVERLAP

    output = Path(check_local_output(options.output, "give --on-ray for s3://, or copy the results there afterward"))
    jobs = find_jobs(choice.inputs, output, print)
    pictures = [job for job in jobs if job.source.suffix.lower() not in VIDEO_SUFFIXES]
    videos = [job for job in jobs if job.source.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        import pipeline.video.restore_videos  # noqa: F401 - told before a model is loaded that PyAV is missing

        if options.as_mosaic:
            raise UserError("--as-mosaic is for pictures; restore videos without it")
    else:
        for option, value in (
            ("--video-crf", options.video_crf),
            ("--reuse-dictionary", options.reuse_dictionary),
        ):
            if value is not None:
                raise UserError(f"{option} {value} is for videos, and no input is one; leave it out")
    check_writable(output)
    keep_freed_memory(TILE_BYTES, one_pool=True)
    try:
        folder = pull(choice.model, verify=options.verify)
        restorer = Restorer(
            folder,
            k=options.k,
            tile=options.tile,
            overlap=DEFAULT_OVERLAP if options.overlap is None else options.overlap,
            device=options.device,
            strength=options.strength,
            as_mosaic=options.as_mosaic,
        )
    except AlteredModelError as error:
        raise UserError(str(error)) from error
    if line := assumed(choice, restorer.setting):
        print(line)
    failed = 0
    if pictures:
        outcomes = restore_files(restorer, pictures, overwrite=options.overwrite, max_pixels=options.max_pixels)
        failed += report(outcomes, pictures, restorer=restorer)
    if videos:
        failed += _restore_videos(options, restorer, videos)
    return 1 if failed else 0


def _restore_videos(options: argparse.Namespace, restorer: Restorer, jobs: list[Job]) -> int:
    """Returns how many were not restored."""
    from pipeline.video.frame_progress import VideoReport
    from pipeline.video.restore_videos import VideoSettings, restore_videos

    settings = VideoSettings(
        crf=options.video_crf,
        max_pixels=options.max_pixels,
        overwrite=options.overwrite,
        reuse=options.reuse_dictionary,
    )
    report = VideoReport()
    return report.show(restore_videos(restorer, jobs, settings, report.progress))


def assumed(choice: Choice, setting: str) -> str:
    """The line that says which model works, and what it takes to be wrong with the pictures; "" where nothing does."""
    parts = [f"restores {setting}" if setting else "", choice.chosen_by]
    said = "; ".join(part for part in parts if part)
    return f"{choice.model}: {said}" if said else ""
