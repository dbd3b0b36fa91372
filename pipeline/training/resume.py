"""Which checkpoint a group of workers goes on from: each proves its own copy, and all take the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch.distributed as dist

from pipeline.training.shelf import Shelf, checkpoint_name

FETCH_TIMEOUT = timedelta(hours=2)  # ranks are done at different times; a dead peer still shows at once
NONE = ""  # sorts before every name


@contextmanager
def newest_checkpoint(
    shelf: Shelf, rank: int, say: Callable[[str], None], at_most: int | None = None,
    settle: Callable[[], None] = lambda: None,
) -> Iterator[Path | None]:  # fmt: skip
    """A folder with the newest whole checkpoint on ``shelf`` while the block runs, None if there is none. Collective.

    Every rank fetches and proves all of it. If one found an older one than the others, all take that. Rank 0 puts away
    what is newer and not whole, before any rank can save again, and says so, a line for each; also that the run begins
    anew though there were checkpoints.

    ``at_most``: the newest of so many steps at most, and rank 0 removes newer ones, the history that is given up. Every
    rank first waits in ``settle`` for its own that are still on their way: one that arrived later would be taken for
    the newest by the next start.
    """
    limit = None if at_most is None else checkpoint_name(at_most)
    with TemporaryDirectory(prefix="semanir-resume-") as name:
        scratch = Path(name)
        with _patient_group() as gather:
            if at_most is not None:
                settle()
                gather(NONE)
            found = shelf.fetch_newest(scratch, no_newer_than=limit)
            agreed = min(gather(found.name))
            unusable = found.unusable
            if found.name != agreed:
                found = shelf.fetch_newest(scratch, no_newer_than=agreed)
                if found.name != agreed:
                    raise RuntimeError(f"checkpoint {agreed or 'none'} is whole for another rank, not for this one")
            if rank == 0:
                for one in unusable:
                    say(shelf.put_away(one))
                if at_most is not None:
                    shelf.delete_newer_than(agreed)
                if unusable:
                    say(f"the run goes on from {agreed}" if agreed else "no checkpoint is whole: the run begins anew")
            gather(agreed)
        yield found.folder


@contextmanager
def _patient_group() -> Iterator[Callable[[str], list[str]]]:
    """A function that gives every rank what all of them said, however long one of them takes to say it."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        yield lambda own: [own]
        return
    group = dist.new_group(backend="gloo", timeout=FETCH_TIMEOUT)

    def gather(own: str) -> list[str]:
        said: list[Any] = [NONE] * dist.get_world_size()
        dist.all_gather_object(said, own, group=group)
        return said

    try:
        yield gather
    finally:
        dist.destroy_process_group(group)
