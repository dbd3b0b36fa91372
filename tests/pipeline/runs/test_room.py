"""Reservations: never over the total, never half, and a failure gives its room back."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import TrainingSettings
from pipeline.errors import UserError
from pipeline.runs.room import Room, each_worker


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(4, 8))
def test_all_runs_get_their_turn_within_the_total(amounts: list[int], total: int) -> None:
    room, held, most = Room({"CPU": total}), [0], [0]
    lock = threading.Lock()

    def hold(amount: int) -> None:
        with room.reserve({"CPU": 1}, [amount]):
            with lock:
                held[0] += amount
                most[0] = max(most[0], held[0])
            with lock:
                held[0] -= amount

    threads = [threading.Thread(target=hold, args=(amount,)) for amount in amounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)
    assert most[0] <= total


@given(
    st.lists(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, unique=True).map(sorted), min_size=1, max_size=6),
    st.lists(st.integers(8, 12), min_size=1, max_size=4),
)
def test_elastic_runs_share_the_total_and_all_get_their_turn(ranges: list[list[int]], totals: list[int]) -> None:
    room, held = Room({"CPU": totals[0]}), Counter[int]()
    over, lock = [], threading.Lock()

    def hold(number: int, worlds: list[int]) -> None:
        def told(workers: int) -> None:
            with lock:
                assert workers in worlds
                assert workers > held[number]
                held[number] = workers
                over.append(held.total() > totals[0])

        with room.reserve({"CPU": 1}, worlds, told) as share:
            assert share.workers >= held[number] >= worlds[0]
            with lock:
                held[number] = 0

    threads = [threading.Thread(target=hold, args=pair) for pair in enumerate(ranges)]
    for thread in threads:
        thread.start()
    for total in totals[1:]:
        room.resize({"CPU": total})
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)
    assert len(totals) > 1 or not any(over)
    with room.reserve({"CPU": 1}, [totals[-1]]):
        pass  # nothing was lost on the way


def test_an_elastic_run_takes_what_is_free_and_more_when_nobody_waits() -> None:
    room, told = Room({"CPU": 6}), []
    with ExitStack() as first, ExitStack() as second:
        small = first.enter_context(room.reserve({"CPU": 1}, [4]))
        elastic = second.enter_context(room.reserve({"CPU": 1}, [1, 2, 4, 8], told.append))
        assert (small.workers, elastic.workers) == (4, 2)
        large = room.reserve({"CPU": 1}, [6])
        waiting = threading.Thread(target=large.__enter__, daemon=True)
        waiting.start()
        while not room._queue:
            waiting.join(0.01)
        room.resize({"CPU": 8})
        assert elastic.workers == 2, "grew past a run that waits"
        first.close()
        waiting.join(timeout=10)
        assert not waiting.is_alive()
        room.resize({"CPU": 10})
        assert elastic.workers == 4
        room.resize({"CPU": 6})  # a node is lost: what is held stays held
        assert elastic.workers == 4
        room.resize({"CPU": 14})
        assert told == [2, 4, 8]


def test_a_failed_run_gives_its_room_back() -> None:
    room = Room({"CPU": 2})
    with pytest.raises(ZeroDivisionError), room.reserve({"CPU": 1}, [2]):
        raise ZeroDivisionError
    with room.reserve({"CPU": 1}, [2]):
        pass


def test_what_never_fits_is_refused_with_both_numbers() -> None:
    settings = TrainingSettings(steps=1, global_batch_size=4, num_workers=4, cpus_per_worker=2)
    with pytest.raises(UserError, match=r"sr_x2: training asks for 8 CPUs at once, the cluster has 2"):
        Room({"CPU": 2, "GPU": 0}).check(each_worker(settings), 4, "sr_x2")
    gpu = TrainingSettings(steps=1, global_batch_size=2, use_gpu=True)
    with pytest.raises(UserError, match="2 GPUs"):
        Room({"CPU": 8, "GPU": 1}).check(each_worker(gpu), 2, "sr_x2")
