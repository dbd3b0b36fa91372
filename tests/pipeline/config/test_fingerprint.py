"""What names a run: every setting that could change the model, none that could not, and no setting of a later day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from pipeline.config import Operational, RunConfig, Settings, TrainingSettings, fingerprint, resolve
from pipeline.config.fingerprint import MEANING, is_operational
from pipeline.errors import UserError
from pipeline.settings.base import settings_in
from pipeline.tasks import TASKS
from pipeline.tuning.space import SweepSettings

DEFAULTS = Path(__file__).with_name("defaults.json")
VALUES: dict[str, Any] = {
    "task": "denoising_color",
    "storage": "runs",
    "data": {"train": "a", "val": "b"},
    "training": {
        "steps": 8, "global_batch_size": 8, "phases": [{"steps": 8, "schedule": {}}], "optimizer": "adam",
        "spikes": {"threshold": 32, "warmup_steps": 4},
    },
}  # fmt: skip
CANDIDATES: tuple[Any, ...] = (
    "s3://bucket/other", "jpeg_color", "skip", "adamw", "constant", "bf16", 1, 2, 4, 16, 32, 0.25, 0.75, True, False,
    [1], [2, 4], [0.5, 0.6], {"sigma": 15},
)  # fmt: skip


def leaves(kind: type[BaseModel], path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], FieldInfo]]:
    """Path and declaration of every value that a settings class holds, those inside lists at index 0."""
    for name, field in kind.model_fields.items():
        inner = settings_in(field.annotation)
        if not inner:
            yield (*path, name), field
        for part in inner:
            yield from leaves(part, (*path, name, *([0] if get_origin(field.annotation) is tuple else [])))


def laid(values: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(values))
    place = copy
    for key in path[:-1]:
        place = place[key] if isinstance(key, int) else place.setdefault(key, {})
    place[path[-1]] = value
    return copy


def variant(path: tuple[Any, ...]) -> RunConfig:
    """The configuration with another value at ``path`` than the default: the first candidate that is allowed."""
    base = RunConfig.model_validate_json(json.dumps(VALUES))
    for candidate in CANDIDATES:
        values = laid(VALUES, path, candidate)
        if path == ("training", "steps"):
            values = laid(values, ("training", "phases", 0, "steps"), candidate)
        if path == ("training", "phases", 0, "steps"):
            values = laid(values, ("training", "steps"), candidate)
        try:
            config = RunConfig.model_validate_json(json.dumps(values))
        except (ValueError, UserError):
            continue
        if config != base:
            return config
    raise AssertionError(f"no candidate for {path}: add one")


LEAVES = list(leaves(RunConfig))
# Stated, not read from the marks: a mark that is lost gives every run a new name, and one too many gives two different
# models the same.
OPERATIONAL = {
    "": ("harm_images",),
    "data.": ("cache_folder", "cache_gib", "loader_workers"),
    "training.": (
        "checkpoint_every", "checkpoint_every_s", "collective_timeout_s", "cpus_per_worker", "grow_after_s",
        "log_every", "max_failures", "num_to_keep", "num_workers", "outage_deadline_s", "peak_tflops",
        "profile_steps", "use_gpu",
    ),
}  # fmt: skip


def test_which_settings_are_operational() -> None:
    marked = sorted(".".join(map(str, path)) for path, field in LEAVES if is_operational(field))
    assert marked == sorted(group + name for group, names in OPERATIONAL.items() for name in names)


def test_most_leaves_name_the_run() -> None:
    assert sum(not is_operational(field) for _, field in LEAVES) >= 45


@pytest.mark.parametrize(("path", "field"), LEAVES, ids=[".".join(map(str, path)) for path, _ in LEAVES])
def test_a_field_changes_the_fingerprint_unless_it_is_operational(path: tuple[Any, ...], field: FieldInfo) -> None:
    base = RunConfig.model_validate_json(json.dumps(VALUES))
    assert (variant(path).fingerprint() == base.fingerprint()) == is_operational(field)


def test_the_form_of_a_fingerprint_is_pinned() -> None:
    """Folders of runs and tags of registered versions hold such names: a change of the form orphans them all."""

    class Part(Settings):
        width: int
        depth: int = 1

    class Whole(Settings):
        name: str
        parts: tuple[Part, ...] = ()
        table: dict[str, Part] = Field(default_factory=dict)
        grid: tuple[tuple[int, int], ...] = ()
        cadence: Operational[int] = 1
        rest: str | None = "x"

    plain = '{"meaning": 1, "settings": {"name": "ä"}}'.replace("ä", r"\u00e4")
    assert fingerprint(Whole(name="ä", cadence=3)) == hashlib.sha256(plain.encode()).hexdigest()[:12]
    whole = Whole(name="n", parts=(Part(width=1), Part(width=2, depth=3)), table={"b": Part(width=4)}, rest=None,
                  grid=((1, 2),))  # fmt: skip
    text = (
        '{"meaning": 1, "settings": {"grid": [[1, 2]], "name": "n", '
        '"parts": [{"width": 1}, {"depth": 3, "width": 2}], "rest": null, "table": {"b": {"width": 4}}}}'
    )
    assert fingerprint(whole) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_a_new_field_renames_no_run() -> None:
    class LaterTraining(TrainingSettings):
        spike_window: int = 100
        kinds: tuple[str, ...] = Field(default_factory=tuple)

    class LaterRun(RunConfig):
        training: LaterTraining

    today = RunConfig.model_validate_json(json.dumps(VALUES))
    later = LaterRun.model_validate_json(json.dumps(VALUES))
    assert later.fingerprint() == today.fingerprint()
    assert LaterRun.model_validate_json(json.dumps(laid(VALUES, ("training", "spike_window"), 5))) != later
    changed = LaterRun.model_validate_json(json.dumps(laid(VALUES, ("training", "spike_window"), 5)))
    assert changed.fingerprint() != today.fingerprint()


def test_a_default_written_out_is_the_default() -> None:
    written = laid(VALUES, ("training", "learning_rate"), 2e-4)
    base = RunConfig.model_validate_json(json.dumps(VALUES))
    assert RunConfig.model_validate_json(json.dumps(written)).fingerprint() == base.fingerprint()


@pytest.mark.parametrize("task", TASKS)
def test_what_a_task_decides_is_a_default_said_or_not(task: str) -> None:
    """Its settings, its model and its loss: written out they name the same run, in whatever form."""
    values = {**VALUES, "task": task}
    base = RunConfig.model_validate_json(json.dumps(values))
    setting = TASKS[task].parse_settings().model_dump(mode="json")
    said = laid(laid(values, ("model", "name"), TASKS[task].model), ("training", "loss"), TASKS[task].loss)
    assert RunConfig.model_validate_json(json.dumps({**said, "setting": setting})).fingerprint() == base.fingerprint()


def test_a_range_of_one_value_has_one_name() -> None:
    names = {
        RunConfig.model_validate_json(json.dumps({**VALUES, "setting": {"sigma": sigma}})).fingerprint()
        for sigma in (25, 25.0, [25, 25], [25.0, 25])
    }
    assert len(names) == 1
    assert names != {RunConfig.model_validate_json(json.dumps(VALUES)).fingerprint()}


def test_a_phase_with_a_schedule_of_its_own_is_not_one_without() -> None:
    without = laid(VALUES, ("training", "phases", 0), {"steps": 8})
    base = RunConfig.model_validate_json(json.dumps(VALUES))
    assert RunConfig.model_validate_json(json.dumps(without)).fingerprint() != base.fingerprint()


def test_operational_differences_inside_a_part_that_may_be_left_out() -> None:
    class Part(Settings):
        cadence: Operational[int] = 1
        width: int = 1

    class Whole(Settings):
        part: Part = Part()

    assert fingerprint(Whole(part=Part(cadence=2))) == fingerprint(Whole())
    assert fingerprint(Whole(part=Part(width=2))) != fingerprint(Whole())


def test_a_sweep_may_be_given_more_room() -> None:
    document = {"defaults": {key: value for key, value in VALUES.items() if key != "task"}}
    values = {"task": "sr_x2", "num_trials": 2, "space": {"model.k": {"choice": [1, 2]}}}
    base = resolve(document, "sr_x2")

    def name(**changes: Any) -> str:
        return SweepSettings.model_validate_json(json.dumps({**values, **changes})).fingerprint(base)

    assert name(max_concurrent=1) == name()
    assert len({name(), name(seed=1), name(space={"model.k": {"choice": [1]}}), name(asha={"grace_steps": 1})}) == 4


def test_no_default_changes_its_meaning_in_silence() -> None:
    """A changed default gives old names to new models: raise ``MEANING``, then write the defaults anew.

    A task that is new changes nobody's: its model, loss and settings are written down beside the others'.
    """
    known = json.loads(DEFAULTS.read_text())
    assert known["meaning"] == MEANING
    now = {
        ".".join(map(str, path)): to_jsonable_python(field.get_default(call_default_factory=True))
        for path, field in LEAVES
        if not field.is_required() and not is_operational(field)
    }
    assert {path: now.get(path, "gone") for path in known["defaults"]} == known["defaults"]
    for name, task in TASKS.items():
        decided = {"model": task.model, "loss": task.loss, "settings": task.parse_settings().model_dump(mode="json")}
        assert name in known["tasks"], f"a new task: add to 'tasks' in {DEFAULTS.name} {json.dumps({name: decided})}"
        assert kept(decided, known["tasks"][name]) == known["tasks"][name], name
    assert set(known["tasks"]) == set(TASKS), "a task that went took the names of its runs with it"


def kept(now: Any, known: Any) -> Any:
    """Of what is now, the part that was known: a field of a later day has a name of its own for what is left out."""
    if isinstance(known, dict) and isinstance(now, dict):
        return {key: kept(now.get(key, "gone"), value) for key, value in known.items()}
    return now


@pytest.mark.parametrize("path", [path for path, _ in LEAVES], ids=lambda path: ".".join(map(str, path)))
def test_an_empty_text_is_not_taken_for_none(path: tuple[Any, ...]) -> None:
    """As of a variable that is not set: it would train another model than was asked for, and say nothing."""
    with pytest.raises((ValueError, UserError)):
        RunConfig.model_validate_json(json.dumps(laid(VALUES, path, "")))
