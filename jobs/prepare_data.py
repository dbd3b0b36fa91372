"""Pack images as WebDataset shards with a manifest.

    python jobs/prepare_data.py --builtin --output s3://semanir/data/builtin
    python jobs/prepare_data.py photos/ more/ --split train --output data/mine
    python jobs/prepare_data.py --dataset gopro downloads/GOPRO_Large --output s3://semanir/data/gopro
    python jobs/prepare_data.py --list-datasets

The shards of a split lie in OUTPUT/<split>/. Running it again with the same images does nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ListDatasets(argparse.Action):
    """Print what is known of every public dataset, and stop."""

    def __call__(self, *_: object) -> None:
        from pipeline.data.importers import DATASETS

        print("\n\n".join(dataset.describe() for dataset in DATASETS.values()))
        raise SystemExit(0)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Pack images as WebDataset shards with a manifest.")
    parser.add_argument("folders", nargs="*", help="image folders, s3:// prefixes or tars")
    parser.add_argument("--builtin", action="store_true", help="pack the built-in photographs: train, val and test")
    parser.add_argument("--dataset", metavar="NAME", help="the folder is this public dataset: its splits and its pairs")
    parser.add_argument("--incomplete", action="store_true", help="take fewer images than --dataset has")
    parser.add_argument(
        "--list-datasets", action=ListDatasets, nargs=0, help="names, terms, where to download, what is expected"
    )
    parser.add_argument("--output", required=True, help="folder or s3:// prefix; shards go to OUTPUT/SPLIT/")
    parser.add_argument("--split", default="train", help="name of the split the folders make (default: train)")
    parser.add_argument("--degraded", help="folder of degraded partners, with the same file names")
    parser.add_argument("--codec", choices=("png", "webp", "original"), default="png", help="lossless, or as they are")
    parser.add_argument("--sub-image", type=int, help="cut into squares of this many pixels (the field uses 480)")
    parser.add_argument("--sub-image-step", type=int, default=240, help="distance between squares (default: 240)")
    parser.add_argument("--shard-mib", type=float, default=64, help="target size of a shard in MiB (default: 64)")
    parser.add_argument(
        "--max-skipped-share",
        type=float,
        default=0.01,
        help="fail when more of the images are corrupt (default: 0.01)",
    )
    parser.add_argument("--replace", action="store_true", help="put this in the place of another dataset")
    parser.add_argument("--on-ray", action="store_true", help="encode on the Ray cluster of RAY_ADDRESS")
    parsed = parser.parse_args(arguments)
    if parsed.builtin == bool(parsed.folders):
        parser.error("give either image folders or --builtin")
    if parsed.degraded and len(parsed.folders) != 1:
        parser.error("--degraded pairs with exactly one folder of clean images")
    if parsed.dataset and (len(parsed.folders) != 1 or parsed.degraded):
        parser.error("--dataset takes exactly one folder, and knows its pairs")
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    options = parse(arguments)
    # Heavy imports only now, so that --help answers at once.
    from pipeline.data.builtin import SPLITS, builtin_sources
    from pipeline.data.encode import PackSettings
    from pipeline.data.encode_on_ray import encode_on_ray
    from pipeline.data.importers import get_dataset
    from pipeline.data.importers.layout import find_splits
    from pipeline.data.pack import encode_here
    from pipeline.data.pack_console import pack_with_progress
    from pipeline.data.sources import Source, all_sources, paired_sources
    from pipeline.errors import UserError
    from pipeline.storage import check_access

    try:
        settings = PackSettings(
            codec=options.codec,
            sub_image=options.sub_image,
            sub_image_step=options.sub_image_step,
            shard_bytes=int(options.shard_mib * 2**20),
            max_skipped_share=options.max_skipped_share,
        )
        splits: dict[str, list[Source]]
        if options.builtin:
            splits = {split: builtin_sources(split) for split in SPLITS}
        elif options.dataset:
            splits = find_splits(get_dataset(options.dataset), options.folders[0], options.incomplete)
        elif options.degraded:
            splits = {options.split: paired_sources(options.folders[0], options.degraded)}
        else:
            splits = {options.split: all_sources(options.folders)}
        check_access(options.output)
        for split, sources in splits.items():
            output = f"{options.output.rstrip('/')}/{split}"
            encode_all = encode_on_ray if options.on_ray else encode_here
            pack_with_progress(sources, output, settings, encode_all, options.replace)
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
