"""An S3 bucket's prefix as a store, through boto3."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import boto3
import botocore.exceptions as boto_errors
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from pipeline.entries import Kind
from pipeline.storage.base import Entry, checked_key
from pipeline.storage.retry import DEADLINE_S, retry
from pipeline.storage.s3_address import describe_endpoint, s3_endpoint, s3_region, split_s3_uri
from pipeline.storage.transient import may_pass

T = TypeVar("T")
DEFAULT_DEADLINE_S = DEADLINE_S
# Above 64 MiB in parts of 64 MiB (an object has at most 10,000); a failed upload is aborted, and leaves no part.
PARTS = TransferConfig(multipart_threshold=64 * 2**20, multipart_chunksize=64 * 2**20, use_threads=False)
MISSING_CODES = {"NoSuchKey", "NoSuchBucket", "NotFound", "404"}


@lru_cache(maxsize=32)
def _client(process_id: int, endpoint: str | None, region: str | None, credentials: int, timeout_s: float) -> Any:
    # boto3's clients survive threads but not a fork: the process id keeps one per process.
    # Its own retries are off: ours know the deadline.
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(5, timeout_s),
        read_timeout=timeout_s,
        max_pool_connections=32,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)


def s3_client(deadline_s: float = DEFAULT_DEADLINE_S) -> Any:
    """This process's boto3 client for the environment's endpoint, for requests repeated for ``deadline_s`` seconds.

    A silent server is given a quarter of that for each answer (1 to 30 s), so that giving up is late by no more.
    """
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
    credentials = hash(tuple(os.environ.get(name) for name in names))  # a change makes a new client
    timeout_s = min(max(deadline_s / 4, 1.0), 30.0)
    return _client(os.getpid(), s3_endpoint(), s3_region(), credentials, timeout_s)


class S3Storage:
    """Objects under ``s3://bucket/prefix``; see ``Storage`` for the methods.

    Credentials and endpoint come from the environment when the first request is made. Failures that may
    pass are retried for ``deadline_s`` seconds.
    """

    def __init__(self, uri: str, deadline_s: float = DEFAULT_DEADLINE_S) -> None:
        self.bucket, self.prefix = split_s3_uri(uri)
        self.deadline_s = deadline_s

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def _key(self, key: str) -> str:
        checked_key(key)
        return f"{self.prefix}/{key}" if self.prefix else key

    def _try(self, what: str, call: Callable[[Any], T]) -> T:
        """Run one request; its failures become the errors that ``Storage`` promises."""
        name = f"{what} at {describe_endpoint()}"
        try:
            return retry(
                lambda: call(s3_client(self.deadline_s)), is_transient=may_pass, deadline_s=self.deadline_s, what=name
            )
        except boto_errors.ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code in MISSING_CODES:
                raise FileNotFoundError(f"{name}: {code}") from error
            if status == 412:
                raise FileExistsError(f"{name}: exists already") from error
            if status == 403:
                raise PermissionError(f"{name}: {code}; check AWS_ACCESS_KEY_ID and the bucket's policy") from error
            raise

    def read(self, key: str) -> bytes:
        full = self._key(key)
        return self._try(
            f"reading s3://{self.bucket}/{full}",
            lambda client: client.get_object(Bucket=self.bucket, Key=full)["Body"].read(),
        )

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if length <= 0:
            return b""
        full = self._key(key)
        span = f"bytes={start}-{start + length - 1}"

        def get(client: Any) -> bytes:
            try:
                return client.get_object(Bucket=self.bucket, Key=full, Range=span)["Body"].read()
            except boto_errors.ClientError as error:
                # The range starts beyond the end: the object is shorter than believed.
                if error.response["Error"]["Code"] in ("InvalidRange", "416"):
                    return b""
                raise

        return self._try(f"reading {span} of s3://{self.bucket}/{full}", get)

    def write(self, key: str, data: bytes, only_if_absent: bool = False) -> None:
        full = self._key(key)
        extra = {"IfNoneMatch": "*"} if only_if_absent else {}
        self._try(
            f"writing s3://{self.bucket}/{full}",
            lambda client: client.put_object(Bucket=self.bucket, Key=full, Body=data, **extra),
        )

    def write_file(self, key: str, path: Path) -> None:
        full = self._key(key)

        def upload(client: Any) -> None:
            with open(path, "rb") as file:  # anew in each attempt: a failed one has read some of it
                client.upload_fileobj(file, self.bucket, full, Config=PARTS)

        self._try(f"writing s3://{self.bucket}/{full}", upload)

    def copy(self, key: str, new_key: str) -> None:
        source, target = self._key(key), self._key(new_key)
        # In parts above their threshold: one request copies 5 GiB at most.
        self._try(
            f"copying s3://{self.bucket}/{source}",
            lambda client: client.copy({"Bucket": self.bucket, "Key": source}, self.bucket, target, Config=PARTS),
        )

    def list(
        self,
        prefix: str = "",
        unreadable: Callable[[str], None] | None = None,
        left_out: Callable[[str, Kind], None] = lambda name, kind: None,
    ) -> Iterator[Entry]:
        root = f"{self.prefix}/" if self.prefix else ""
        token: dict[str, str] = {}
        while True:
            page = self._try(
                f"listing s3://{self.bucket}/{root}{prefix}",
                lambda client, token=token: client.list_objects_v2(  # type: ignore[misc]
                    Bucket=self.bucket, Prefix=root + prefix, **token
                ),
            )
            for item in page.get("Contents", ()):
                yield Entry(item["Key"][len(root) :], item["Size"], item["ETag"].strip('"'))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _head(self, key: str) -> dict[str, Any]:
        full = self._key(key)
        return self._try(
            f"looking at s3://{self.bucket}/{full}",
            lambda client: client.head_object(Bucket=self.bucket, Key=full),
        )

    def exists(self, key: str) -> bool:
        try:
            self._head(key)
        except FileNotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        return int(self._head(key)["ContentLength"])

    def prune(self, folder: str) -> None:
        pass

    def delete(self, key: str) -> None:
        full = self._key(key)
        self._try(
            f"deleting s3://{self.bucket}/{full}",
            lambda client: client.delete_object(Bucket=self.bucket, Key=full),
        )
