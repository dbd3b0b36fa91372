"""Reservations: never over the total, never half, and a failure gives its room back."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import TrainingSettings
from pipeline.errors import UserError
from pipeline.runs.room import Room, needs


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(4, 8))
def test_all_runs_get_their_turn_within_the_total(amounts: list[int], total: int) -> None:
    room, held, most = Room({"CPU": total}), [0], [0]
    lock = threading.Lock()

    def hold(amount: int) -> None:
        with room.reserve({"CPU": amount}):
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


def test_a_failed_run_gives_its_room_back() -> None:
    room = Room({"CPU": 2})
    with pytest.raises(ZeroDivisionError), room.reserve({"CPU": 2}):
        raise ZeroDivisionError
    with room.reserve({"CPU": 2}):
        pass


def test_what_never_fits_is_refused_with_both_numbers() -> None:
    settings = TrainingSettings(steps=1, global_batch_size=4, num_workers=4, cpus_per_worker=2)
    with pytest.raises(UserError, match=r"sr_x2: training asks for 8 CPUs at once, the cluster has 2"):
        Room({"CPU": 2, "GPU": 0}).check(needs(settings), "sr_x2")
    gpu = TrainingSettings(steps=1, global_batch_size=2, use_gpu=True)
    with pytest.raises(UserError, match="2 GPUs"):
        Room({"CPU": 8, "GPU": 1}).check(needs(gpu), "sr_x2")
