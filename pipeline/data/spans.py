"""The bytes of one sample's tar span, checked against the manifest, to pixels."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.data.faults import DamagedSample, Fault, FaultKind
from pipeline.data.images import MAX_PIXELS, SUFFIXES, decode_image
from pipeline.data.manifest import Row
from pipeline.data.members import plain_members
from pipeline.images.levels import Levels, UnusableImageError

MEMBERS = ("clean", "degraded")


@dataclass(frozen=True)
class ImagePair:
    """A decoded sample as stored: (H, W, C) integer pixels, and its degraded partner if it has one.

    height: of the stored image; the pixels may be only its upper rows.
    """

    key: str
    height: int
    clean: Levels
    degraded: Levels | None


@dataclass(frozen=True)
class SpanReader:
    """Turns spans of one shard into pixels; a surprise is a ``DamagedSample`` that names shard and key."""

    dataset: str
    shard: str
    max_pixels: int = MAX_PIXELS

    def damaged(self, kind: FaultKind, key: str, detail: str) -> DamagedSample:
        """The error for one sample."""
        return DamagedSample(Fault(kind, self.dataset, self.shard, key, detail))

    def check_row(self, row: Row) -> None:
        """Refuse a manifest row that no packer writes, before its bytes are touched.

        Raises:
            DamagedSample: a key that could leave a folder, or an image beyond ``max_pixels``.
        """
        parts = row.key.split("/")
        if not row.key or row.key.startswith("/") or ".." in parts or "\\" in row.key or "\0" in row.key:
            raise self.damaged("bad_key", row.key, "the key leaves its folder")
        if row.height < 1 or row.width < 1 or row.height * row.width > self.max_pixels:
            raise self.damaged(
                "absurd_size",
                row.key,
                f"{row.width}x{row.height} is empty or more than {self.max_pixels} pixels",
            )

    def check_bytes(self, span: bytes | memoryview, row: Row) -> None:
        """Compare a span with its row.

        Raises:
            DamagedSample: the shard ends before it ("truncated"), or its SHA-256 differs ("altered").
        """
        if len(span) != row.length:
            raise self.damaged("truncated", row.key, f"{len(span)} of {row.length} bytes at offset {row.offset}")
        if hashlib.sha256(span).digest() != row.digest:
            raise self.damaged("altered", row.key, f"SHA-256 differs from the manifest's at offset {row.offset}")

    def decode(self, span: bytes | memoryview, row: Row, rows: int | None = None) -> ImagePair:
        """The pixels of a span whose bytes were checked; with ``rows``, at least so many from the top.

        Raises:
            DamagedSample: members missing, doubled, of a refused kind, undecodable, or of another size
                than the row's.
        """
        images: dict[str, Levels] = {}
        try:
            for path, content in self._members(span, row):
                name = self._member_name(path, row)
                if name in images:
                    raise self.damaged("duplicate_key", row.key, f"two members called {name!r}")
                images[name] = decode_image(content, self.max_pixels, rows)
        except tarfile.TarError as error:
            raise self.damaged("corrupt_member", row.key, f"no readable tar: {error}") from error
        except UnusableImageError as error:
            raise self.damaged("corrupt_member", row.key, str(error)) from error
        wanted = {"clean", "degraded"} if row.degraded else {"clean"}
        if set(images) != wanted:
            raise self.damaged("corrupt_member", row.key, f"members {sorted(images)}, expected {sorted(wanted)}")
        for name, pixels in images.items():
            if pixels.shape[1] != row.width or pixels.shape[0] not in (row.height, rows):
                found = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise self.damaged("absurd_size", row.key, f"{name} is {found}, expected {row.width}x{row.height}")
        return ImagePair(row.key, row.height, images["clean"], images.get("degraded"))

    def _members(self, span: bytes | memoryview, row: Row) -> Iterator[tuple[str, bytes | memoryview]]:
        plain = plain_members(span)
        yield from self.members_by_tarfile(span, row) if plain is None else plain

    def members_by_tarfile(self, span: bytes | memoryview, row: Row) -> Iterator[tuple[str, bytes | memoryview]]:
        """(path, content) of each member.

        Raises:
            DamagedSample: a member is no regular file.
            tarfile.TarError: the span is no tar.
        """
        with tarfile.open(fileobj=io.BytesIO(span), mode="r:") as tar:
            for member in tar:
                if not member.isreg():
                    raise self.damaged("refused_member", row.key, f"{member.name!r} is no regular file")
                file = tar.extractfile(member)
                assert file is not None  # it is a regular file
                yield member.name, file.read()

    def _member_name(self, path: str, row: Row) -> str:
        rest = path.removeprefix(f"{row.key}.")
        name, _, suffix = rest.partition(".")
        # Only encoded images: in particular nothing that WebDataset would unpickle (.pyd, .pkl, .pth).
        if rest == path or name not in MEMBERS or f".{suffix.lower()}" not in SUFFIXES:
            raise self.damaged("refused_member", row.key, f"member {path!r} is no image of this sample")
        return name
