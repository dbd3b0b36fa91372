"""Where S3 is, as the ecosystem's environment variables say it."""

from __future__ import annotations

import os


def s3_endpoint() -> str | None:
    """The custom endpoint, or None for AWS itself. The service's own variable wins, as in boto3."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def s3_region() -> str | None:
    """The region; a custom endpoint needs some region for its signatures, so it defaults to us-east-1."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return region or ("us-east-1" if s3_endpoint() else None)


def describe_endpoint() -> str:
    """The endpoint in words, for messages."""
    return s3_endpoint() or "AWS S3"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """``s3://bucket/some/prefix`` as ("bucket", "some/prefix"); the prefix may be empty.

    Raises:
        ValueError: not an S3 URI, or no bucket in it.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise ValueError(f"{uri!r} is no S3 address; write s3://bucket/prefix")
    return bucket, prefix.strip("/")
