"""Measure a model, or the classical baselines, on a packed test set; or check the metrics against published figures.

    semanir evaluate models:/semanir-denoising-color@champion \\
        --images s3://bucket/sets/bsd68 --set sigma=25 --k 4 8 16 --output s3://bucket/results/bsd68
    semanir evaluate bicubic --task sr_x2 --images sets/set5 --output results/set5 --here --no-mlflow
    semanir evaluate --calibrate --images test-sets/* --output calibration --here
    semanir evaluate models:/semanir-jpeg-color@champion --harm --images sets/kodak24 --output results/harm

Killed or repeated, the same command measures only the images that are missing. Exit status: 0 done, 1 the calibration
found an unexplained difference, 2 bad input.
"""

from __future__ import annotations

import argparse
import sys

from pipeline.options import above, at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("model", nargs="?", help="models:/name@alias, runs:/id, a weights or checkpoint folder (local or s3://), a "
        "baseline (input, bicubic, bilinear, malvar …), or 'baselines' for all of the task's")  # fmt: skip
    add("--images", nargs="+", required=True, help="a packed test set; with --calibrate sets, or folders of images")
    add("--output", required=True, help="folder or s3:// prefix for the results")
    add("--task", help="task name (default: what a registered model says)")
    add("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="e.g. sigma=25, quality=10")
    add("--dataset", help="the set's published name, e.g. Set5 (default: the last part of its address)")
    add(
        "--k", type=at_least(1), nargs="+", default=[], help="keys per token, one table row each (default: the model's)"
    )
    add("--tile", type=at_least(1), help="tile side in input pixels (default: about 256)")
    add("--overlap", type=at_least(0), help="pixels that tiles share (default: 32)")
    add("--self-ensemble", action="store_true", help="mean over eight flips and turns")
    add("--pictures", type=at_least(0), default=4, help="draw the first so many images (default: 4)")
    add(
        "--key-maps",
        type=at_least(0),
        nargs=3,
        metavar=("IMAGE", "ROW", "COLUMN"),
        help="draw the keys that a pixel uses",
    )
    add("--lpips", metavar="FILE", help="measure LPIPS too, with weights from a safetensors file, local or s3:// "
        "(pipeline/metrics/lpips.py says how to make it)")  # fmt: skip
    add("--protocol", default="benchmark", help="benchmark: as the single-task papers measure (default); all_in_one: "
        "color images as PromptIR and those after it do, beside their figures")  # fmt: skip
    add("--workers", type=at_least(1), help="at most so many Ray tasks at once (default: all that fit)")
    add("--cpus-per-worker", type=above(0, 1024), default=1.0, help="CPUs of a Ray task (default: 1)")
    add("--gpu", action="store_true", help="a GPU for each Ray task")
    add("--here", action="store_true", help="in this process, without Ray")
    add("--experiment", default="semanir-evaluation", help="MLflow experiment (default: semanir-evaluation)")
    add("--no-mlflow", action="store_true", help="log nothing to MLflow")
    add("--harm", action="store_true", help="restore over the whole range of the task's strength, nothing wrong "
        "included, and draw the change in PSNR; a registered version then carries the curve")  # fmt: skip
    add("--calibrate", action="store_true", help="compare the model-free baselines with their published figures")


def run(options: argparse.Namespace) -> int:
    """Measure; returns the exit status. Raises UserError on bad input."""
    _check(options)
    from rich.console import Console

    from pipeline.addresses import absolute, check_output
    from pipeline.cluster import connect
    from pipeline.errors import UserError
    from pipeline.evaluation.command import Request, Where, calibrate, evaluate_model
    from pipeline.evaluation.harm_over_strengths import evaluate_harm
    from pipeline.registry import AlteredModelError
    from pipeline.scoring.evaluator import map_here, map_on_ray
    from semanir.tiling import DEFAULT_OVERLAP

    console = Console(width=None if sys.stdout.isatty() else 120)
    device = "cuda" if options.gpu else "cpu"
    problems: list[str] = []
    if options.here:
        where = Where(map_here, on_ray=False, device=device)
    else:
        connect()
        mapper = map_on_ray(options.workers, options.cpus_per_worker, num_gpus=1 if options.gpu else 0)
        where = Where(mapper, on_ray=True, device=device)
    # Workers have working folders of their own.
    images, output = [absolute(uri) for uri in options.images], absolute(check_output(options.output))
    overlap = DEFAULT_OVERLAP if options.overlap is None else options.overlap
    if options.calibrate:
        text, problems = calibrate(images, output, where, console)
    else:
        request = Request(
            model=options.model, images=images[0], output=output, task=options.task,
            overrides=tuple(options.overrides), dataset=options.dataset, ks=tuple(options.k), tile=options.tile,
            overlap=overlap, self_ensemble=options.self_ensemble, pictures=options.pictures,
            key_maps=tuple(options.key_maps) if options.key_maps else None,
            lpips=options.lpips, protocol=options.protocol,
            experiment=None if options.no_mlflow else options.experiment,
        )  # fmt: skip
        try:
            text = (evaluate_harm if options.harm else evaluate_model)(request, where, console)
        except AlteredModelError as error:
            raise UserError(str(error)) from error
    print(text)
    for problem in problems:
        print(f"differs: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _check(options: argparse.Namespace) -> None:
    """Raises UserError for arguments that do not go together."""
    from pipeline.errors import UserError

    if options.harm and (options.calibrate or options.key_maps or options.lpips or options.protocol != "benchmark"):
        raise UserError("--harm measures PSNR alone; leave --calibrate, --key-maps, --lpips and --protocol out")
    if options.calibrate and options.lpips:
        raise UserError("--calibrate compares PSNR and SSIM only; leave --lpips out")
    if options.calibrate == bool(options.model) or (len(options.images) > 1 and not options.calibrate):
        raise UserError("give a model and one set, or --calibrate and any number of sets")
