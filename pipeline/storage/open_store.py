"""Open a store by its address."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.storage.base import Storage
from pipeline.storage.local import LocalStorage


def open_storage(uri: str, deadline_s: float | None = None) -> Storage:
    """The store at ``s3://bucket/prefix`` or at a local path (``file://`` is understood too). Touches nothing yet.

    Args:
        uri: where.
        deadline_s: how long failures that may pass are retried on S3; None takes ``retry.DEADLINE_S``.

    Raises:
        UserError: another scheme, or an S3 address without a bucket.
    """
    if uri.startswith("s3://"):
        from pipeline.storage.s3 import DEFAULT_DEADLINE_S, S3Storage  # boto3 only where it is used

        try:
            return S3Storage(uri, DEFAULT_DEADLINE_S if deadline_s is None else deadline_s)
        except ValueError as error:
            raise UserError(str(error)) from error
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return LocalStorage(uri)
    if scheme == "file":
        return LocalStorage(rest)
    raise UserError(f"{uri!r}: the scheme {scheme!r} is not known; give s3://bucket/prefix or a local path")
