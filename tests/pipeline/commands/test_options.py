"""Every number on a command line has a range, and what lies outside ends in one line before anything is done."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.benchmarks import gpu_report
from pipeline.commands import main
from pipeline.options import Number, Parser, above, at_least, number
from semanir.tiling import DEFAULT_OVERLAP, DEFAULT_TILE

# Numbers in name only, or with a range of the run's own.
OTHER_TYPES = {Path: "a path of this machine"}


def options(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, argparse.Action]]:
    """Every option and argument of all commands below a parser, as ``models rollback version``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from options(sub, (*words, name))
        else:
            yield " ".join((*words, *(action.option_strings[:1] or [action.dest]))), action


def gpu_page() -> argparse.ArgumentParser:
    parser = Parser(prog="gpu_report")
    gpu_report.add_arguments(parser)
    return parser


ALL: dict[str, Any] = dict(options(main.build_parser())) | dict(options(gpu_page(), ("gpu_report",)))
NUMBERS = {name: action for name, action in ALL.items() if isinstance(action.type, Number)}


def test_the_options_of_numbers_are_found() -> None:
    assert {"restore --max-pixels", "evaluate --k", "models rollback version", "prepare --shard-mib"} <= set(NUMBERS)
    assert len(NUMBERS) > 40
    assert sum(not number.type.whole for number in NUMBERS.values()) >= 12


@pytest.mark.parametrize("name", ALL)
def test_an_option_that_reads_its_value_states_a_range(name: str) -> None:
    kind = ALL[name].type
    assert kind is None or kind in OTHER_TYPES or isinstance(kind, Number), "use at_least, number or above"
    if kind is None:  # text: its default is none of a number
        assert not isinstance(ALL[name].default, int | float) or isinstance(ALL[name].default, bool)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_range_is_closed_and_holds_the_default(name: str) -> None:
    kind, default = NUMBERS[name].type, NUMBERS[name].default
    assert -math.inf < kind.least < kind.most < math.inf
    for value in default if isinstance(default, list) else [default]:
        assert value is None or kind(str(value)) == value


TEXTS = st.one_of(
    st.text(max_size=12),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(
        ["nan", "inf", "-inf", "1e999", "-0", "0", "0.0", "1_0", " 1 ", "0x10", "9" * 5000, "-" + "9" * 4000, "١"]
    ),
)


@pytest.mark.parametrize("name", NUMBERS)
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_what_is_read_lies_in_the_range(name: str, text: str) -> None:
    kind = NUMBERS[name].type
    try:
        value = kind(text)
    except argparse.ArgumentTypeError as refusal:
        told = str(refusal)
    else:
        told = ""
        assert kind.least <= value <= kind.most
        assert not (kind.above and value == kind.least)
        assert isinstance(value, int if kind.whole else float)
    assert len(told) < 100


@pytest.mark.parametrize("name", [name for name in NUMBERS if not name.startswith("gpu_report")])
@pytest.mark.parametrize("value", ["-5", "nan", "1e999", "2.5x"])
def test_a_number_outside_is_refused_by_the_parser(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    *words, option = name.split()
    argument = [option] if option.startswith("-") else ["a-model"]
    needed = 3 if option == "--key-maps" else 1
    assert main.main([*words, *argument, *[value] * needed]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: argument {option}: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (at_least(1), "0", "0 is below 1, the least"),
        (at_least(1), "2.5", "'2.5' is no whole number"),
        (at_least(1, 65_535), "65536", "65536 is above 65535, the most"),
        (number(0, 1), "-0.5", "-0.5 is below 0, the least"),
        (number(0, 1), "1.01", "1.01 is above 1, the most"),
        (number(0, 1), "half", "'half' is no number"),
        (number(0, 1), "nan", "nan is no number"),
        (above(0, 8), "0", "0 is not above 0"),
    ],
)
def test_a_refusal_names_value_and_limit(kind: Number, text: str, said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{said}$"):
        kind(text)


@pytest.mark.parametrize("command", ["restore", "evaluate"])
def test_the_help_names_the_tiling_that_is_done(command: str) -> None:
    """Commands answer --help before PyTorch is imported, so they repeat what stands in ``semanir.tiling``."""
    assert f"(default: {DEFAULT_OVERLAP})" in ALL[f"{command} --overlap"].help
    assert f"(default: about {DEFAULT_TILE})" in ALL[f"{command} --tile"].help


TEXTS_ONLY = [name for name, action in ALL.items() if action.nargs != 0 and not name.startswith("gpu_report")]


@pytest.mark.parametrize("name", TEXTS_ONLY)
def test_nothing_is_not_taken_for_not_given(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every option and argument of every command, and of both forms of an option."""
    *words, option = name.split()
    if not option.startswith("-"):
        forms = [[*words, ""]]
    elif ALL[name].nargs is None or ALL[name].nargs == "?":
        forms = [[*words, option, ""], [*words, f"{option}="]]
    else:
        forms = [[*words, option, ""]]
    for form in forms:
        assert main.main(form) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: "), error
        assert error.count("\n") == 1


def test_an_empty_value_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--on", "http://head:8265", "--attach", ""], ["--attach=", "--on", "http://head:8265"]):
        assert main.main(["train", *words]) == 2
        assert capsys.readouterr().err.startswith("error: argument --attach: an empty value; give one, or leave it out")
    assert main.main(["restore", "shipped:photo", ""]) == 2
    assert "argument after 'shipped:photo': an empty value" in capsys.readouterr().err
