"""mosaicml streaming in its own environment, as its documentation resumes; run by ``consumer``.

``StreamingDataLoader.state_dict`` is saved, and ``clean_stale_shared_memory`` called first after a kill. Variant
``hashed`` writes hashes of the shards and validates them (``validate_hash``), which is off by default.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy
import torch
from PIL import Image

from pipeline.benchmarks.peers.consumer import Job, Opened, digest, main

# The package index has torchvision built for CUDA; beside a PyTorch for CPUs its compiled operators do not load, and
# its import then fails for the names of two. Nothing of torchvision is used here: the names are enough.
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
try:
    import torchvision  # noqa: F401
except RuntimeError:
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import streaming  # noqa: E402

HASH = "xxh64"


def write(pictures: Path, folder: Path, per_shard: int, variant: str) -> None:
    """The pictures' own bytes, so many to a shard."""
    paths = sorted(pictures.iterdir())
    size = sum(path.stat().st_size for path in paths) // len(paths)
    hashes = [HASH] if variant == "hashed" else []
    with streaming.MDSWriter(
        out=str(folder), columns={"key": "str", "image": "bytes"}, size_limit=(size + 64) * per_shard, hashes=hashes
    ) as writer:
        for path in paths:
            writer.write({"key": path.stem, "image": path.read_bytes()})


def read(job: Job) -> Opened:
    if job.resume:
        streaming.base.util.clean_stale_shared_memory()  # by all: it waits for the first
    data = Digests(
        remote=job.uri, local=job.cache, shuffle=True, shuffle_seed=job.seed, batch_size=job.batch,
        validate_hash=HASH if job.variant == "hashed" else None,
    )  # fmt: skip
    loader = streaming.StreamingDataLoader(data, batch_size=job.batch, num_workers=job.workers, drop_last=True)
    if job.resume:
        loader.load_state_dict(job.saved_state())
    return Opened(((batch["key"], batch["digest"]) for batch in loader), loader.state_dict)


class Digests(streaming.StreamingDataset):
    """Keys, and digests of the pixels."""

    def __getitem__(self, at: int) -> dict[str, str]:
        sample = super().__getitem__(at)
        pixels = numpy.asarray(Image.open(io.BytesIO(sample["image"])).convert("RGB"))
        return {"key": sample["key"], "digest": digest(pixels)}


if __name__ == "__main__":
    main(write, read)
