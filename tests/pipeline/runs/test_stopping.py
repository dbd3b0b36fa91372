"""Being told to stop: by SIGTERM, or a minute before a time limit."""

from __future__ import annotations

import os
import signal

import pytest

from pipeline.runs import stopping
from pipeline.runs.stopping import told_to_stop


def test_sigterm_sets_the_flag_and_says_why() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with told_to_stop() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)
        assert stop.why == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_time_limit_stops_before_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "BEFORE_LIMIT_S", 3599.9)
    with told_to_stop(3600.0) as stop:
        assert stop.wait(30)
        assert stop.why == "the time limit"


def test_a_limit_that_was_not_reached_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with told_to_stop(3600.0) as stop:
        pass
    assert not stop.is_set()
