"""Where the images to be packed lie: in folders, S3 prefixes and tars, by name, before any is read."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.addresses import absolute, printable
from pipeline.data.images import MAX_PIXELS, SUFFIXES
from pipeline.data.packing.listing import Say, list_images, list_members
from pipeline.errors import UserError
from pipeline.images.read import read_file
from pipeline.storage import open_storage
from pipeline.storage.ranged_file import RangedFile
from pipeline.wording import counted


@dataclass(frozen=True)
class Location:
    """One file, or one member of a tar: the store, the key there, and the bytes of it that count.

    start, length: where a tar's member lies in it; without them the whole object is meant.
    name: what to call it in messages, when the key alone does not say.
    """

    uri: str
    key: str
    version: str = ""
    start: int = 0
    length: int | None = None
    name: str = ""

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            UnusableImageError: a local file is not there, no regular one, or cannot be read.
        """
        if self.length is None and "://" not in self.uri:
            return read_file(Path(self.uri, self.key), MAX_PIXELS)
        storage = open_storage(self.uri)
        if self.length is None:
            return storage.read(self.key)
        return storage.read_range(self.key, self.start, self.length)

    def __str__(self) -> str:
        return printable(f"{self.uri}/{self.key}" + (f"#{self.name}" if self.name else ""))


@dataclass(frozen=True)
class Source:
    """One image to pack, or one aligned pair."""

    key: str
    clean: Location
    degraded: Location | None = None
    credit: str = ""


def sample_key(name: str) -> str:
    """A file name as a WebDataset key: no suffix, and no dot, since WebDataset cuts a key there.

    Bytes that are no UTF-8, and the backslash, which no key may have, are written as ``%E9``.
    """
    stem, _ = os.path.splitext(name)
    return printable(stem).replace("\\", "%5C").replace(".", "_").strip("/")


def folder_sources(uri: str, prefix: str = "", say: Say = lambda line: None) -> list[Source]:
    """All images under one folder or S3 prefix, by name.

    Args:
        uri: the folder, or ``s3://bucket/prefix``.
        prefix: put before each key, so that several folders may hold equal names.
        say: told in one line what was passed over.

    Raises:
        UserError: no such folder, or no image in it.
    """
    uri = absolute(uri)
    images, others = list_images(uri, say)
    if not images:
        raise UserError(f"{uri!r} holds no images ({others} other files); expected files named {', '.join(SUFFIXES)}")
    return [
        Source(prefix + sample_key(entry.key), Location(uri, entry.key, f"{entry.size}:{entry.version}"))
        for entry in images
    ]


def tar_sources(uri: str, prefix: str = "", say: Say = lambda line: None) -> list[Source]:
    """All images in an uncompressed tar, by ranged reads of its headers: nothing is unpacked.

    What a folder leaves out, such as hidden names, is left out here as well; so are links.

    Args:
        uri: the tar's path or S3 address.
        prefix: as in ``folder_sources``.
        say: told in one line what was passed over.

    Raises:
        UserError: no such tar, not a plain tar, no image in it, or a member whose name leaves its folder.
    """
    uri = absolute(uri)
    folder, _, key = uri.rpartition("/")
    try:
        file = RangedFile(open_storage(folder), key)
        version = str(file.seek(0, 2))
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            members, others = list_members(tar, uri, say)
    except FileNotFoundError as error:
        raise UserError(f"tar {uri!r} does not exist") from error
    except tarfile.TarError as error:
        raise UserError(f"{uri!r} is no plain tar ({error}); unpack compressed archives first") from error
    if not members:
        raise UserError(
            f"{uri!r} holds no images ({others} other members); expected members named {', '.join(SUFFIXES)}"
        )
    return [
        Source(
            prefix + sample_key(member.name.removeprefix("./")),
            Location(folder, key, version, member.offset_data, member.size, member.name),
        )
        for member in members
    ]


def paired_sources(clean_uri: str, degraded_uri: str, say: Say = lambda line: None) -> list[Source]:
    """Images of two folders, paired by name without suffix.

    Raises:
        UserError: a folder is missing or empty, or an image has no partner.
    """
    degraded = {source.key: source.clean for source in folder_sources(degraded_uri, say=say)}
    clean = folder_sources(clean_uri, say=say)
    lonely = sorted({source.key for source in clean} ^ set(degraded))
    if lonely:
        raise UserError(
            f"no partner for {counted(len(lonely), 'image')} of {clean_uri!r} and {degraded_uri!r},"
            f" the first is {lonely[0]!r}; the two folders must hold the same names"
        )
    return [Source(source.key, source.clean, degraded[source.key]) for source in clean]


def all_sources(uris: Sequence[str], say: Say = lambda line: None) -> list[Source]:
    """The images of several folders and tars; with more than one, each one's name becomes part of its keys.

    Raises:
        UserError: as ``folder_sources`` and ``tar_sources``, or two images with the same key.
    """
    sources: list[Source] = []
    for uri in uris:
        name = os.path.basename(uri.rstrip("/"))
        prefix = f"{sample_key(name)}/" if len(uris) > 1 else ""
        sources += tar_sources(uri, prefix, say) if name.endswith(".tar") else folder_sources(uri, prefix, say)
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
            raise UserError(f"{other.clean} and {source.clean} would share the key {source.key!r}; rename one of them")


def fingerprint(sources: Sequence[Source], settings: str) -> str:
    """SHA-256 over names, versions and settings: equal when packing again would write the same."""
    digest = hashlib.sha256(settings.encode())
    for source in sources:
        for place in (source.clean, source.degraded):
            text = f"\0{source.key}\0{place.key}\0{place.version}\0{place.start}" if place else "\0-"
            digest.update(text.encode(errors="surrogateescape"))
    return digest.hexdigest()
