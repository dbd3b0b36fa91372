"""Write images as WebDataset shards with a manifest.

A sample's members are ``<key>.clean.<codec>`` and, for pairs, ``<key>.degraded.<codec>``: any WebDataset
reader understands the shards without the manifest. The same images give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.data.manifest import MANIFEST_NAME, Manifest, load_manifest
from pipeline.data.packing.draft import Draft, ShardBuffer
from pipeline.data.packing.encode import Encoded, PackSettings, Skipped, encode_source
from pipeline.data.packing.sources import Source, check_unique, fingerprint
from pipeline.errors import UserError
from pipeline.storage import Storage, open_storage
from pipeline.storage.lease import Lease, sole_writer
from pipeline.wording import counted

Progress = Callable[[Source], None]
Noted = Callable[[Source, tuple[str, ...]], None]
EncodeAll = Callable[[Sequence[Source], PackSettings], Iterable[list[Encoded] | Skipped]]


@dataclass(frozen=True)
class Remedies:
    """What to do, in the words of the command that packs. damaged: too many images; taken: another data set there."""

    damaged: str = "mend them, or raise --max-skipped-share"
    taken: str = "choose another output, or --replace it"


OF_PREPARE = Remedies()


def encode_here(sources: Sequence[Source], settings: PackSettings) -> Iterable[list[Encoded] | Skipped]:
    """The samples of each source, one after the other, in this process."""
    return (encode_source(source, settings) for source in sources)


def pack_dataset(
    sources: Sequence[Source],
    output: str,
    settings: PackSettings | None = None,
    *,
    progress: Progress = lambda source: None,
    noted: Noted = lambda source, notes: None,
    encode_all: EncodeAll = encode_here,
    replace: bool = False,
    force: str = "",
    remedies: Remedies = OF_PREPARE,
    distinct: bool = False,
) -> Manifest:
    """Pack images into ``output`` and return its manifest.

    Does nothing when exactly this was packed there before, and continues an interrupted packing of the same
    images after its last whole shard.

    Args:
        sources: what to pack; the order is kept.
        output: folder or S3 prefix.
        settings: codec, sub-images, shard size, how many corrupt images are too many.
        progress: called after each source.
        noted: called with what was assumed of a source, or left out of its samples.
        encode_all: the slow part, decoding and encoding; may run elsewhere, must keep the order.
        replace: put this in the place of another dataset; a reader of the old one will find it damaged.
        force: the reason why another packer that writes there is to be pushed aside.
        remedies: what its errors say to do.
        distinct: the keys are known to be: they are not held in memory to be compared.

    Raises:
        UserError: nothing to pack, two equal keys, another dataset or a packer at ``output``, or too
            many corrupt images.
    """
    settings = settings or PackSettings()
    if not sources:
        raise UserError("no images to pack")
    if not distinct:
        check_unique(sources)
    mark, storage = fingerprint(sources, repr(settings)), open_storage(output)
    if (finished := _finished(storage, output, mark, replace, remedies)) is not None:
        return finished
    with sole_writer(output, f"the dataset {output!r}", force) as lease:
        if (finished := _finished(storage, output, mark, replace, remedies)) is not None:
            return finished
        storage.delete(MANIFEST_NAME)
        _write_shards(sources, storage, mark, settings, progress, noted, encode_all, lease, remedies)
    return load_manifest(output, storage)


def is_packed(sources: Sequence[Source], output: str, settings: PackSettings) -> bool:
    """Whether exactly this lies at ``output``, so that :func:`pack_dataset` would write nothing."""
    mark = fingerprint(sources, repr(settings))
    try:
        return _finished(open_storage(output), output, mark, replace=True, remedies=OF_PREPARE) is not None
    except (UserError, OSError):  # damaged, or not to be read
        return False


def _finished(storage: Storage, output: str, mark: str, replace: bool, remedies: Remedies) -> Manifest | None:
    """The dataset of fingerprint ``mark``, if it is there whole; raises UserError for another that is to stay."""
    if not storage.exists(MANIFEST_NAME):
        return None
    manifest = load_manifest(output, storage)
    if manifest.summary.fingerprint == mark:
        return manifest
    if not replace:
        raise UserError(
            f"{output!r} holds another dataset ({counted(manifest.num_samples, 'sample')}); {remedies.taken}"
        )
    return None


def _write_shards(
    sources: Sequence[Source], storage: Storage, mark: str, settings: PackSettings, progress: Progress, noted: Noted,
    encode_all: EncodeAll, lease: Lease, remedies: Remedies,
) -> None:  # fmt: skip
    draft = Draft(storage, mark)
    draft.restore()
    for source in sources[: draft.sources_done]:
        progress(source)
    buffer = ShardBuffer()
    try:
        for number, result in enumerate(encode_all(sources[draft.sources_done :], settings), start=draft.sources_done):
            if isinstance(result, Skipped):
                draft.skipped.append(result)
                draft.corrupt += result.corrupt
                if draft.corrupt > settings.max_skipped_share * len(sources):
                    raise _too_many(result, draft.corrupt, len(sources), settings, remedies)
            else:
                for sample in result:
                    buffer.add(sample)
                if result and result[0].notes:
                    noted(sources[number], result[0].notes)
                # Only between sources, so that a record can say which sources are done.
                if buffer.length >= settings.shard_bytes:
                    lease.check()
                    draft.store(buffer, number + 1)
                    buffer = ShardBuffer()
            progress(sources[number])
        if buffer.rows:
            draft.store(buffer, len(sources))
    finally:
        buffer.close()  # here, also where its file was refused: the interpreter would try it again, with a traceback
    if not draft.shards:
        first, all_of = draft.skipped[0], counted(len(sources), "image")
        raise UserError(f"none of {all_of} can be used; the first is {first.source}: {first.reason}")
    lease.check()
    draft.finish(credits_of(sources))


def credits_of(sources: Sequence[Source]) -> tuple[tuple[str, str], ...]:
    """(whose, whom to thank): by key, or by number where several images share their credit."""
    keys: dict[str, list[str]] = {}
    for source in sources:
        if source.credit:
            keys.setdefault(source.credit, []).append(source.key)
    return tuple((own[0] if len(own) == 1 else f"{len(own)} images", credit) for credit, own in keys.items())


def _too_many(latest: Skipped, corrupt: int, total: int, settings: PackSettings, remedies: Remedies) -> UserError:
    return UserError(
        f"{corrupt} of {counted(total, 'image')} cannot be used, more than the allowed share "
        f"{settings.max_skipped_share:g}; the last is "
        f"{latest.source}: {latest.reason}; {remedies.damaged}"
    )
