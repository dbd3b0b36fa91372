"""Pack images as WebDataset shards with a manifest.

    semanir prepare --builtin --output s3://semanir/data/builtin
    semanir prepare photos/ more/ --split train --output data/mine
    semanir prepare --dataset gopro downloads/GOPRO_Large --output s3://semanir/data/gopro
    semanir prepare --list-datasets

The shards of a split lie in OUTPUT/<split>/. Running it again with the same images does nothing. Exit status: 0 packed,
1 the disk or the store failed, 2 bad input, 130 stopped by ctrl-C: the same command goes on.
"""

from __future__ import annotations

import argparse

from pipeline.options import above, at_least, number

_MAX_PIXELS = 89_478_485  # of pipeline.data.images, which a parser may not import: a test holds them together


class ListDatasets(argparse.Action):
    """Print what is known of every public dataset, and stop."""

    def __call__(self, *_: object) -> None:
        from pipeline.data.packing.importers import DATASETS

        print("\n\n".join(dataset.describe() for dataset in DATASETS.values()))
        raise SystemExit(0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("folders", nargs="*", help="image folders, s3:// prefixes or tars")
    add("--builtin", action="store_true", help="pack the built-in photographs: train, val and test")
    add("--dataset", metavar="NAME", help="the folder is this public dataset: its splits and its pairs")
    add("--incomplete", action="store_true", help="take fewer images than --dataset has")
    add("--list-datasets", action=ListDatasets, nargs=0, help="names, terms, where to download, what is expected")
    add("--output", required=True, help="folder or s3:// prefix; shards go to OUTPUT/SPLIT/")
    add("--split", default="train", help="name of the split the folders make (default: train)")
    add("--degraded", help="folder of degraded partners, with the same file names")
    add("--codec", choices=("png", "webp", "original"), default="png", help="lossless, or as they are")
    add("--sub-image", type=at_least(1), help="cut into squares of this many pixels (the field uses 480)")
    add("--sub-image-step", type=at_least(1), default=240, help="distance between squares (default: 240)")
    add("--shard-mib", type=above(0, 2**20), default=64.0, help="target size of a shard in MiB (default: 64)")
    add(
        "--max-skipped-share", type=number(0, 1), default=0.01, help="fail when more images are corrupt (default: 0.01)"
    )
    add(
        "--max-pixels",
        type=at_least(1),
        default=_MAX_PIXELS,
        help=f"larger images cannot be used (default: {_MAX_PIXELS:,})",
    )
    add("--replace", action="store_true", help="put this in the place of another dataset")
    add("--force", metavar="REASON", default="", help="push aside another packer that is lost for good; says why")
    add("--on-ray", action="store_true", help="encode on the Ray cluster of RAY_ADDRESS")


def run(options: argparse.Namespace) -> int:
    """Pack the images; returns the exit status. Raises UserError on bad input."""
    from pipeline.addresses import absolute, check_output
    from pipeline.data.packing.builtin import SPLITS, builtin_sources
    from pipeline.data.packing.console import pack_with_progress
    from pipeline.data.packing.encode import PackSettings
    from pipeline.data.packing.encode_on_ray import encode_on_ray
    from pipeline.data.packing.importers import get_dataset
    from pipeline.data.packing.importers.dataset_layout import find_splits
    from pipeline.data.packing.pack import encode_here, is_packed
    from pipeline.data.packing.sources import Source, all_sources, paired_sources
    from pipeline.errors import UserError
    from pipeline.storage import check_access

    _check(options)
    target = absolute(check_output(options.output)).rstrip("/")
    settings = PackSettings(
        codec=options.codec,
        sub_image=options.sub_image,
        sub_image_step=options.sub_image_step,
        shard_bytes=max(1, int(options.shard_mib * 2**20)),
        max_skipped_share=options.max_skipped_share,
        max_pixels=options.max_pixels,
    )
    splits: dict[str, list[Source]]
    if options.builtin:
        splits = {split: builtin_sources(split) for split in SPLITS}
    elif options.dataset:
        splits = find_splits(get_dataset(options.dataset), options.folders[0], options.incomplete, print)
    elif options.degraded:
        splits = {options.split: paired_sources(options.folders[0], options.degraded, print)}
    else:
        splits = {options.split: all_sources(options.folders, print)}
    try:
        check_access(target)
    except UserError:  # such as a mount that is read-only, which does not matter where all is there
        if "://" in target or not all(is_packed(own, f"{target}/{split}", settings) for split, own in splits.items()):
            raise
    for split, sources in splits.items():
        output = f"{target}/{split}"
        encode_all = encode_on_ray if options.on_ray else encode_here
        pack_with_progress(sources, output, settings, encode_all, options.replace, options.force)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises UserError for arguments that do not go together, or name no place."""
    from pipeline.addresses import check_bucket
    from pipeline.errors import UserError

    if "/" in options.split or options.split in ("", ".", "..") or not options.split.isprintable():
        raise UserError(
            f"--split {options.split!r} is no name of a folder below the output: give one without '/' and line breaks"
        )
    if options.sub_image and options.codec == "original":
        raise UserError("--sub-image cannot keep the original bytes: give --codec png or webp")
    for folder in options.folders:
        check_bucket("image folder", folder)
    if options.degraded:
        check_bucket("--degraded", options.degraded)
    if options.builtin == bool(options.folders):
        raise UserError("give either image folders or --builtin")
    if options.degraded and len(options.folders) != 1:
        raise UserError("--degraded pairs with exactly one folder of clean images")
    if options.dataset and (len(options.folders) != 1 or options.degraded):
        raise UserError("--dataset takes exactly one folder, and knows its pairs")
