"""TIFF directories (image file directories), which EXIF data is made of too: read, changed and written byte for byte.

Layout and type sizes: TIFF 6.0, section 2; BigTIFF (magic 43) has 8-byte counts and offsets. Only as much is understood
as copying needs: a value stays the bytes that the file has.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal, cast

Order = Literal["<", ">"]
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
ORIENTATION, EXIF_WIDTH, EXIF_HEIGHT = 0x0112, 0xA002, 0xA003
# Bytes of one value, by type; the last three are BigTIFF's.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SHORT, _LONG, _LONG8 = 3, 4, 16
_CHILDREN = (EXIF, GPS, INTEROPERABILITY)
_MAX_ENTRIES = 4096
_MAX_DEPTH = 3
_MAX_VALUE_BYTES = 64 << 20


class BadDirectoryError(ValueError):
    """The bytes are no directory that can be copied."""


@dataclass(frozen=True)
class Field:
    """One entry: its tag, type, number of values, and their bytes; or the directory that it points to."""

    tag: int
    kind: int
    count: int
    value: bytes = b""
    children: tuple[Field, ...] | None = None


@dataclass(frozen=True)
class Directory:
    """A directory apart from its file: the byte order of all values, and the fields by ascending tag."""

    order: Order
    fields: tuple[Field, ...]

    def without(self, tags: Iterable[int]) -> Directory:
        """The directory less some tags."""
        gone = frozenset(tags)
        return replace(self, fields=tuple(field for field in self.fields if field.tag not in gone))


@dataclass(frozen=True)
class _Form:
    """How a file counts and points: classic TIFF or BigTIFF."""

    order: Order
    big: bool

    @property
    def pointer(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    @property
    def number(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))


def _form(file: BinaryIO) -> tuple[_Form, int]:
    file.seek(0)
    head = file.read(16)
    orders: Mapping[bytes, Order] = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    if order is None or len(head) < 8:
        raise BadDirectoryError("no TIFF header")
    magic = struct.unpack(order + "H", head[2:4])[0]
    if magic not in (42, 43) or (magic == 43 and len(head) < 16):
        raise BadDirectoryError("no TIFF header")
    form = _Form(order, magic == 43)
    return form, form.pointer.unpack_from(head, 8 if form.big else 4)[0]


def read_directory(file: BinaryIO) -> Directory:
    """The first directory of a TIFF file, or of EXIF data without its "Exif" prefix, children included.

    Fields of unknown types and those whose bytes lie outside the file are left out. Raises BadDirectoryError when the
    header or the directory itself cannot be read.
    """
    form, offset = _form(file)
    end = file.seek(0, io.SEEK_END)
    return Directory(form.order, _fields(file, form, offset, end, 0))


def _fields(file: BinaryIO, form: _Form, offset: int, end: int, depth: int) -> tuple[Field, ...]:
    found: dict[int, Field] = {}
    for tag, kind, count, inline in _entries(file, form, offset, end):
        length = _SIZES.get(kind, 0) * count
        if not length or length > _MAX_VALUE_BYTES or tag in found:
            continue
        if length <= len(inline):
            value = inline[:length]
        else:
            at = form.pointer.unpack(inline)[0]
            if at + length > end:
                continue
            file.seek(at)
            value = file.read(length)
        if tag in _CHILDREN and depth < _MAX_DEPTH and kind in (_LONG, 13, _LONG8, 18) and count == 1:
            at = int.from_bytes(value, "little" if form.order == "<" else "big")
            try:
                found[tag] = Field(tag, _LONG, 1, children=_fields(file, form, at, end, depth + 1))
            except BadDirectoryError:
                continue
        else:
            found[tag] = Field(tag, kind, count, value)
    return tuple(sorted(found.values(), key=lambda field: field.tag))


def _entries(file: BinaryIO, form: _Form, offset: int, end: int) -> list[tuple[int, int, int, bytes]]:
    if not 8 <= offset <= end - form.number.size:
        raise BadDirectoryError("a directory lies outside the file")
    file.seek(offset)
    number = form.number.unpack(file.read(form.number.size))[0]
    block = file.read(min(number, _MAX_ENTRIES) * form.entry.size)
    if number > _MAX_ENTRIES or len(block) < number * form.entry.size:
        raise BadDirectoryError(f"a directory of {number} entries")
    return list(form.entry.iter_unpack(block))


def orientation(exif: bytes | None) -> int:
    """EXIF's orientation, 1 to 8, of EXIF data with or without its prefix; 1 where there is none that can be read."""
    if not exif:
        return 1
    try:
        return stated_orientation(read_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0"))))
    except BadDirectoryError:
        return 1


def stated_orientation(directory: Directory) -> int:
    """The orientation that a directory states, 1 to 8; 1 where there is none."""
    for field in directory.fields:
        if field.tag == ORIENTATION and field.kind == _SHORT and field.count == 1:
            value = int(struct.unpack(directory.order + "H", field.value)[0])
            return value if 1 <= value <= 8 else 1
    return 1


def with_size(directory: Directory, width: int, height: int) -> Directory:
    """The directory with the EXIF size in pixels brought up to date where it states one."""
    sizes = {EXIF_WIDTH: width, EXIF_HEIGHT: height}

    def change(field: Field) -> Field:
        if field.children is not None:
            return replace(field, children=tuple(change(child) for child in field.children))
        if field.tag in sizes:
            return Field(field.tag, _LONG, 1, struct.pack(directory.order + "I", sizes[field.tag]))
        return field

    return replace(directory, fields=tuple(change(field) for field in directory.fields))


def patch_size(exif: bytes, width: int, height: int) -> bytes:
    """EXIF data without prefix, with the stated size in pixels changed in place and every other byte as it was."""
    file = io.BytesIO(exif)
    try:
        form, offset = _form(file)
        pointers = [e for e in _entries(file, form, offset, len(exif)) if e[0] == EXIF]
        if form.big or not pointers:
            return exif
        inner = form.pointer.unpack(pointers[0][3])[0]
        entries = _entries(file, form, inner, len(exif))
    except BadDirectoryError:
        return exif
    changed = bytearray(exif)
    for number, (tag, _, _, _) in enumerate(entries):
        if tag in (EXIF_WIDTH, EXIF_HEIGHT):
            value = struct.pack(form.order + "I", width if tag == EXIF_WIDTH else height)
            form.entry.pack_into(changed, inner + 2 + number * form.entry.size, tag, _LONG, 1, value)
    return bytes(changed)


def merge(tiff: bytes, carried: Directory, own: frozenset[int]) -> bytes:
    """A TIFF file with a second set of tags in its first directory.

    tiff: a file of one page, in the byte order of ``carried``. own: tags that the file itself must state; of all others
    the carried ones are written, and where none was carried the file's.
    """
    file = io.BytesIO(tiff)
    form, offset = _form(file)
    if form.order != carried.order:
        raise ValueError(f"a file of byte order {form.order!r} cannot take tags of {carried.order!r}")
    extra = {field.tag: field for field in carried.fields if field.tag not in own}
    kept = [entry for entry in _entries(file, form, offset, len(tiff)) if entry[0] not in extra]
    out = bytearray(tiff)
    entries = [form.entry.pack(*entry) for entry in kept]
    entries += [_append(out, form, field) for field in extra.values()]
    start = _append_directory(out, form, entries)
    form.pointer.pack_into(out, 8 if form.big else 4, start)
    return bytes(out)


def _append(out: bytearray, form: _Form, field: Field) -> bytes:
    """Write a field's bytes at the end; its entry."""
    kind, count, value = field.kind, field.count, field.value
    if field.children is not None:
        at = _append_directory(out, form, [_append(out, form, child) for child in field.children])
        kind, count, value = (_LONG8 if form.big else _LONG), 1, form.pointer.pack(at)
    room = form.pointer.size
    if len(value) > room:
        at = _aligned_end(out)
        out += value
        value = form.pointer.pack(at)
    return form.entry.pack(field.tag, kind, count, value.ljust(room, b"\0"))


def _append_directory(out: bytearray, form: _Form, entries: list[bytes]) -> int:
    start = _aligned_end(out)
    entries.sort(key=lambda entry: cast(int, struct.unpack_from(form.order + "H", entry)[0]))
    out += form.number.pack(len(entries)) + b"".join(entries) + form.pointer.pack(0)
    return start


def _aligned_end(out: bytearray) -> int:
    out += bytes(-len(out) % 8)  # TIFF wants even offsets, BigTIFF offsets of eight
    return len(out)
