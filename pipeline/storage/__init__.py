"""The one door to bytes at rest: ``s3://bucket/prefix`` or a local folder, behind the same few methods."""

from __future__ import annotations

from pipeline.storage.arrow import arrow_filesystem
from pipeline.storage.ask_store import check_access
from pipeline.storage.base import Storage, StorageUnavailable
from pipeline.storage.open_store import open_storage

__all__ = ["Storage", "StorageUnavailable", "arrow_filesystem", "check_access", "open_storage"]
