"""Restarts and damage: our stream beside LitData, mosaicml streaming and plain WebDataset.

    python jobs/benchmark.py peers --output peers.jsonl
    python jobs/benchmark.py peers --environments /scratch/peers --only LitData

Two consumers read an epoch of the same small pictures from a store on this machine that counts bytes, are killed
(SIGKILL) at 37 % of it, and go on as one, three and two from the state that each library documents: which samples are
lost, doubled, trained on in another step; seconds and bytes of the restart. Then damaged copies of each library's data
set are read. Each is first seen to deliver the same pixels. The peers are installed with pip into environments of their
own, once; versions are pinned in pipeline/benchmarks/peers/environments.py. Not to be run beside a training that uses
mosaicml streaming: its documented clean-up after a kill removes the shared memory of all its runs on the machine.
"""

from __future__ import annotations

import argparse

from pipeline.options import at_least, number

NAMES = ("LitData", "mosaicml streaming", "WebDataset")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("--environments", metavar="FOLDER", help="where the peers are installed (default: ~/.cache/semanir/peers)")
    add("--only", nargs="*", choices=NAMES, metavar="PEER", help=f"beside ours; of: {', '.join(NAMES)} (default: all)")
    add("--samples", type=at_least(1, 100_000), default=600, help="pictures of the data set (default: 600)")
    add("--side", type=at_least(16, 256), default=96, help="of a picture in pixels (default: 96)")
    add("--silence", type=number(1, 3600), default=150.0, metavar="SECONDS",
        help="with no sign of life for so long a run is called a hang (default: 150)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Measure; returns the exit status."""
    from pipeline.benchmarks.peers.measure import run_peers

    return run_peers(options)
