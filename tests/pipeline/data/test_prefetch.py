from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.data.mixture import MixedOrder
from pipeline.data.order import SampleOrder
from pipeline.data.prefetch import BlockPrefetcher


class Reader:
    """Serves cells as their own pixels; ``closed`` when the reading ended."""

    closed = False

    def fetch(self, cells: list[Any]) -> dict[Any, Any]:
        return {cell: cell for cell in cells}

    def decode(self, cell: Any, span: Any, rows: Any) -> Any:
        assert cell == span
        return cell

    def close(self) -> None:
        self.closed = True


class Recorded(SampleOrder):
    """Knows which blocks were asked for."""

    def block(self, block: Any) -> Any:
        self.asked = [*getattr(self, "asked", []), block]
        return super().block(block)


@pytest.mark.parametrize(("streams", "ahead"), [(1, 1), (1, 3), (4, 2), (4, 8)])
def test_reading_stays_ahead_by_as_many_blocks_for_the_whole_run(streams: int, ahead: int) -> None:
    own = Recorded(np.array([30, 21, 40]), 3, streams, 5)
    order = MixedOrder([own], [1], 3)
    reader: Any = Reader()
    prefetcher = BlockPrefetcher((reader,), order, rows_needed=lambda *_: None, blocks_ahead=ahead, threads=1)
    reached: list[Any] = []
    for count, (position, dataset, cell) in enumerate(prefetcher.images(range(600))):
        assert (position, dataset) == (count, 0)
        place = own.place(position)
        assert cell == (place.shard, place.row)
        if place.block not in reached:
            reached.append(place.block)
        if count < 450:  # near the end there is nothing left to ask for
            still_ahead = len(own.asked) - len(reached)
            # What is asked for comes in the order of need; a block that only fills up asks for no other.
            assert ahead - 1 <= still_ahead <= ahead, f"at position {position}"
    assert count == 599
    assert len(set(own.asked)) == len(own.asked), "a block was read twice"
    assert reader.closed


def test_the_positions_that_exist_are_all_served_and_no_more() -> None:
    order = MixedOrder([SampleOrder(np.array([3]), 0, 1, 4)], [1], 0)
    reader: Any = Reader()
    prefetcher = BlockPrefetcher((reader,), order, rows_needed=lambda *_: None)
    assert [position for position, _, _ in prefetcher.images([0, 1, 2, 3])] == [0, 1, 2, 3]
    assert list(BlockPrefetcher((reader,), order, rows_needed=lambda *_: None).images([])) == []
