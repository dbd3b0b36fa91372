"""A whole folder from the store to a local one."""

from __future__ import annotations

from pathlib import Path

import pyarrow.fs

from pipeline.errors import UserError
from pipeline.storage.arrow import arrow_filesystem


def fetch_folder(uri: str, folder: Path, deadline_s: float | None = None) -> Path:
    """Copy all files under ``uri`` into the local ``folder`` (made if absent); returns it.

    An outage of S3 is waited out for ``deadline_s`` seconds; None takes the storage's default.

    Raises:
        UserError: nothing lies under ``uri``.
    """
    filesystem, path = arrow_filesystem(uri, deadline_s)
    if filesystem.get_file_info(path).type != pyarrow.fs.FileType.Directory:
        raise UserError(f"{uri} does not exist or is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    pyarrow.fs.copy_files(path, str(folder), source_filesystem=filesystem)
    return folder
