"""LitData in its own environment, as its README resumes: ``StreamingDataLoader.state_dict``; run by ``consumer``."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import litdata
import numpy
from litdata.streaming import downloader
from PIL import Image

from pipeline.benchmarks.peers.consumer import Job, Opened, digest, main

# Its client for chunks refuses an endpoint without TLS, such as a store on this machine, and has no setting for that.
downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True


def write(pictures: Path, folder: Path, per_shard: int, variant: str) -> None:
    """Write the pictures' own bytes, so many to a chunk: a plain PIL image would be stored raw."""
    litdata.optimize(
        fn=_sample, inputs=sorted(str(path) for path in pictures.iterdir()), output_dir=str(folder),
        chunk_size=per_shard, num_workers=1, keep_data_ordered=True, reorder_files=False, verbose=False,
    )  # fmt: skip


def _sample(path: str) -> dict[str, Any]:
    return {"key": Path(path).stem, "image": Path(path).read_bytes()}


def read(job: Job) -> Opened:
    data = litdata.StreamingDataset(
        job.uri, cache_dir=job.cache, shuffle=True, drop_last=True, seed=job.seed, transform=_digest_sample,
        storage_options={
            "endpoint_url": os.environ["AWS_ENDPOINT_URL"],
            "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        },
    )  # fmt: skip
    loader = litdata.StreamingDataLoader(data, batch_size=job.batch, num_workers=job.workers)
    if job.resume:
        loader.load_state_dict(job.saved_state())
    return Opened(((batch["key"], batch["digest"]) for batch in loader), loader.state_dict)


def _digest_sample(sample: dict[str, Any]) -> dict[str, str]:
    return {
        "key": sample["key"],
        "digest": digest(numpy.asarray(Image.open(io.BytesIO(sample["image"])).convert("RGB"))),
    }


if __name__ == "__main__":
    main(write, read)
