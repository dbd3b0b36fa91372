"""The rule by which a finite spike is found: pure, and the same after a resume."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import SpikeSettings, resolve
from pipeline.errors import UserError
from pipeline.training.spikes import RollBack, RunningAverage, SpikeRule, SpikeState
from pipeline.training.state import TrainingState

figures = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60)


def rule(state: SpikeState | None = None, **settings: object) -> SpikeRule:
    return SpikeRule(
        SpikeSettings.model_validate({"threshold": 6, "warmup_steps": 5, **settings}), state or SpikeState()
    )


@given(figures)
def test_the_first_values_weigh_the_same(values: list[float]) -> None:
    average = RunningAverage()
    for value in values:
        average.add(value, 1 - 1e-9)
    assert average.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert average.variance == pytest.approx(np.var(values), abs=1e-6, rel=1e-6)


@given(figures, st.floats(0.5, 0.99))
def test_later_ones_weigh_exponentially(values: list[float], decay: float) -> None:
    average, weights = RunningAverage(), np.zeros(0)
    for number, value in enumerate(values, start=1):
        average.add(value, decay)
        share = max(1 / number, 1 - decay)
        weights = np.append(weights * (1 - share), share)
    mean = weights @ np.array(values)
    assert average.mean == pytest.approx(mean, abs=1e-6)
    assert average.variance == pytest.approx(weights @ (np.array(values) - mean) ** 2, abs=1e-4, rel=1e-6)


def test_a_spike_of_either_figure_is_found_in_its_step_and_moves_nothing() -> None:
    judged = rule()
    rng = np.random.default_rng(0)
    for step in range(40):
        assert judged.takes(0.3 + 0.02 * rng.standard_normal(), 1 + 0.1 * rng.standard_normal())
        assert judged.note(step, taken=True) is None
    before = json.dumps(TrainingState("", spikes=judged.state).to_dict())
    assert not judged.takes(0.6, 1.0)
    assert judged.why.startswith("loss 0.6 is ")
    assert not judged.takes(0.3, 2.5)
    assert judged.why.startswith("gradient norm 2.5 is ")
    assert json.dumps(TrainingState("", spikes=judged.state).to_dict()) == before
    assert judged.note(40, taken=False) is None
    assert judged.state.left_out == [40]
    assert judged.takes(0.31, 1.1)


def test_a_warm_up_judges_nothing_and_small_waves_are_none() -> None:
    judged = rule(warmup_steps=4)
    assert all(judged.takes(loss, 1.0) for loss in (0.3, 0.9, 0.3, 0.3))
    judged = rule(warmup_steps=4)
    assert all(judged.takes(0.3, 1.0) for _ in range(10))
    assert not judged.takes(0.3 * 1.07, 1.0)  # seven hundredths above a mean that never moved
    assert judged.takes(0.3 * 1.05, 1.0)


def test_a_figure_that_is_no_number_is_a_spike() -> None:
    judged = rule(warmup_steps=2)
    assert all(judged.takes(0.3, 1.0) for _ in range(3))
    assert not judged.takes(0.3, float("nan"))
    judged = rule(warmup_steps=2)
    assert judged.note(0, taken=False) is None
    assert judged.why == "its gradient is not finite"


@pytest.mark.parametrize(("step", "back", "left_out"), [(20, 15, [15, 16, 17, 18, 19, 20]), (3, 0, [0, 1, 2, 3])])
def test_three_in_a_row_send_the_run_back(step: int, back: int, left_out: list[int]) -> None:
    judged = rule(patience=3)
    found: RollBack | None = None
    for number in range(step - 2, step + 1):
        assert found is None
        found = judged.note(number, taken=False)
    assert found is not None
    assert (found.step, found.left_out) == (back, left_out)
    assert rule(most=len(left_out) - 1).too_many(found) == len(left_out)
    assert not rule(most=len(left_out)).too_many(found)


def test_one_good_step_ends_a_row() -> None:
    judged = rule(patience=2)
    for step in range(0, 20, 2):
        assert judged.note(step, taken=False) is None
        assert judged.note(step + 1, taken=True) is None
    assert judged.state.left_out == list(range(0, 20, 2))
    assert judged.passes_over(4)
    assert not judged.passes_over(5)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(0, 30))
def test_a_resumed_rule_decides_the_same(losses: list[float], cut: int) -> None:
    def go(judged: SpikeRule, losses: list[float], first: int) -> list[bool]:
        taken = []
        for step, loss in enumerate(losses, start=first):
            taken.append(judged.takes(loss, 2 * loss))
            judged.note(step, taken[-1])
        return taken

    whole = rule(patience=1000)
    expected = go(whole, losses, 0)
    first = rule(patience=1000)
    before = go(first, losses[:cut], 0)
    stored = json.loads(json.dumps(TrainingState("digest", spikes=first.state).to_dict()))
    again = rule(TrainingState.from_dict(stored).spikes, patience=1000)
    assert before + go(again, losses[cut:], len(before)) == expected
    assert again.state == whole.state


def test_a_state_of_an_earlier_day_has_seen_no_spikes() -> None:
    stored = TrainingState("digest").to_dict()
    del stored["spikes"]
    assert TrainingState.from_dict(stored) == TrainingState("digest")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"spikes": {"patience": 3}}, "training.spikes: patience without a threshold would change nothing"),
        ({"spikes": {"threshold": 6, "warmup_steps": 8}}, "spikes.warmup_steps 8: no step would be judged"),
        (
            {"spikes": {"threshold": 6, "warmup_steps": 4}, "phases": [{"steps": 4}, {"steps": 4}]},
            "spikes.warmup_steps 4: no step would be judged.* has 4 at most",
        ),
        ({"checkpoint_every_s": 0}, "checkpoint_every_s: .* greater than or equal to 1"),
    ],
)
def test_settings_that_would_do_nothing_or_far_too_much_are_refused(settings: dict[str, Any], said: str) -> None:
    run = {"defaults": {"storage": "runs", "data": {"train": "a", "val": "b"}, "training": {
        "steps": 8, "global_batch_size": 8, **settings,
    }}}  # fmt: skip
    with pytest.raises(UserError, match=said) as raised:
        resolve(run, "denoising_color")
    assert "\n" not in str(raised.value)
