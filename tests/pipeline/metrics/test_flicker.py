"""Flicker by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics.flicker import flicker


def frames(*levels: float) -> list[np.ndarray]:
    """Flat frames of these gray levels."""
    return [np.full((2, 3, 3), level / 255, np.float32) for level in levels]


@pytest.mark.parametrize(
    ("restored", "truth", "expected"),
    [
        ((10, 10, 10), (10, 10, 10), 0),
        ((15, 25, 35), (10, 20, 30), 0),  # a constant error does not flicker
        ((10, 14, 10), (10, 10, 10), 4),  # +4, then -4
        ((10, 10, 10), (10, 20, 20), 5),  # a change that is missed: 10, then 0
        ((0, 255), (255, 0), 510),
    ],
)  # fmt: skip
def test_worked_by_hand(restored, truth, expected) -> None:
    assert flicker(frames(*restored), frames(*truth)) == pytest.approx(expected, abs=1e-4)


def test_pixels_count_alike() -> None:
    truth = frames(0, 0)
    restored = frames(0, 0)
    restored[1][0, 0, 0] = 18 / 255  # one of 18 values
    assert flicker(restored, truth) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="two frames or more"):
        flicker(frames(1), frames(1))
    with pytest.raises(ValueError, match="two frames or more"):
        flicker(frames(1, 2, 3), frames(1, 2))
    with pytest.raises(ValueError, match="one size"):
        flicker(frames(1, 2), [frame[:1] for frame in frames(1, 2)])
