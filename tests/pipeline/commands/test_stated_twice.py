"""A parser starts before the library is imported, so it states the library's numbers again: here they are compared."""

from __future__ import annotations

import argparse
import dataclasses
import re

import pytest
from pydantic.fields import FieldInfo

from pipeline.commands import main
from pipeline.data.packing.encode import PackSettings
from pipeline.options import Number
from pipeline.restoring.read import DEFAULT_MAX_PIXELS
from pipeline.serving.service.settings import Limits, Replicas, ServeSettings
from pipeline.tasks import resolve_tasks


def command_parser(name: str) -> argparse.ArgumentParser:
    found = next(a for a in main.build_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices[name]
    assert isinstance(found, argparse.ArgumentParser)
    return found


def test_restoring_and_packing_have_the_librarys_limits() -> None:
    assert command_parser("restore").get_default("max_pixels") == DEFAULT_MAX_PIXELS
    stated = command_parser("prepare").parse_args(["x", "--output", "y"])
    names = {field.name for field in dataclasses.fields(PackSettings)} - {"shard_bytes"}
    said = PackSettings(shard_bytes=int(stated.shard_mib * 2**20), **{name: getattr(stated, name) for name in names})
    assert said == PackSettings()


def test_training_takes_the_papers_groups() -> None:
    groups = list(dict.fromkeys(task.group for task in resolve_tasks(["all"])))
    assert command_parser("train").get_default("tasks") == groups


# Option of `semanir serve` → the service's setting of the same meaning.
SERVED = {
    "host": ServeSettings.model_fields["host"],
    "port": ServeSettings.model_fields["port"],
    "every_node": ServeSettings.model_fields["every_node"],
    "replicas": Replicas.model_fields["most"],
    "cpus": Replicas.model_fields["cpus"],
    "gpus": Replicas.model_fields["gpus"],
    "max_bytes": Limits.model_fields["max_bytes"],
    "held_bytes": Limits.model_fields["held_bytes"],
    "max_pixels": Limits.model_fields["max_pixels"],
    "max_seconds": Limits.model_fields["seconds"],
    "queue": Limits.model_fields["queue"],
    "follow_every": ServeSettings.model_fields["follow_every_s"],
}


def limit(field: FieldInfo, *names: str) -> float:
    return next(getattr(rule, name) for rule in field.metadata for name in names if hasattr(rule, name))


@pytest.mark.parametrize("option", SERVED)
def test_serving_has_the_services_defaults_and_limits(option: str) -> None:
    action = next(action for action in command_parser("serve")._actions if action.dest == option)
    field = SERVED[option]
    if option not in ("replicas", "cpus", "held_bytes"):  # where no number is given the room decides
        assert action.default == field.default
    if isinstance(action.type, Number):
        assert action.type.least == limit(field, "ge", "gt")
        assert action.type.above == any(hasattr(rule, "gt") for rule in field.metadata)
        # Without a limit of its own an option leaves the refusal to the setting, which says it in one line as well.
        assert action.type.most in (limit(field, "le"), 2**53)


def test_every_option_of_the_service_is_compared() -> None:
    assert {action.dest for action in command_parser("serve")._actions} == {*SERVED, "help", "models", "token_file"}


@pytest.mark.parametrize("command", main.COMMANDS)
def test_a_help_text_says_the_options_own_default(command: str) -> None:
    for action in command_parser(command)._actions:
        said = re.search(r"\(default: ([0-9][0-9,]*(?:\.[0-9]+)?)(?: (MiB))?[),]", action.help or "")
        if said and action.default is not None and not isinstance(action.default, str):
            number = float(said[1].replace(",", ""))
            assert action.default in (number, number * 2**20 if said[2] else number), action.dest


def test_a_model_is_asked_for_in_all_forms_that_are_taken() -> None:
    parsers = next(a for a in command_parser("models")._actions if isinstance(a, argparse._SubParsersAction)).choices
    said = {
        name: next((a.help or "" for a in parser._actions if a.dest == "model"), "") for name, parser in parsers.items()
    }
    shipped = {name for name, text in said.items() if text.startswith("shipped:task, models:/")}
    assert shipped == {"card", "pull", "export"}
    assert said["sign"].startswith("models:/")  # what came with the package is copied before it is signed
