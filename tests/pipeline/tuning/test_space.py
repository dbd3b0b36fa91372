"""Search spaces: what is read, what is refused before any worker starts, and what a trial trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import parse_settings, read_config, read_value, resolve
from pipeline.errors import UserError
from pipeline.tuning.space import (
    SweepSettings,
    check_space,
    corner_values,
    label,
    read_sweep,
    sweep_document,
    trial_config,
    unlabeled,
)

CONFIGS = Path(__file__).resolve().parents[3] / "jobs/configs"

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=6)
plain = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | words
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner))


@given(values)
def test_a_label_is_one_line_and_reads_back_as_its_value(value: Any) -> None:
    text = label(value)
    assert "\n" not in text
    assert read_value(text) == value
    assert unlabeled({"path": text}) == {"path": value}


def test_every_corner_is_a_run_and_ranges_count_with_their_ends(document: dict[str, Any], sweep: SweepSettings) -> None:
    configs = check_space(document, sweep)
    assert len(configs) == 2 * 2 * 2
    assert {config.training.learning_rate for config in configs} == {1e-5, 2e-3}
    assert {config.model.depths for config in configs} == {(1, 1, 1), (2, 2, 2)}
    assert {config.training.steps for config in configs} == {12}


def test_a_large_space_is_checked_by_pairs(sweep_values: dict[str, Any]) -> None:
    paths = [f"path{number}" for number in range(8)]
    space = {path: {"choice": list(range(4))} for path in paths}
    combinations = list(corner_values(parse_settings(SweepSettings, {**sweep_values, "space": space}, "sweep")))
    assert len(combinations) < 4**8
    for one in paths:
        for other in paths:
            if one < other:
                pairs = {(values[one], values[other]) for values in combinations}
                assert len(pairs) == 16


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {"model.k": {"choice": [4, 65]}}}, ["model.k=65", "65", "64"]),
        ({"space": {"model.depths": {"choice": [[2, 2]]}}}, ["[2, 2]", "3 stages"]),
        ({"space": {"model.kk": {"choice": [1]}}}, ["model.kk", "unknown key"]),
        ({"space": {"training.num_workers": {"choice": [3]}}}, ["global_batch_size 4", "num_workers 3"]),
        (
            {"space": {"model.window_size": {"choice": [4, 8]}, "model.k": {"choice": [16, 32]}}},
            ["model.window_size=4 model.k=32"],
        ),
        ({"fixed": {"training": {"checkpoint_every": 3}}}, ["checkpoint_every 3", "validate_every 4"]),
        ({"fixed": {"training": {"zero_optimization": {"stages": 1}}}}, ["zero_optimization.stages", "stage?"]),
    ],
)
def test_what_could_not_train_is_refused_with_its_values(
    document: dict[str, Any], sweep_values: dict[str, Any], change: dict[str, Any], said: list[str]
) -> None:
    sweep = parse_settings(SweepSettings, {**sweep_values, **change}, where="sweep")
    with pytest.raises(UserError) as refusal:
        check_space(document, sweep)
    for text in said:
        assert text in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"searcher": "bayes"}, "searcher"),
        ({"searcher": "grid", "space": {"model.k": {"choice": [4]}}}, "num_trials is set"),
        ({"searcher": "grid", "num_trials": None}, "training.learning_rate is a range"),
        ({"num_trials": None}, "needs num_trials"),
        ({"objective": "psnr_and_macs", "asha": {"grace_steps": 4}}, "cheap models"),
        ({"space": {"model.k": {"choice": [1], "uniform": [1, 2]}}}, "exactly one"),
        ({"space": {"model.mlp_ratio": {"uniform": [2, 1]}}}, "low < high"),
        ({"space": {"training.learning_rate": {"loguniform": [0, 1]}}}, "above 0"),
        ({"space": {}}, "space"),
        ({"spaces": {}}, "unknown key 'spaces'"),
    ],
)
def test_a_sweep_that_contradicts_itself_is_refused(
    sweep_values: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        parse_settings(SweepSettings, {**sweep_values, **change}, where="sweep")


def test_one_trials_file_is_a_configuration_of_that_trial(document: dict[str, Any], sweep: SweepSettings) -> None:
    chosen = {"model.k": 64, "model.depths": [1, 1, 1], "training.learning_rate": 3.3e-05}
    config = trial_config(document, sweep, chosen)
    assert (config.model.k, config.model.depths, config.training.learning_rate) == (64, (1, 1, 1), 3.3e-05)
    written = sweep_document(document, sweep, chosen)
    assert resolve(written, "denoising_color") == config
    assert resolve(written, "denoising_gray").model.k is None  # other tasks stay as they were
    assert "tasks" not in document


def test_a_sweep_is_named_by_what_it_searches(document: dict[str, Any], sweep_values: dict[str, Any]) -> None:
    def name(**change: Any) -> str:
        sweep = parse_settings(SweepSettings, {**sweep_values, **change}, where="sweep")
        return sweep.fingerprint(trial_config(document, sweep, {}))

    assert name() == name(max_concurrent=1)
    assert len({name(), name(num_trials=4), name(seed=1), name(fixed={})}) == 4


SWEEPS = sorted([*(CONFIGS / "sweeps").glob("*.yaml"), *(CONFIGS / "ablations").glob("*.yaml")])


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_shipped_sweeps_are_sound(path: Path) -> None:
    assert len(check_space(read_config(CONFIGS / "first_run.yaml"), read_sweep(path))) > 1
