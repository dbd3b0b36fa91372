"""What a sweep varies: dotted configuration paths and their values, checked in combination before anything starts."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config import (
    Operational,
    RunConfig,
    Settings,
    deep_merge,
    fingerprint,
    parse_override,
    parse_settings,
    read_value,
    read_yaml,
    resolve,
)
from pipeline.errors import UserError
from pipeline.tasks import resolve_tasks

MAX_FULL_CHECK = 1024  # combinations; beyond, every pair of values of every two paths is checked


class Domain(Settings):
    """The values of one path: exactly one of ``choice``, ``uniform`` and ``loguniform``.

    A choice may be anything YAML can say: a number, a list of depths, or a mapping that sets several keys below
    the path together.
    """

    choice: tuple[Any, ...] | None = Field(default=None, min_length=1)
    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Domain:
        given = self.model_dump(exclude_none=True)
        if len(given) != 1:
            raise ValueError(f"give exactly one of choice, uniform and loguniform, not {sorted(given) or 'none'}")
        for kind, (low, high) in ((kind, given[kind]) for kind in ("uniform", "loguniform") if kind in given):
            if not low < high or (kind == "loguniform" and low <= 0):
                raise ValueError(f"{kind} [{low}, {high}] needs low < high{', both above 0' if kind[0] == 'l' else ''}")
        return self

    def corners(self) -> tuple[Any, ...]:
        """Every choice, or both ends of a range: if these are allowed, so is what lies between."""
        return self.choice or self.uniform or self.loguniform or ()


class AshaSettings(Settings):
    """Asynchronous successive halving (Li et al., MLSys 2020): at each rung the best 1/reduction_factor go on."""

    grace_steps: int = Field(ge=1, le=1_000_000_000, description="optimizer steps before any trial may be stopped")
    reduction_factor: int = Field(default=3, ge=2, le=100)


class SweepSettings(Settings):
    """One sweep: ``fixed`` is laid over the task's configuration, ``space`` varies on top of it."""

    task: str
    searcher: Literal["grid", "random", "optuna"] = "optuna"
    num_trials: int | None = Field(default=None, ge=1, le=100_000, description="grid: all combinations, always")
    max_concurrent: Operational[int | None] = Field(
        default=None, ge=1, le=4_096, description="None: as many as the cluster has room for"
    )
    objective: Literal["psnr", "psnr_and_macs"] = "psnr"
    macs_size: int = Field(
        default=256, ge=8, le=8_192, description="side of the network input that MACs are counted for"
    )
    asha: AshaSettings | None = None
    seed: int = Field(default=0, ge=0, lt=2**32)
    fixed: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Domain] = Field(min_length=1)

    @field_validator("task")
    @classmethod
    def _is_one_task(cls, value: str) -> str:
        try:
            found = resolve_tasks([value])
        except UserError as error:
            raise ValueError(str(error)) from None
        if len(found) != 1:
            raise ValueError(f"a sweep is over one task, {value!r} is {len(found)}")
        return found[0].name

    @model_validator(mode="after")
    def _fits_together(self) -> SweepSettings:
        if self.searcher == "grid":
            ranges = [path for path, domain in self.space.items() if domain.choice is None]
            if ranges or self.num_trials is not None:
                what = f"{ranges[0]} is a range" if ranges else "num_trials is set"
                raise ValueError(f"searcher grid tries every combination of choices, but {what}; use random or optuna")
        elif self.num_trials is None:
            raise ValueError(f"searcher {self.searcher} needs num_trials")
        if self.asha and self.objective == "psnr_and_macs":
            raise ValueError("asha compares PSNR alone and would stop the cheap models of objective psnr_and_macs")
        return self

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """``--set`` texts of one trial's values."""
        return [f"{path}={label(value)}" for path, value in values.items()]

    def fingerprint(self, base: RunConfig) -> str:
        """Twelve hex digits naming the sweep: given again, the same sweep continues."""
        return hashlib.sha256(f"{fingerprint(self)} {base.fingerprint()}".encode()).hexdigest()[:12]


def label(value: Any) -> str:
    """A value on one line of YAML, as ``--set`` reads it and as plots name it."""
    bare = isinstance(value, str) and value.isidentifier() and read_value(value) == value
    return str(value) if bare else json.dumps(value)


def unlabeled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values again of what Ray Tune chose, where choices travel as labels."""
    return {path: read_value(value) if isinstance(value, str) else value for path, value in values.items()}


def read_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSettings:
    """Read a sweep file, ``--set`` texts laid over it; raises UserError naming the key that is wrong."""
    values = read_yaml(path, "sweep file")
    for text in overrides:
        values = deep_merge(values, parse_override(text))
    return parse_settings(SweepSettings, values, where=str(path))


def sweep_document(document: Mapping[str, Any], sweep: SweepSettings, values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration file's content with ``fixed`` and one trial's ``values`` laid over the sweep's task.

    It is a configuration file again: what ``train_all_tasks.py --config`` takes.
    """
    entry = deep_merge((document.get("tasks") or {}).get(sweep.task) or {}, sweep.fixed)
    for text in sweep.overrides(values):
        entry = deep_merge(entry, parse_override(text))
    return {**document, "tasks": {**(document.get("tasks") or {}), sweep.task: entry}}


def trial_config(document: Mapping[str, Any], sweep: SweepSettings, values: Mapping[str, Any]) -> RunConfig:
    """The run that one trial trains."""
    return resolve(sweep_document(document, sweep, values), sweep.task)


def corner_values(sweep: SweepSettings) -> Iterator[dict[str, Any]]:
    """Combinations to check: all of them, or every pair of values of every two paths where they are too many."""
    corners = {path: domain.corners() for path, domain in sweep.space.items()}
    count = 1
    for values in corners.values():
        count *= len(values)
    if count <= MAX_FULL_CHECK:
        yield from (dict(zip(corners, values, strict=True)) for values in itertools.product(*corners.values()))
        return
    first = {path: values[0] for path, values in corners.items()}
    for one, other in itertools.combinations(corners, 2):
        for a, b in itertools.product(corners[one], corners[other]):
            yield {**first, one: a, other: b}


def check_space(document: Mapping[str, Any], sweep: SweepSettings) -> list[RunConfig]:
    """The configurations at the corners of the space, each checked.

    Raises:
        UserError: a combination that could not train, named with its values.
    """
    from pipeline.runs.preflight import check_config  # imports the registry, which reading a sweep does not need

    configs = []
    for values in corner_values(sweep):
        try:
            config = trial_config(document, sweep, values)
            check_config(config)
        except UserError as error:
            raise UserError(f"trial {' '.join(sweep.overrides(values))}: {error}") from None
        if config.training.checkpoint_every % config.training.validate_every:
            raise UserError(
                f"a sweep compares trials at their checkpoints: training.checkpoint_every "
                f"{config.training.checkpoint_every} must be a multiple of validate_every "
                f"{config.training.validate_every}"
            )
        configs.append(config)
    return configs
