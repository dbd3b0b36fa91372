"""What a cluster is told when a training is sent to it."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import train
from pipeline.commands.door import fill
from pipeline.errors import UserError
from pipeline.runs.submit import follow, job_server, where_to_look


def options(root: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    fill(parser, train, root)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--tasks", "sr_x2", "denoising", "--set", "training.steps=5", "--set", "data.train={a: 1}", "--retrain"],
        ["--force", "its machine is gone", "--time-limit", "3600", "--experiment", "mine"],
    ],
)
def test_the_job_is_asked_for_the_same(words: list[str], tmp_path: Path) -> None:
    given = options(tmp_path, *words, "--on", "http://head:8265")
    again = options(tmp_path, *train.arguments_again(given))
    assert vars(again) == {**vars(given), "on": None}


def test_a_configuration_travels_with_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    words = train.arguments_again(options(tmp_path, "--config", "mine.yaml"))
    assert words[-2:] == ["--config", "mine.yaml"]
    with pytest.raises(UserError, match="outside of"):
        train.arguments_again(options(tmp_path / "project", "--config", "mine.yaml"))


def test_where_the_job_server_is() -> None:
    environ = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:8265/"}
    assert job_server("", environ) == "http://127.0.0.1:8265"
    assert job_server("https://head", environ) == "https://head"
    with pytest.raises(UserError, match="give a job server"):
        job_server("", {})
    with pytest.raises(UserError, match="--on head:6379: give a job server"):
        job_server("head:6379", environ)
    assert "--attach job-1" in where_to_look("http://head", "job-1", "--on http://head")


@pytest.mark.parametrize("variable", ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"])
def test_the_server_that_was_named_is_asked_whatever_the_environment_says(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv(variable, elsewhere)
        with pytest.raises(UserError, match=r"no job server at http://127\.0\.0\.1:9 ") as error:
            follow("http://127.0.0.1:9", "job", print)
        assert elsewhere not in str(error.value)
    assert os.environ[variable] == elsewhere


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--attach", "job"], "--attach needs --on"),
        (["--attach", "job", "--on", "http://head", "--dry-run"], "leave --on and --attach out"),
        (["--on", "http://head", "--dry-run"], "leave --on and --attach out"),
    ],
)
def test_attaching_needs_a_cluster_and_a_plan_none(words: list[str], why: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=why):
        train.run(options(tmp_path, *words))


def test_a_time_limit_counts_from_the_start_of_the_process() -> None:
    code = "import time; time.sleep(1); from pipeline.commands.train import own_age_s; print(own_age_s())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 <= float(done.stdout) < 300


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no job server at http://127\.0\.0\.1:9"):
        train.run(options(tmp_path, "--on", "http://127.0.0.1:9"))
