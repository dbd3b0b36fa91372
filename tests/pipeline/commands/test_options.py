"""Every number on a command line has a range, and what lies outside ends in one line before anything is done."""

from __future__ import annotations

import argparse
import itertools
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


def test_an_option_that_reads_its_value_states_a_range() -> None:
    def wrong(option: Any) -> bool:
        if option.type is None:  # text: its default is none of a number
            return isinstance(option.default, int | float) and not isinstance(option.default, bool)
        return option.type not in OTHER_TYPES and not isinstance(option.type, Number)

    assert [name for name, option in ALL.items() if wrong(option)] == [], "use at_least, number or above"


def test_a_range_is_closed_and_holds_the_default() -> None:
    for name, option in NUMBERS.items():
        assert -math.inf < option.type.least < option.type.most < math.inf, name
        for value in option.default if isinstance(option.default, list) else [option.default]:
            assert value is None or option.type(str(value)) == value, name


TEXTS = st.one_of(
    st.text(max_size=12),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(
        ["nan", "inf", "-inf", "1e999", "-0", "0", "0.0", "1_0", " 1 ", "0x10", "9" * 5000, "-" + "9" * 4000, "١"]
    ),
)


KINDS = sorted({option.type for option in NUMBERS.values()}, key=repr)  # many options have the same range


@pytest.mark.parametrize("kind", KINDS, ids=repr)
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_what_is_read_lies_in_the_range(kind: Any, text: str) -> None:
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


def test_a_number_outside_is_refused_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in NUMBERS if not name.startswith("gpu_report")]
    for name, value in itertools.product(names, ["-5", "nan", "1e999", "2.5x"]):
        *words, option = name.split()
        argument = [option] if option.startswith("-") else ["a-model"]
        needed = 3 if option == "--key-maps" else 1
        assert main.main([*words, *argument, *[value] * needed]) == 2, name
        error = capsys.readouterr().err
        assert error.startswith(f"error: argument {option}: "), name
        assert error.count("\n") == 1, name


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


def test_nothing_is_not_taken_for_not_given(capsys: pytest.CaptureFixture[str]) -> None:
    """Of every option and argument of every command, and of both forms of an option."""

    def forms(name: str) -> list[list[str]]:
        *words, option = name.split()
        if not option.startswith("-"):
            return [[*words, ""]]
        joined = [[*words, f"{option}="]] if ALL[name].nargs in (None, "?") else []
        return [[*words, option, ""], *joined]

    for form in (form for name in TEXTS_ONLY for form in forms(name)):
        assert main.main(form) == 2, form
        error = capsys.readouterr().err
        assert error.startswith("error: "), error
        assert error.count("\n") == 1, form


def test_an_empty_value_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--on", "http://head:8265", "--attach", ""], ["--attach=", "--on", "http://head:8265"]):
        assert main.main(["train", *words]) == 2
        assert capsys.readouterr().err.startswith("error: argument --attach: an empty value; give one, or leave it out")
    assert main.main(["restore", "shipped:photo", ""]) == 2
    assert "argument after 'shipped:photo': an empty value" in capsys.readouterr().err
