"""Four ways to the same patches, each an endless iterator of micro-batches in one process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.data.loader import open_training_stream
from pipeline.data.manifest import Manifest
from pipeline.data.order import sample_generator
from pipeline.data.stream import DecodedSample, MakeSample
from pipeline.storage.s3_address import split_s3_uri

MICRO_BATCH = 16
SHUFFLE_BUFFER = 256  # encoded samples, as WebDataset's documentation has it

Batches = Iterator[Any]
Open = Callable[[MakeSample], Batches]


@dataclass(frozen=True)
class Loader:
    """One row: its name, where it reads, and how it is opened."""

    name: str
    source: str
    open: Open


def ours(manifest: Manifest, crops_per_image: int = 1) -> Open:
    """The project's stream, in the decode-each-time mode of large datasets."""

    def start(make_sample: MakeSample) -> Batches:
        stream = open_training_stream(
            manifest, make_sample=make_sample, seed=0, start_position=0, rank=0, world_size=1,
            global_batch_size=MICRO_BATCH, micro_batch_size=MICRO_BATCH, streams=16, block_size=16, loader_workers=0,
            crops_per_image=crops_per_image,
        )  # fmt: skip
        stream.stream.settings = replace(stream.stream.settings, decoded_cache_bytes=0)
        return iter(stream)

    return start


def plain_webdataset(manifest: Manifest) -> Open:
    """``wds.WebDataset(...).shuffle(...).decode("rgb8")``, the pixels as uint8, on the very same shards."""

    def start(make_sample: MakeSample) -> Batches:
        import webdataset as wds

        wds.gopen_schemes["s3"] = _s3_stream
        counter = _Positions(make_sample)

        def augment(sample: dict[str, Any]) -> dict[str, Tensor]:
            return counter(sample["__key__"], sample["clean.png"])

        urls = [f"{manifest.uri}/{shard.name}" for shard in manifest.shards]
        data = wds.WebDataset(urls, shardshuffle=len(urls), empty_check=False)
        data = data.repeat().shuffle(SHUFFLE_BUFFER).decode("rgb8").map(augment)
        return iter(DataLoader(data, batch_size=MICRO_BATCH))

    return start


def _s3_stream(url: str, mode: str = "rb", bufsize: int = 8192) -> Any:
    from pipeline.storage.s3 import s3_client

    bucket, key = split_s3_uri(url)
    return s3_client().get_object(Bucket=bucket, Key=key)["Body"]


def folder_of_pngs(folder: Path) -> Open:
    """A map-style Dataset over files in random order: what BasicSR does, with Pillow as its decoder."""

    def start(make_sample: MakeSample) -> Batches:
        files = sorted(folder.rglob("*.png"))
        dataset = _Folder(folder, files, _Positions(make_sample))
        sampler = torch.utils.data.RandomSampler(range(len(files)), num_samples=10**9)
        return iter(DataLoader(dataset, batch_size=MICRO_BATCH, sampler=sampler))

    return start


class _Positions:
    """Calls ``make_sample`` with counted positions, as our stream does."""

    def __init__(self, make_sample: MakeSample) -> None:
        self._make_sample, self._position = make_sample, 0

    def __call__(self, key: str, pixels: np.ndarray) -> dict[str, Tensor]:
        sample = DecodedSample(key, self._position, 0, 0, pixels, None)
        self._position += 1
        return self._make_sample(sample, sample_generator(0, sample.position))


class _Folder(Dataset[dict[str, Tensor]]):
    def __init__(self, folder: Path, files: Sequence[Path], make: _Positions) -> None:
        self._folder, self._files, self._make = folder, files, make

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        path = self._files[index]
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        return self._make(path.relative_to(self._folder).as_posix().removesuffix(".png"), pixels)


def unpack(manifest: Manifest, folder: Path) -> Path:
    """The clean members of local shards as single files, byte for byte, by WebDataset alone."""
    import webdataset as wds

    urls = [f"{manifest.uri}/{shard.name}" for shard in manifest.shards]
    for sample in wds.WebDataset(urls, shardshuffle=False, empty_check=False):
        path = folder / f"{sample['__key__']}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample["clean.png"])
    return folder


def shuffled(names: list[str], seed: int) -> list[str]:
    """A new order of the candidates for each round, so that none always follows the same other."""
    order = list(names)
    random.Random(seed).shuffle(order)
    return order
