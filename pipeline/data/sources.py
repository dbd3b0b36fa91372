"""Where the images to be packed lie: files of folders and S3 prefixes, by name, before any byte is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.data.images import SUFFIXES
from pipeline.errors import UserError
from pipeline.storage import open_storage


@dataclass(frozen=True)
class Location:
    """One file: the store it is in, and its key there."""

    uri: str
    key: str
    version: str = ""

    def read(self) -> bytes:
        """Its bytes."""
        return open_storage(self.uri).read(self.key)

    def __str__(self) -> str:
        return f"{self.uri}/{self.key}"


@dataclass(frozen=True)
class Source:
    """One image to pack, or one aligned pair."""

    key: str
    clean: Location
    degraded: Location | None = None
    credit: str = ""


def sample_key(name: str) -> str:
    """A file name as a WebDataset key: no suffix, and no dot, since WebDataset cuts a key there."""
    stem, _ = os.path.splitext(name)
    return stem.replace(".", "_").strip("/")


def folder_sources(uri: str, prefix: str = "") -> list[Source]:
    """All images under one folder or S3 prefix, by name.

    Args:
        uri: the folder, or ``s3://bucket/prefix``.
        prefix: put before each key, so that several folders may hold equal names.

    Raises:
        UserError: no such folder, or no image in it.
    """
    if "://" not in uri and not os.path.isdir(os.path.expanduser(uri)):
        raise UserError(f"image folder {uri!r} does not exist")
    entries = list(open_storage(uri).list())
    images = [entry for entry in entries if entry.key.lower().endswith(SUFFIXES)]
    if not images:
        raise UserError(
            f"{uri!r} holds no images ({len(entries)} other files);"
            f" expected files named {', '.join(SUFFIXES)}"
        )
    return [
        Source(prefix + sample_key(entry.key), Location(uri, entry.key, f"{entry.size}:{entry.version}"))
        for entry in images
    ]


def paired_sources(clean_uri: str, degraded_uri: str) -> list[Source]:
    """Images of two folders, paired by name without suffix.

    Raises:
        UserError: a folder is missing or empty, or an image has no partner.
    """
    degraded = {source.key: source.clean for source in folder_sources(degraded_uri)}
    clean = folder_sources(clean_uri)
    lonely = sorted({source.key for source in clean} ^ set(degraded))
    if lonely:
        raise UserError(
            f"{len(lonely)} images of {clean_uri!r} and {degraded_uri!r} have no partner,"
            f" the first is {lonely[0]!r}; the two folders must hold the same names"
        )
    return [Source(source.key, source.clean, degraded[source.key]) for source in clean]


def all_sources(uris: Sequence[str]) -> list[Source]:
    """The images of several folders; with more than one, the folder's name becomes part of the keys.

    Raises:
        UserError: as ``folder_sources``, or two images with the same key.
    """
    sources: list[Source] = []
    for uri in uris:
        name = os.path.basename(uri.rstrip("/"))
        sources += folder_sources(uri, f"{sample_key(name)}/" if len(uris) > 1 else "")
    check_unique(sources)
    return sources


def check_unique(sources: Sequence[Source]) -> None:
    """Refuse two sources with one key: a WebDataset reader would merge or drop them.

    Raises:
        UserError: names both files.
    """
    seen: dict[str, Source] = {}
    for source in sources:
        other = seen.setdefault(source.key, source)
        if other is not source:
            raise UserError(
                f"{other.clean} and {source.clean} would share the key {source.key!r}; rename one of them"
            )


def fingerprint(sources: Sequence[Source], settings: str) -> str:
    """SHA-256 over names, versions and settings: equal when packing again would write the same."""
    digest = hashlib.sha256(settings.encode())
    for source in sources:
        for place in (source.clean, source.degraded):
            digest.update(f"\0{source.key}\0{place.key}\0{place.version}".encode() if place else b"\0-")
    return digest.hexdigest()
