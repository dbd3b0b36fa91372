from __future__ import annotations

import pytest

from pipeline.storage import StorageUnavailable
from pipeline.storage.retry import RETRIES, retry


class Clock:
    def __init__(self) -> None:
        self.now, self.pauses = 0.0, []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def failing(times: int, error: Exception):
    left = [times]

    def call() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return "answer"

    return call


def attempt(call, clock: Clock, deadline_s: float = 60, **options):
    return retry(
        call,
        is_transient=lambda error: isinstance(error, TimeoutError),
        deadline_s=deadline_s,
        what="reading x",
        clock=clock,
        pause=clock.pause,
        **options,
    )


def test_transient_failures_are_waited_out_with_growing_bounded_pauses():
    clock, before = Clock(), RETRIES.total
    assert attempt(failing(12, TimeoutError("busy")), clock) == "answer"
    assert len(clock.pauses) == RETRIES.total - before == 12
    assert clock.pauses[0] <= 0.2 + 1e-3
    assert max(clock.pauses) <= 5.0 + 1e-3


def test_after_the_deadline_the_last_failure_is_told():
    clock = Clock()
    with pytest.raises(StorageUnavailable, match=r"reading x still failing after 10 s .* TimeoutError: busy") as caught:
        attempt(failing(10**6, TimeoutError("busy")), clock, deadline_s=10)
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert clock.now == pytest.approx(10, abs=0.1), "no sleep past the deadline"


def test_a_call_of_many_requests_that_worked_for_long_before_one_failed_is_given_the_whole_deadline():
    clock = Clock()
    upload = failing(3, TimeoutError("busy"))

    def long_call() -> str:
        clock.now += 40
        return upload()

    assert attempt(long_call, clock, deadline_s=100, many_requests=True) == "answer"
    upload = failing(10**6, TimeoutError("busy"))
    with pytest.raises(StorageUnavailable, match="and 1 attempts"):
        attempt(long_call, clock, deadline_s=30)
    with pytest.raises(StorageUnavailable, match="and 2 attempts"):
        attempt(long_call, clock, deadline_s=30, many_requests=True)


def test_a_permanent_failure_is_raised_at_once():
    clock = Clock()
    with pytest.raises(KeyError):
        attempt(failing(1, KeyError("gone")), clock)
    assert clock.pauses == []
