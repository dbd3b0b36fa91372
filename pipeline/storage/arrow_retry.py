"""Arrow's S3 filesystem with our deadline: nobody who is handed it fails because S3 was away for a moment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.fs

from pipeline.storage.base import Storage
from pipeline.storage.ranged_file import RangedFile
from pipeline.storage.retry import retry
from pipeline.storage.s3 import S3Storage
from pipeline.storage.s3_address import describe_endpoint
from pipeline.storage.transient import may_pass

T = TypeVar("T")


class RetriedS3(pyarrow.fs.FileSystemHandler):
    """What ``pyarrow.fs.PyFileSystem`` calls: Arrow for names and folders, ``S3Storage`` for contents, both patient.

    Ray Train asks S3 in its own process too, makes one attempt, and ends the run when that fails. Arrow's own
    ``retry_strategy`` counts attempts instead of time, and is lost when the filesystem is pickled to that process.
    """

    def __init__(self, s3: pyarrow.fs.S3FileSystem, deadline_s: float) -> None:
        self.s3, self.deadline_s = s3, deadline_s

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RetriedS3) and self.s3.equals(other.s3)

    def __hash__(self) -> int:
        return hash(type(self))

    def get_type_name(self) -> str:
        return "s3"

    def normalize_path(self, path: str) -> str:
        return str(self.s3.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[pyarrow.fs.FileInfo]:
        return self._try(f"looking at {', '.join(paths)}", lambda: self.s3.get_file_info(paths))

    def get_file_info_selector(self, selector: pyarrow.fs.FileSelector) -> list[pyarrow.fs.FileInfo]:
        return self._try(f"listing {selector.base_dir}", lambda: self.s3.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        self._try(f"making {path}", lambda: self.s3.create_dir(path, recursive=recursive))

    def delete_dir(self, path: str) -> None:
        def delete() -> None:
            # Of an earlier attempt it may be known that it failed, not that it did nothing.
            if self.s3.get_file_info(path).type != pyarrow.fs.FileType.NotFound:
                self.s3.delete_dir(path)

        self._try(f"deleting {path}", delete)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self._try(f"emptying {path}", lambda: self.s3.delete_dir_contents(path, missing_dir_ok=missing_dir_ok))

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("deleting every bucket of an S3 server")

    def delete_file(self, path: str) -> None:
        self._try(f"deleting {path}", lambda: self.s3.delete_file(path))

    def move(self, source: str, destination: str) -> None:
        self._try(f"moving {source}", lambda: self.s3.move(source, destination))

    def copy_file(self, source: str, destination: str) -> None:
        bucket, _, key = destination.partition("/")
        if source.partition("/")[0] != bucket:
            self._try(f"copying {source}", lambda: self.s3.copy_file(source, destination))
        else:  # Arrow copies in one request, which takes 5 GiB at most
            S3Storage(f"s3://{bucket}", self.deadline_s).copy(source.partition("/")[2], key)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(RangedFile(*self._object(path)), mode="r")

    def open_output_stream(self, path: str, metadata: dict[str, str]) -> pa.NativeFile:
        return pa.PythonFile(_Upload(*self._object(path)), mode="w")

    def open_append_stream(self, path: str, metadata: dict[str, str]) -> pa.NativeFile:
        raise NotImplementedError(f"appending to {path}: S3 cannot")

    def _object(self, path: str) -> tuple[Storage, str]:
        bucket, _, key = path.partition("/")
        return S3Storage(f"s3://{bucket}", self.deadline_s), key

    def _try(self, what: str, call: Callable[[], T]) -> T:
        name = f"{what} at {describe_endpoint()}"
        return retry(call, is_transient=may_pass, deadline_s=self.deadline_s, what=name)


class _Upload:
    """A file to write, which becomes an object when it is closed: only what was kept can be sent again."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage, self._key = storage, key
        self._file = cast(BinaryIO, tempfile.NamedTemporaryFile(prefix="semanir-upload-"))  # noqa: SIM115
        self.closed = False

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        with self._file:
            self._file.flush()
            self._storage.write_file(self._key, Path(self._file.name))
