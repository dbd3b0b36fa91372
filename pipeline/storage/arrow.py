"""The same addresses as pyarrow filesystems, which Ray Train writes its checkpoints through."""

from __future__ import annotations

import os

import pyarrow.fs

from pipeline.storage.environment import s3_endpoint, s3_region, split_s3_uri


def arrow_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The filesystem, and the path inside it.

    No key is put into the S3 filesystem: Arrow reads them from the environment of each process, so that
    a pickled filesystem carries no secret to a worker.

    Raises:
        ValueError: an ``s3://`` address without a bucket.
    """
    if not uri.startswith("s3://"):
        return pyarrow.fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(uri.removeprefix("file://")))
    bucket, prefix = split_s3_uri(uri)
    options: dict[str, str] = {}
    endpoint = s3_endpoint()
    if endpoint is not None:
        scheme, _, address = endpoint.partition("://")
        options = {"scheme": scheme, "endpoint_override": address.rstrip("/")}
    region = s3_region()
    if region is not None:
        options["region"] = region
    return pyarrow.fs.S3FileSystem(**options), f"{bucket}/{prefix}".rstrip("/")
