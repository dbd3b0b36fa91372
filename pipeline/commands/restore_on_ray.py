"""``semanir restore --on-ray``: which options go together, the run, and its results packed as a data set."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.restoring.choice import Choice
    from pipeline.serving.batch.shard_sources import ShardSources

# What --on-ray does not do (option, attribute, remedy), and what nothing else does.
_HERE_ONLY = (
    ("--strength", "strength", "restore on this machine, or leave it out"),
    ("--as-mosaic", "as_mosaic", "restore on this machine, or leave it out"),
    ("--verify", "verify", "its workers fetch the model by themselves; restore on this machine"),
    ("--video-crf", "video_crf", "it restores no videos; restore them on this machine"),
    ("--reuse-dictionary", "reuse_dictionary", "it restores no videos; restore them on this machine"),
)
_NOT_GIVEN = {"strength": 1}  # all others have a default that is none
_ON_RAY_ONLY = (
    ("--shards", "shards", "here, pack the results with semanir prepare"),
    ("--workers", "workers", "leave it out, or give --on-ray"),
    ("--force", "force", "leave it out, or give --on-ray"),
)


def check_options(options: argparse.Namespace) -> None:
    """Raises UserError, before anything is done, for an option that would be ignored or cannot be meant."""
    from pipeline.errors import UserError

    for option, name, remedy in _HERE_ONLY if options.on_ray else _ON_RAY_ONLY:
        value = getattr(options, name)
        if value is not None and value is not False and value != _NOT_GIVEN.get(name, ""):
            kind = "not for --on-ray" if options.on_ray else "for --on-ray"
            raise UserError(f"{option} is {kind}: {remedy}")
    if options.shards is not None:
        _check_shards(options)


def _check_shards(options: argparse.Namespace) -> None:
    from pipeline.addresses import absolute, check_output
    from pipeline.errors import UserError
    from pipeline.storage import check_access

    shards, output = (f"{absolute(check_output(address)).rstrip('/')}/" for address in (options.shards, options.output))
    if shards.startswith(output) or output.startswith(shards):
        raise UserError(f"--shards {options.shards} and --output {options.output} overlap; name another place")
    check_access(shards)


def run_on_ray(options: argparse.Namespace, choice: Choice) -> int:
    """Restore on the cluster; returns the exit status."""
    from pipeline.addresses import absolute, check_output
    from pipeline.errors import UserError
    from pipeline.registry import AlteredModelError
    from pipeline.serving.batch.on_ray import Request, restore_on_ray
    from pipeline.serving.batch.shard_sources import ShardSources
    from semanir.tiling import DEFAULT_OVERLAP

    if len(choice.inputs) != 1:
        raise UserError(f"--on-ray takes one folder, S3 prefix or packed data set, not {len(choice.inputs)}")
    request = Request(
        source=absolute(choice.inputs[0]),
        output=absolute(check_output(options.output)),
        model=choice.model,
        k=options.k,
        tile=options.tile,
        overlap=DEFAULT_OVERLAP if options.overlap is None else options.overlap,
        max_pixels=options.max_pixels,
        workers=options.workers,
        force=options.force,
        device=options.device,
        overwrite=options.overwrite,
    )
    with closing(ShardSources(request.output)) as results:
        try:
            failed = restore_on_ray(request, results=None if options.shards is None else results)
        except AlteredModelError as error:
            raise UserError(str(error)) from error
        if options.shards is not None and failed:
            print(f"{options.shards}: nothing is packed, since not all were restored; the same command goes on")
        elif options.shards is not None:
            _pack(results, options)
    return 1 if failed else 0


def _pack(results: ShardSources, options: argparse.Namespace) -> None:
    """The restored files' own bytes; with ``--overwrite`` in the place of another data set."""
    from pipeline.addresses import absolute
    from pipeline.data.packing.console import pack_with_progress
    from pipeline.data.packing.encode import PackSettings
    from pipeline.data.packing.pack import Remedies, encode_here

    remedies = Remedies(
        damaged="remove these results, and run the same command again",
        taken="choose another --shards, remove that one, or give --overwrite, which restores all again too",
    )
    pack_with_progress(
        results, absolute(options.shards).rstrip("/"), PackSettings(codec="original"), encode_here, options.overwrite,
        options.force, remedies=remedies, distinct=True,
    )  # fmt: skip
