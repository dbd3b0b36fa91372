"""``semanir train --on``: sent to a real cluster, followed, left alone, and followed again to its end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SEMANIR = str(Path(sys.prefix) / "bin/semanir")
# Two steps and no picture worth keeping: what is looked at is the way of a job.
SHORT = [
    "--tasks", "denoising_color", "--set", "training.steps=2", "--set", "training.validate_every=2",
    "--set", "training.checkpoint_every=2",
    "--set", "training.schedule.warmup_steps=1",
]  # fmt: skip
PATIENCE_S = 600

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("trained")  # its shards
def test_a_plan_is_shown_and_nothing_started(stack: Any) -> None:
    plan = stack.run([SEMANIR, "train", "--dry-run", *SHORT], PATIENCE_S)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    for word in ("worker", "ZeRO", "batch", "steps", "samples", "checkpoint", "memory"):
        assert re.search(word, plan.stdout, re.IGNORECASE), (word, plan.stdout)
    (time,) = re.findall(r"^ *time +(.*)", plan.stdout, re.MULTILINE)
    assert re.match(r"[\d.]+ hours \(", time), plan.stdout  # from the steps that the first training took
    listed = stack.run(["ray", "job", "list"])
    assert "semanir-train-" not in listed.stdout


@pytest.mark.usefixtures("trained")
def test_a_job_outlives_who_follows_it(stack: Any) -> None:
    address = stack.env["RAY_API_SERVER_ADDRESS"]
    command = [SEMANIR, "train", "--on", address, *SHORT]
    follower = subprocess.Popen(
        command, cwd=stack.root, env={**stack.env, "PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert follower.stdout is not None
    told = ""
    while "stop it, saved" not in told:
        line = follower.stdout.readline()
        assert line, told + follower.communicate()[1]
        told += line
    job = told.split()[1].rstrip(":")
    assert f"{address}/#/jobs/{job}" in told
    follower.send_signal(signal.SIGINT)
    _, said = follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode == 128 + signal.SIGINT, said
    assert "the job runs on" in said
    assert f"--attach {job}" in said

    again = stack.run([SEMANIR, "train", "--on", address, "--attach", job], PATIENCE_S)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "semanir-denoising-color v" in again.stdout
    assert "follow it again" in again.stdout


def test_no_such_job_and_no_such_server_are_one_line(stack: Any) -> None:
    for on, attached, reason in (
        (stack.env["RAY_API_SERVER_ADDRESS"], "never-sent", "job never-sent on"),
        ("http://127.0.0.1:9", "any", "no job server at http://127.0.0.1:9"),
    ):
        done = stack.run([SEMANIR, "train", "--on", on, "--attach", attached], PATIENCE_S)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("error: "), done.stderr
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
