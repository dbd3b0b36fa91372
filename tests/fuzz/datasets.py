"""What a data set is made of and read from: its manifest, a shard being packed, an archive of images, blur kernels."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path

import numpy as np

from pipeline.data.images import encode_image
from pipeline.data.manifest import MANIFEST_NAME, load_manifest
from pipeline.data.packing.draft import Draft
from pipeline.data.packing.encode import PackSettings, encode_source
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources, tar_sources
from pipeline.degradations.kernel_file import parse_kernels
from pipeline.errors import UserError, first_line
from pipeline.storage import open_storage
from tests.fuzz.case import Case


def dataset_cases(scratch: Path) -> list[Case]:
    """Below ``scratch``, which is made."""
    images = scratch / "images"
    images.mkdir(parents=True)
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        (images / f"{number}.png").write_bytes(encode_image(image, "png"))
    kernel = np.eye(5, dtype=np.float32) / 5
    array, matlab = io.BytesIO(), io.BytesIO()
    np.save(array, kernel)
    from scipy.io import savemat

    savemat(matlab, {"kernels": kernel})
    return [
        _manifest(scratch, images),
        _unfinished(scratch, images),
        _archive(scratch, images),
        Case("kernel.npy", array.getvalue(), lambda data: _kernels(data, "k.npy")),
        Case("kernel.mat", matlab.getvalue(), lambda data: _kernels(data, "k.mat"), every=200),
    ]


def _manifest(scratch: Path, images: Path) -> Case:
    output = scratch / "packed"
    pack_dataset(folder_sources(str(images)), str(output), PackSettings(shard_bytes=3000))
    path = output / MANIFEST_NAME

    def read(data: bytes) -> object:
        path.write_bytes(data)
        found = load_manifest(str(output))
        return [found.rows(number) for number in range(len(found.shards))]

    return Case("manifest", path.read_bytes(), read)


def _unfinished(scratch: Path, images: Path) -> Case:
    """The record of a shard whose packing was interrupted: what cannot be continued is packed again."""
    output = scratch / "unfinished"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        pack_dataset(folder_sources(str(images)), str(output), PackSettings(shard_bytes=1), progress=stop)
    path = next((output / "unfinished").glob("*.parquet"))
    mark = load_manifest(str(output), open_storage(str(output)), f"unfinished/{path.name}").summary.fingerprint

    def read(data: bytes) -> object:
        path.write_bytes(data)
        draft = Draft(open_storage(str(output)), mark.partition("/")[0])
        draft.restore()
        if not draft.shards:
            raise UserError("nothing to go on with")
        return draft

    return Case("unfinished shard", path.read_bytes(), read)


def _archive(scratch: Path, images: Path) -> Case:
    path = scratch / "images.tar"
    with tarfile.open(path, "w") as tar:
        for image in sorted(images.iterdir()):
            tar.add(image, arcname=f"in/{image.name}")

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return [encode_source(source, PackSettings(max_pixels=4096)) for source in tar_sources(str(path))]

    return Case("tar of images", path.read_bytes(), read)


def _kernels(data: bytes, name: str) -> object:
    try:
        return parse_kernels(data, name)
    except ValueError as error:  # what its callers make one line of
        raise UserError(first_line(error)) from None
