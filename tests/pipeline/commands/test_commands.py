from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import semanir
from pipeline.commands import door, main
from pipeline.errors import UserError
from semanir.tiling import DEFAULT_OVERLAP, DEFAULT_TILE

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"torch", "numpy", "ray", "mlflow", "deepspeed", "pydantic", "rich", "PIL", "boto3", "pyarrow"}


def test_every_help_is_printed_without_a_heavy_import() -> None:
    """The parsers of all commands and of their sub-commands, in one fresh process."""
    script = f"""
import argparse, sys
from pipeline.commands.main import build_parser

def walk(parser):
    parser.format_help()
    print(parser.prog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                walk(sub)

walk(build_parser())
assert not {HEAVY!r} & set(sys.modules), {HEAVY!r} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if " " in line]
    assert {*main.COMMANDS, "models rollback", "benchmark attention"} <= set(printed)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_a_command_says_what_it_is_and_how_it_exits(name: str) -> None:
    about = main.COMMANDS[name].__doc__ or ""
    assert re.match(r"[A-Z].*\.\n", about), "the first line is the entry of `semanir --help`"
    assert f"semanir {name}" in about, "a stranger copies the example"
    assert "Exit status: 0 " in about.replace("Exit\nstatus", "Exit status")


def test_a_job_and_its_command_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["no-such-model", "no-such-file.png", "--output", "nowhere"]
    job = subprocess.run(
        [sys.executable, "jobs/restore.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    status = main.main(["restore", *arguments])
    assert (status, capsys.readouterr().err) == (job.returncode, job.stderr)
    assert status == 2
    assert job.stderr.startswith("error: ")


def test_bad_input_is_one_line_and_other_faults_keep_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: Exception) -> SimpleNamespace:
        def run(options: object) -> int:
            raise error

        return SimpleNamespace(__doc__="", add_arguments=lambda parser: None, run=run)

    assert door.run_alone(fail(UserError("k=0 is below 1")), []) == 2
    assert capsys.readouterr().err == "error: k=0 is below 1\n"
    assert door.run_alone(fail(UserError("no picture in a\n\x1b[31mb.png")), []) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: no picture in a\\n\\x1b[31mb.png"
    assert door.run_alone(fail(ModuleNotFoundError("no ray", name="ray.train")), []) == 2
    assert capsys.readouterr().err == "error: this needs the package ray: pip install 'semanir-on-ray[train]'\n"
    with pytest.raises(ModuleNotFoundError):
        door.run_alone(fail(ModuleNotFoundError("a slip of ours", name="pipeline.gone")), [])
    with pytest.raises(ZeroDivisionError):
        door.run_alone(fail(ZeroDivisionError()), [])


def test_the_configuration_is_the_given_one_else_the_first_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert door.configuration("mine.yaml", ROOT) == Path("mine.yaml")
    assert door.configuration(None, ROOT) == ROOT / "jobs/configs/first_run.yaml"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="give --config FILE"):
        door.configuration(None, tmp_path)
    (tmp_path / "jobs/configs").mkdir(parents=True)
    (tmp_path / "jobs/configs/first_run.yaml").touch()
    assert door.configuration(None, tmp_path / "elsewhere") == tmp_path / "jobs/configs/first_run.yaml"


def test_the_version_stands_in_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main.main(["--version"])
    assert capsys.readouterr().out.strip() == semanir.__version__ == metadata.version("semanir-on-ray")
    project = (ROOT / "pyproject.toml").read_text()
    assert semanir.__version__ not in re.findall(r'^version = "(.*)"', project, re.MULTILINE)


def test_a_help_text_and_a_default_say_what_the_library_does() -> None:
    """The parsers may not import the library that owns these values, so they state them a second time."""
    from pipeline.evaluation.command import Request

    defaults = {field.name: field.default for field in dataclasses.fields(Request)}
    for command in ("evaluate", "restore"):
        help_text = {action.dest: action.help or "" for action in command_parser(command)._actions}
        assert f"(default: {DEFAULT_OVERLAP})" in help_text["overlap"]
        assert f"about {DEFAULT_TILE}" in help_text["tile"]
    parser = command_parser("evaluate")
    assert {name: parser.get_default(name) for name in ("pictures", "protocol")} == {
        name: defaults[name] for name in ("pictures", "protocol")
    }


def command_parser(name: str) -> argparse.ArgumentParser:
    found = next(a for a in main.build_parser()._actions if isinstance(a, argparse._SubParsersAction)).choices[name]
    assert isinstance(found, argparse.ArgumentParser)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("restore", "x", "--nosuch"),
        ("models", "list", "--nosuch"),
        ("models", "rollback", "name", "1", "--nosuch"),
        ("prepare", "x", "--output", "y", "--nosuch"),
        ("benchmark", "attention", "--nosuch"),
    ],
)
def test_an_unknown_option_shows_the_usage_of_its_own_command(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = " ".join(("semanir", *words[: 2 if words[0] in ("models", "benchmark") else 1]))
    assert main.main(words) == 2
    usage, _, error = capsys.readouterr().err.partition("error: ")
    assert usage.startswith(f"usage: {command} ")
    assert error == f"unrecognized arguments: --nosuch; see {command} --help\n"
