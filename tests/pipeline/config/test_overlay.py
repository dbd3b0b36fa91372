"""Configuration: what is refused, how files and overrides combine, and what changes a fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import RunConfig, TrainingSettings, deep_merge, parse_override, read_config, resolve, write_yaml
from pipeline.config.overlay import MAX_KEYS
from pipeline.errors import UserError

DOCUMENT: dict[str, Any] = {
    "defaults": {
        "storage": "runs",
        "data": {"train": "a", "val": "b"},
        "training": {"steps": 10, "global_batch_size": 8},
    },
    "tasks": {"sr_x2": {"data": {"patch_size": 64}}},
}
nested = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abc"), nested, max_size=3)


def test_task_entry_lies_over_defaults_and_override_over_both() -> None:
    config = resolve(DOCUMENT, "sr_x2", ["training.steps=20", "model.depths=[2, 2]", "training.learning_rate=2e-3"])
    assert (config.data.patch_size, config.training.steps, config.model.depths) == (64, 20, (2, 2))
    assert config.training.learning_rate == 2e-3
    assert resolve(DOCUMENT, "weather").data.patch_size == 128


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.stepz=3", ["training.stepz", "steps"]),
        ("training.steps=many", ["training.steps", "many"]),
        ("training.steps=0", ["training.steps", "0"]),
        ("training.num_workers=3", ["global_batch_size 8", "num_workers 3", "nearest that does: 2 or 4"]),
        ("training.num_workers=[3, 8]", ["num_workers 3", "nearest that does: 2 or 4"]),
        ("training.num_workers=[2, 16]", ["num_workers 16", "nearest that does: 8"]),
        ("training.num_workers=[4, 2]", ["training.num_workers", "minimum 4 is above the maximum 2"]),
        ("training.num_workers=[0, 2]", ["training.num_workers", "at least 1 worker", "[0, 2]"]),
        ("training.num_workers=[1, 2, 4]", ["training.num_workers", "[min, max]"]),
        ("training.num_workers=two", ["training.num_workers", "[min, max]", "two"]),
        ("training.num_workers=true", ["training.num_workers", "[min, max]"]),
        ("training.micro_batch_size=3", ["micro_batch_size 3", "4 samples"]),
        ("model.k=0.5", ["model.k", "0.5"]),
        ("training.zero_stage=4", ["zero_stage", "4"]),
        ("training", ["a.b=value"]),
        ("training.steps=[1", ["not valid YAML"]),
    ],
)
def test_bad_override_is_one_line_that_names_key_and_value(override: str, words: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        resolve(DOCUMENT, "sr_x2", [override])
    message = str(refusal.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_missing_section_is_named() -> None:
    with pytest.raises(UserError, match="'data' is required"):
        resolve({"defaults": {"storage": "x", "training": {"steps": 1, "global_batch_size": 2}}}, "sr_x2")


@pytest.mark.parametrize("text", ["- a\n", "default: {}\n", "defaults: [1]\n", "a: [\n", "\x00"])
def test_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml"):
        read_config(path)


def test_yaml_cannot_build_objects(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("defaults: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError):
        read_config(path)


@given(mappings, mappings)
def test_merge_keeps_what_is_not_named_and_takes_what_is(base: dict, over: dict) -> None:
    merged = deep_merge(base, over)
    assert merged.keys() == base.keys() | over.keys()
    assert deep_merge(merged, over) == merged
    assert deep_merge(base, {}) == base
    for key in base.keys() - over.keys():
        assert merged[key] == base[key]
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        assert merged[key] == (deep_merge(base[key], value) if both else value)


@given(st.lists(st.sampled_from(["a", "b", "steps"]), min_size=1, max_size=4), st.integers())
def test_override_nests_as_its_dots(keys: list[str], value: int) -> None:
    nested: object = parse_override(f"{'.'.join(keys)}={value}")
    for key in keys:
        assert isinstance(nested, dict)
        nested = nested[key]
    assert nested == value


def test_an_override_is_cut_at_its_first_sign_and_no_deeper_than_the_bound() -> None:
    assert parse_override(" a.b =c=d") == {"a": {"b": "c=d"}}
    assert parse_override("a=") == {"a": None}
    deepest = ".".join("k" * MAX_KEYS)
    assert MAX_KEYS == 16
    assert str(parse_override(f"{deepest}=1")).count("{") == MAX_KEYS
    for text in (f"k.{deepest}=1", "=1", "a..b=1", ".a=1", "a.=1", "a.b"):
        with pytest.raises(UserError, match=r"expected a\.b=value"):
            parse_override(text)
    with pytest.raises(UserError, match=r"--set 'a=\[1': the value is not valid YAML \(line 1: "):
        parse_override("a=[1")


@pytest.mark.parametrize(
    "document",
    [
        DOCUMENT,
        {**DOCUMENT, "tasks": {"sr_x2": {}, "weather": {"seed": 1}}},
        {**DOCUMENT, "tasks": {"sr_x2": None}},
        {**DOCUMENT, "tasks": None},
        {"defaults": None, "tasks": {"sr_x2": DOCUMENT["defaults"]}},
        {"tasks": {"sr_x2": DOCUMENT["defaults"]}},
    ],
    ids=["task", "empty task", "null task", "null tasks", "null defaults", "no defaults"],
)
def test_an_empty_section_is_none(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(write_yaml(document))
    assert read_config(path) == document
    config = resolve(read_config(path), "sr_x2")
    assert (config.task, config.storage, config.training.steps, config.seed) == ("sr_x2", "runs", 10, 0)
    path.write_text("{}")
    assert read_config(path) == {}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.schedule.kindd=cosine", "unknown key 'training.schedule.kindd' (there are: final_ratio, gamma, "),
        ("training.schedule=3", "'training.schedule' must be a mapping, not 3"),
        ("modle.k=3", "unknown key 'modle' (there are: data, harm_images, model, seed, setting, storage, training)"),
    ],
)
def test_an_unknown_key_is_refused_with_its_whole_path(override: str, said: str) -> None:
    with pytest.raises(UserError) as refusal:
        resolve(DOCUMENT, "sr_x2", [override])
    assert str(refusal.value).startswith(f"--set {override!r}: {said}")


def test_what_is_wrong_names_the_task_whose_run_it_is() -> None:
    with pytest.raises(UserError, match=r"^sr_x2: training\.steps: "):
        resolve(DOCUMENT, "sr_x2", ["training.steps=0"])


def test_the_models_own_values_are_left_alone() -> None:
    config = resolve(DOCUMENT, "sr_x2", ["model.name=columnar_tiny", "model.init=shipped:sr_x2", "model.k=2"])
    assert config.model.overrides() == {"k": 2}
    assert resolve(DOCUMENT, "sr_x2", ["model.image_skip=false"]).model.overrides() == {"image_skip": False}


def test_config_survives_its_own_json() -> None:
    config = resolve(DOCUMENT, "sr_x2", ["model.depths=[2, 2]"])
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_a_range_of_workers() -> None:
    def training(*overrides: str) -> TrainingSettings:
        return resolve(DOCUMENT, "sr_x2", overrides).training

    elastic = training("training.num_workers=[2, 8]")
    assert (elastic.num_workers, elastic.min_workers, elastic.max_workers, elastic.elastic) == ((2, 8), 2, 8, True)
    assert TrainingSettings.model_validate_json(elastic.model_dump_json()) == elastic
    fixed = training("training.num_workers=[4, 4]")
    assert fixed == training("training.num_workers=4")
    assert (fixed.min_workers, fixed.max_workers, fixed.elastic) == (4, 4, False)


def test_fingerprint_follows_the_model_not_the_cluster() -> None:
    def fingerprint(*overrides: str) -> str:
        return resolve(DOCUMENT, "sr_x2", overrides).fingerprint()

    assert fingerprint("training.num_workers=4", "data.loader_workers=2") == fingerprint()
    assert fingerprint("training.num_workers=[1, 4]", "training.grow_after_s=5") == fingerprint()
    assert fingerprint("training.collective_timeout_s=600", "training.checkpoint_every=5") == fingerprint()
    assert fingerprint("training.steps=11") != fingerprint()
    assert fingerprint("model.k=3") != fingerprint()


def test_an_outage_is_given_up_before_the_workers_give_each_other_up() -> None:
    assert resolve(DOCUMENT, "weather").training.storage_deadline_s == 45
    longer = ["training.outage_deadline_s=90", "training.collective_timeout_s=100"]
    assert resolve(DOCUMENT, "weather", longer).training.storage_deadline_s == 90
    with pytest.raises(UserError, match=r"outage_deadline_s 90 is not below collective_timeout_s 60: .* raise"):
        resolve(DOCUMENT, "weather", longer[:1])


@pytest.mark.parametrize(
    ("steps", "taken"),
    [
        ([1, 10], True),
        ([1, 11], False),
        ([11, 20], True),
        ([12, 21], False),  # beyond the last step
        ([10, 20], False),
        ([20, 20], True),
        ([21, 21], False),
        ([0, 5], False),
        ([3, 2], False),
    ],
)
def test_a_profile_is_of_ten_steps_at_most_within_the_run(steps: list[int], taken: bool) -> None:
    overrides = ["training.steps=20", f"training.profile_steps={steps}"]
    if taken:
        assert resolve(DOCUMENT, "sr_x2", overrides).training.profile_steps == tuple(steps)
        return
    said = rf"profile_steps \[{steps[0]}, {steps[1]}\]: the first and the last of at most 10 steps within 1\.\.20"
    with pytest.raises(UserError, match=said):
        resolve(DOCUMENT, "sr_x2", overrides)


def test_an_empty_text_is_named() -> None:
    for override, key in (("data.test=''", "data.test"), ("data.train={'': 1}", "data.train")):
        with pytest.raises(UserError, match=rf"{key}.*at least 1 character.*given: ''"):
            resolve(DOCUMENT, "sr_x2", [override])
