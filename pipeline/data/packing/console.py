"""Packing as a person watches it: a progress bar, then what was written and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.data.manifest import Manifest
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import OF_PREPARE, EncodeAll, Remedies, encode_here, pack_dataset
from pipeline.data.packing.sources import Source
from pipeline.wording import counted, data_size, escaped

SHOWN_SKIPS, SHOWN_NOTES = 20, 20


def pack_with_progress(
    sources: Sequence[Source],
    output: str,
    settings: PackSettings,
    encode_all: EncodeAll = encode_here,
    replace: bool = False,
    force: str = "",
    console: Console | None = None,
    remedies: Remedies = OF_PREPARE,
    distinct: bool = False,
) -> Manifest:
    """``pack_dataset`` with a bar on a terminal, and a summary either way.

    Raises:
        UserError: as ``pack_dataset``.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    columns = (
        TextColumn("packing {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(output, total=len(sources))
        seen: Counter[str] = Counter()
        manifest = pack_dataset(
            sources,
            output,
            settings,
            progress=lambda source: progress.advance(bar),
            noted=lambda source, notes: seen.update(notes),
            encode_all=encode_all,
            replace=replace,
            force=force,
            remedies=remedies,
            distinct=distinct,
        )
    summarize(manifest, console)
    for note, count in seen.most_common(SHOWN_NOTES):
        console.print(escaped(f"  of {counted(count, 'image')}: {note}"), markup=False)
    if len(seen) > SHOWN_NOTES:  # such as the length of what lies behind each picture
        console.print(f"  … and {len(seen) - SHOWN_NOTES} notes of other words")
    return manifest


def summarize(manifest: Manifest, console: Console) -> None:
    """Print what a dataset holds, whom to credit and what was skipped."""
    console.print(
        f"{manifest.uri}: {counted(manifest.num_samples, 'sample')} in {counted(len(manifest.shards), 'shard')},"
        f" {data_size(sum(shard.size for shard in manifest.shards))},"
        f" smallest side {min(manifest.min_height, manifest.min_width)} px",
        markup=False,
    )
    for key, credit in manifest.summary.credits:
        console.print(escaped(f"  {key}: {credit}"), markup=False)
    skipped = manifest.summary.skipped
    for source, reason in skipped[:SHOWN_SKIPS]:
        console.print(escaped(f"  skipped {source}: {reason}"), markup=False)
    if len(skipped) > SHOWN_SKIPS:
        console.print(f"  … and {len(skipped) - SHOWN_SKIPS} more skipped, listed in the manifest")
