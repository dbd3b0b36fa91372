"""The same addresses as pyarrow filesystems, which Ray Train and Ray Tune keep their files through."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.storage.s3_address import s3_endpoint, s3_region, split_s3_uri

if TYPE_CHECKING:
    import pyarrow.fs


def arrow_filesystem(uri: str, deadline_s: float | None = None) -> tuple[pyarrow.fs.FileSystem, str]:
    """The filesystem, and the path inside it.

    On S3, failures that may pass are retried for ``deadline_s`` seconds (None takes the storage's default), here and
    wherever the filesystem is pickled to. No key is put into it: Arrow reads them from the environment of each
    process, so that a pickled filesystem carries no secret to a worker.

    Raises:
        ValueError: an ``s3://`` address without a bucket.
    """
    import pyarrow.fs  # here: restoring images does without it

    if not uri.startswith("s3://"):
        return pyarrow.fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(uri.removeprefix("file://")))
    from pipeline.storage.arrow_retry import RetriedS3  # boto3 only where it is used
    from pipeline.storage.s3 import DEFAULT_DEADLINE_S

    bucket, prefix = split_s3_uri(uri)
    options: dict[str, str] = {}
    endpoint = s3_endpoint()
    if endpoint is not None:
        scheme, _, address = endpoint.partition("://")
        options = {"scheme": scheme, "endpoint_override": address.rstrip("/")}
    region = s3_region()
    if region is not None:
        options["region"] = region
    handler = RetriedS3(pyarrow.fs.S3FileSystem(**options), DEFAULT_DEADLINE_S if deadline_s is None else deadline_s)
    return pyarrow.fs.PyFileSystem(handler), f"{bucket}/{prefix}".rstrip("/")
