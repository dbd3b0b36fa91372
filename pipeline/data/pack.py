"""Write images as WebDataset shards with a manifest.

A sample's members are ``<key>.clean.<codec>`` and, for pairs, ``<key>.degraded.<codec>``: any WebDataset
reader understands the shards without the manifest. The same images give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import webdataset as wds

from pipeline.data.encode import Encoded, PackSettings, Skipped, encode_source
from pipeline.data.manifest import (
    MANIFEST_NAME,
    DatasetSummary,
    Manifest,
    Row,
    Shard,
    encode_manifest,
    load_manifest,
)
from pipeline.data.sources import Source, check_unique, fingerprint
from pipeline.errors import UserError
from pipeline.storage import Storage, open_storage

SHARD_NAME = "shard-{:06d}.tar"
Progress = Callable[[Source], None]


@dataclass
class _ShardInProgress:
    """One tar being filled in memory; its size is bounded by the target size and one sample."""

    buffer: io.BytesIO = field(default_factory=io.BytesIO)
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Fixed time and owner: equal images make equal bytes (a float time would add a PAX header each).
        self.writer = wds.TarWriter(self.buffer, encoder=False, compress=False, mtime=0, user="", group="")

    @property
    def length(self) -> int:
        return self.writer.tarstream.offset

    def add(self, sample: Encoded) -> None:
        start = self.length
        self.writer.write({"__key__": sample.key, **sample.members})
        self.rows.append(
            Row(
                key=sample.key,
                offset=start,
                length=self.length - start,
                digest=b"",
                height=sample.height,
                width=sample.width,
                channels=sample.channels,
                degraded="degraded" in {name.split(".")[0] for name in sample.members},
            )
        )

    def close(self) -> tuple[bytes, list[Row]]:
        """The tar's bytes, and its rows with the digests of their spans."""
        self.writer.close()
        data = self.buffer.getvalue()
        rows = [
            Row(
                **{**vars(row), "digest": hashlib.sha256(data[row.offset : row.offset + row.length]).digest()}
            )
            for row in self.rows
        ]
        return data, rows


def pack_dataset(
    sources: Sequence[Source],
    output: str,
    settings: PackSettings | None = None,
    *,
    progress: Progress = lambda source: None,
    map_ordered: Callable[..., Iterator[list[Encoded] | Skipped]] = map,
) -> Manifest:
    """Pack images into ``output`` and return its manifest; does nothing when exactly this was packed
    there before.

    Args:
        sources: what to pack; the order is kept.
        output: folder or S3 prefix; it may hold an unfinished attempt, which is written over.
        settings: codec, sub-images, shard size, how many corrupt images are too many.
        progress: called after each source.
        map_ordered: ``map`` or one that runs elsewhere and keeps the order: the slow part, decoding and
            encoding, goes through it.

    Raises:
        UserError: nothing to pack, two equal keys, another dataset at ``output``, or too many corrupt images.
    """
    settings = settings or PackSettings()
    if not sources:
        raise UserError("no images to pack")
    check_unique(sources)
    mark = fingerprint(sources, repr(settings))
    storage = open_storage(output)
    if storage.exists(MANIFEST_NAME):
        manifest = load_manifest(output, storage)
        if manifest.summary.fingerprint == mark:
            return manifest
        raise UserError(
            f"{output!r} holds another dataset ({manifest.num_samples} samples);"
            " choose another output or remove it"
        )
    skipped: list[Skipped] = []
    shards: list[Shard] = []
    rows_per_shard: list[list[Row]] = []
    current = _ShardInProgress()
    decoded_bytes = 0
    limit = settings.max_skipped_share * len(sources)
    results = map_ordered(encode_source, sources, [settings] * len(sources))
    for source, result in zip(sources, results, strict=True):
        if isinstance(result, Skipped):
            skipped.append(result)
            if len(skipped) > limit:
                raise UserError(_too_many(skipped, len(sources), settings.max_skipped_share))
        else:
            for sample in result:
                current.add(sample)
                decoded_bytes += sample.decoded_bytes
                if current.length >= settings.shard_bytes:
                    _finish(storage, current, shards, rows_per_shard)
                    current = _ShardInProgress()
        progress(source)
    if current.rows:
        _finish(storage, current, shards, rows_per_shard)
    if not shards:
        raise UserError(_too_many(skipped, len(sources), settings.max_skipped_share))
    rows = [row for group in rows_per_shard for row in group]
    summary = DatasetSummary(
        shards=tuple(shards),
        min_height=min(row.height for row in rows),
        min_width=min(row.width for row in rows),
        decoded_bytes=decoded_bytes,
        has_degraded=all(row.degraded for row in rows),
        fingerprint=mark,
        skipped=tuple((item.source, item.reason) for item in skipped),
        credits=tuple((source.key, source.credit) for source in sources if source.credit),
    )
    storage.write(MANIFEST_NAME, encode_manifest(summary, rows_per_shard))
    return load_manifest(output, storage)


def _finish(storage: Storage, current: _ShardInProgress, shards: list[Shard], rows: list[list[Row]]) -> None:
    data, shard_rows = current.close()
    name = SHARD_NAME.format(len(shards))
    storage.write(name, data)
    shards.append(Shard(name, len(data), hashlib.sha256(data).hexdigest(), len(shard_rows)))
    rows.append(shard_rows)


def _too_many(skipped: Sequence[Skipped], total: int, share: float) -> str:
    first = skipped[0]
    return (
        f"{len(skipped)} of {total} images cannot be used, more than the allowed share {share:g};"
        f" the first is {first.source}: {first.reason}; mend them, or raise --max-skipped-share"
    )
