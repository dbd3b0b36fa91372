"""Plain WebDataset on shards written by its own writer, as its users resume; run by ``consumer``.

It has no state to save. Variants: ``resampled`` draws shards with replacement, endlessly, and simply starts again: what
its maintainer recommends (issues 177 and 271 of webdataset/webdataset); ``replayed`` shuffles with a fixed seed and, to
resume, reads and throws away what was trained on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import webdataset
from torch.utils.data import DataLoader

from pipeline.benchmarks.peers.consumer import Job, Opened, digest, main

SHUFFLE = 64  # samples of the shuffle buffer: a few shards' worth, as its documentation has it for larger ones


def write(pictures: Path, folder: Path, per_shard: int, variant: str) -> None:
    """Write the pictures' own bytes; ``doubled`` writes a second picture with the first one's key behind it."""
    folder.mkdir(parents=True)
    with webdataset.ShardWriter(f"{folder}/shard-%06d.tar", maxcount=per_shard, verbose=0) as writer:
        for number, path in enumerate(sorted(pictures.iterdir())):
            writer.write({"__key__": path.stem, f"clean{path.suffix}": path.read_bytes()})
            if variant == "doubled" and number == 0:
                writer.write({"__key__": path.stem, f"clean{path.suffix}": path.read_bytes()})
    (folder / "shards.txt").write_text("\n".join(sorted(path.name for path in folder.glob("*.tar"))))


def read(job: Job) -> Opened:
    webdataset.gopen_schemes["http"] = _http_stream
    address = f"{os.environ['AWS_ENDPOINT_URL']}/{job.uri.removeprefix('s3://')}"
    with urlopen(f"{address}/shards.txt") as answer:
        urls = [f"{address}/{name}" for name in answer.read().decode().split()]
    resampled = job.variant == "resampled"
    data = webdataset.WebDataset(
        urls,
        resampled=resampled,
        shardshuffle=False if resampled else len(urls),
        detshuffle=not resampled,
        seed=job.seed,
        nodesplitter=webdataset.split_by_node,
        empty_check=False,
    )
    data = data.shuffle(SHUFFLE) if resampled else data.compose(webdataset.detshuffle(SHUFFLE, seed=job.seed))
    data = data.decode("rgb8").map(_digest_sample).batched(job.batch, collation_fn=_collate, partial=False)
    if resampled:
        # An epoch is as many batches as the data set has; each loader process draws its part of them.
        data = data.with_epoch(-(-job.samples // (job.batch * job.world * job.workers)))
    batches = iter(DataLoader(data, batch_size=None, num_workers=job.workers))
    skipped = 0 if resampled else job.saved_steps
    if resampled and job.resume:
        left = job.samples // (job.batch * job.world) - job.saved_steps
        return Opened((batch for batch, _ in zip(batches, range(left), strict=False)), lambda: None)
    for _ in range(skipped):
        next(batches)
    return Opened(batches, lambda: None)


def _http_stream(url: str, mode: str = "rb", bufsize: int = 8192) -> Any:
    return urlopen(url)


def _digest_sample(sample: dict[str, Any]) -> tuple[str, str]:
    image = next(value for name, value in sample.items() if name.startswith("clean."))
    return sample["__key__"], digest(image)


def _collate(samples: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [key for key, _ in samples], [found for _, found in samples]


if __name__ == "__main__":
    main(write, read)
