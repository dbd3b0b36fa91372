"""What a cluster is told when a training is sent to it."""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands import train
from pipeline.commands.door import INTERRUPTED, fill
from pipeline.errors import UserError
from pipeline.runs import submit as submitting
from pipeline.runs.submit import check_job, follow, job_server, submit, where_to_look


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
    for nowhere in (
        "http://",
        "https:///",
        "http://:8265",
        "http://head:port",
        "http://head:99999",
        "http://[::1",
        "ftp://a",
    ):
        with pytest.raises(UserError, match="give a job server") as refusal:
            job_server(nowhere, environ)
        assert f"--on {nowhere}: " in str(refusal.value)
    assert job_server("http://[::1]:8265", environ) == "http://[::1]:8265"
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
        (["--on", "http://127.0.0.1:9", "--attach", ""], "--attach has no job"),
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


@contextmanager
def answering(answers: Mapping[str, tuple[int, bytes]], otherwise: tuple[int, bytes]) -> Iterator[str]:
    """The address of a server that gives these answers by path, and one to all else."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers.get(self.path, otherwise)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, format: str, *arguments: Any) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


LOCKED = {401: b"Unauthorized: Missing authentication token", 403: b"Forbidden: Invalid authentication token"}
VERSION = b'{"version": "4", "ray_version": "2.60.0"}'


@pytest.mark.parametrize("status", LOCKED)
@pytest.mark.parametrize("open_paths", [(), ("/api/version",)], ids=["all_locked", "version_open"])
def test_a_server_that_asks_for_a_token_is_one_line(
    status: int, open_paths: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMANIR_STACK_SETS", "RAY_ADDRESS:1")  # nothing is packed
    answers = dict.fromkeys(open_paths, (200, VERSION))
    with answering(answers, (status, LOCKED[status])) as address:
        for ask in (
            lambda: submit(address, "job", [], tmp_path, "none"),
            lambda: check_job(address, "job"),
            lambda: follow(address, "job", print),
            lambda: train.run(options(tmp_path, "--on", address)),
            lambda: train.run(options(tmp_path, "--on", address, "--attach", "job")),
        ):
            with pytest.raises(UserError) as refusal:
                ask()
            said = str(refusal.value)
            assert "\n" not in said
            assert address in said
            assert all(word in said for word in ("RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN ")), said
            assert len(said) < 500


@pytest.mark.parametrize(
    ("where", "said"),
    [("submit", "the job may have been sent"), ("print", "the job runs on"), ("follow", "the job runs on")],
)
def test_who_is_interrupted_is_told_of_the_job_at_any_moment(
    where: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object, file: Any = None, **_: object) -> None:
        if file is None:
            raise KeyboardInterrupt
        file.write(f"{given[0]}\n")

    monkeypatch.setattr(submitting, "submit", lambda *given: None)
    if where == "print":
        monkeypatch.setattr("builtins.print", interrupted)
    else:
        monkeypatch.setattr(submitting, where, interrupted)
    assert train.run(options(tmp_path, "--on", "http://127.0.0.1:9")) == INTERRUPTED
    error = capsys.readouterr().err
    assert said in error
    assert re.search(r"--attach semanir-train-\d{8}-\d{6}\n", error)


@pytest.mark.parametrize("mode", ["no_file", "no_token"])
def test_a_token_that_cannot_be_read_is_one_line(mode: str, tmp_path: Path) -> None:
    """In a process of its own: Ray reads the token once."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    environ |= {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
    environ |= {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "gone")} if mode == "no_file" else {}
    with answering({}, (401, LOCKED[401])) as address:
        command = [sys.executable, "-m", "pipeline.commands.main", "train", "--on", address]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "RAY_AUTH_TOKEN_PATH" in last


@pytest.mark.parametrize("answer", [(500, b"gone"), (200, b"{}"), (200, b"[]"), (200, b"<html>"), (404, b"no")])
def test_another_server_than_rays_is_one_line(answer: tuple[int, bytes], tmp_path: Path) -> None:
    with answering({}, answer) as address, pytest.raises(UserError, match=f"no job server at {address} ") as refusal:
        train.run(options(tmp_path, "--on", address))
    assert "\n" not in str(refusal.value)
