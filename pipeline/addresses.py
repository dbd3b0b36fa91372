"""Where a person says that results go, or images come from, checked before it means something else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from tempfile import TemporaryFile

from pipeline.errors import UserError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/")


def check_output(text: str) -> str:
    """An output that is a local folder or ``s3://bucket/…``.

    Raises UserError for an empty one, which would mean the root or the working folder, and for what only looks like an
    address: ``s3:/bucket`` would become a local folder.
    """
    if not text.strip():
        raise UserError("--output is empty: give a folder or s3://bucket/prefix (is a variable not set?)")
    found = _SCHEME.match(text)
    if found and "://" in text and found[1] not in ("s3", "file"):
        raise UserError(f"--output {text!r}: the scheme {found[1]!r} is not known; give s3://bucket/prefix or a folder")
    if found and "://" not in text:
        raise UserError(
            f"--output {text!r} looks like an address and is none: give s3://bucket/prefix, or ./{text} for a folder"
        )
    return check_bucket("--output", text)


def check_bucket(option: str, text: str) -> str:
    """``text``, given by ``option``. Raises UserError where it begins as an S3 address does and names no bucket."""
    if text.startswith("s3://") and not text.removeprefix("s3://").partition("/")[0]:
        raise UserError(f"{option} {text!r} names no bucket: give s3://bucket/prefix")
    return text


def check_local_output(text: str, remedy: str) -> str:
    """An output that must be a local folder. Raises UserError as ``check_output``, and for S3 with the remedy."""
    if check_output(text).startswith("s3://"):
        raise UserError(f"--output {text}: this writes to a local folder only; {remedy}")
    return text.removeprefix("file://")


def check_file(option: str, path: Path, *, replaced: bool = False) -> None:
    """A file of this machine that will be written. replaced: anew beside it, then moved into its place.

    Raises UserError where it is a folder, lies in none, or could not be written; nothing is left there.
    """
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder; give a file in it, such as {path / 'NAME'}")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: the folder {path.parent} does not exist; make it first")
    if replaced and path.exists() and not path.is_file():
        raise UserError(f"{option} {path} is no file that could be replaced; choose another place")
    try:
        if path.exists() and not replaced:
            with path.open("ab"):
                pass
        else:
            with TemporaryFile(dir=path.parent):
                pass
    except OSError as error:
        raise UserError(f"{option} {path} cannot be written ({error.strerror}); choose another place") from None


def absolute(uri: str) -> str:
    """An address that means the same in every working folder, so on every worker."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


def printable(text: str) -> str:
    """A file name that is not UTF-8 with its odd bytes as ``%E9``, so that it can be a key, be stored and be shown."""
    return "".join(f"%{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)
