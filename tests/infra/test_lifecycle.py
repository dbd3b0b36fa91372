"""Up and down on a real S3 server alone: Ray and MLflow are said to be the user's own."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psutil
import pytest

from infra.local import environment, lifecycle, ports, processes
from infra.local.__main__ import main
from infra.local.folders import BUCKET, Layout, StackError
from infra.local.part import Part

ELSEWHERE = {"RAY_ADDRESS": "ray.example.org:6379", "MLFLOW_TRACKING_URI": "https://mlflow.example.org"}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def s3_only(tmp_path_factory: pytest.TempPathFactory, infra_local: Run) -> Iterator[Callable[[str], Layout]]:
    """`s3_only(command)` runs it on a stack of one server, which is gone after the module.

    Whatever a test did to it, the next test's `up` has to mend.
    """
    layout = Layout(tmp_path_factory.mktemp("s3") / "stack")

    def run(command: str) -> Layout:
        done = infra_local(layout.folder, command, **ELSEWHERE)
        assert done.returncode == 0, done.stdout + done.stderr
        return layout

    yield run
    infra_local(layout.folder, "down")


def server(layout: Layout) -> psutil.Process:
    (process,) = processes.find(layout.folder, "s3")
    return process


def s3_client(layout: Layout) -> boto3.client:
    return boto3.Session().client("s3", **keys(layout))


def keys(layout: Layout) -> dict[str, str]:
    env = environment.sourced(layout.env_file)
    return {
        "endpoint_url": env["AWS_ENDPOINT_URL_S3"],
        "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
        "region_name": env["AWS_REGION"],
    }


def test_servers_of_the_users_own_are_not_started(s3_only: Callable[[str], Layout], infra_local: Run) -> None:
    layout = s3_only("up")
    assert server(layout).is_running()
    for part in ("mlflow", "ray"):
        assert processes.find(layout.folder, part) == {}
        assert not layout.log(part).exists()
    text = layout.env_file.read_text()
    assert "MLFLOW_TRACKING_URI=" not in text
    assert "RAY_ADDRESS=" not in text
    shown = infra_local(layout.folder, "status", **ELSEWHERE)
    assert shown.returncode == 0
    assert "yours (RAY_ADDRESS is set)" in shown.stdout
    assert infra_local(layout.folder, "status").returncode == 1  # without them, two parts are missing


def test_a_killed_server_comes_back_with_its_data(s3_only: Callable[[str], Layout]) -> None:
    layout = s3_only("up")
    s3_client(layout).put_object(Bucket=BUCKET, Key="kept", Body=b"pixels")
    shell = layout.env_file.read_text()
    first = server(layout)
    first.kill()
    psutil.wait_procs([first], timeout=10)
    s3_only("up")
    assert server(layout) != first
    assert layout.env_file.read_text() == shell
    assert s3_client(layout).get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"pixels"


@pytest.mark.slow
def test_a_port_taken_while_it_was_down_is_replaced(s3_only: Callable[[str], Layout]) -> None:
    layout = s3_only("up")
    s3_client(layout).put_object(Bucket=BUCKET, Key="kept", Body=b"pixels")
    former = ports.load(layout.ports_file)
    s3_only("down")
    assert processes.find(layout.folder, "s3") == {}
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", former["s3"]))
        other.listen()
        s3_only("up")
        assert ports.load(layout.ports_file)["s3"] != former["s3"]
        assert s3_client(layout).get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"pixels"


@pytest.mark.slow
def test_a_deleted_folder_leaves_no_server_behind(s3_only: Callable[[str], Layout]) -> None:
    layout = s3_only("up")
    first = server(layout)
    for file in (layout.ports_file, layout.s3_identities, layout.env_file):
        file.unlink()
    s3_only("up")
    assert not processes.runs(first)
    assert s3_client(layout).head_bucket(Bucket=BUCKET)


def test_a_server_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path, infra_local: Run) -> None:
    layout = Layout(tmp_path / "stack")
    layout.create()
    (layout.s3_data / "filerldb2").write_text("a file where SeaweedFS wants a folder")
    failed = infra_local(layout.folder, "up", **ELSEWHERE)
    assert failed.returncode == 1
    assert "S3 (SeaweedFS) did not come up" in failed.stderr
    assert str(layout.log("s3")) in failed.stderr
    assert "  | " in failed.stderr
    infra_local(layout.folder, "down")


def test_a_server_that_gave_up_on_a_busy_machine_is_started_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "stack")
    layout.create()
    # Its first start ends as Ray's does that found no processor in time, its second comes up.
    script = f"cd '{tmp_path}'; if mkdir tried; then echo it timed out; exit 1; fi; touch up; exec sleep 60"
    part = Part(
        name="ray", title="Ray", address="", argv=["sh", "-c", script], env=os.environ, settings=[],
        is_up=(tmp_path / "up").exists, gives_up="timed out",
    )  # fmt: skip
    said: list[str] = []
    try:
        lifecycle._start(layout, part, time.monotonic() + 60, said.append)
        assert processes.find(layout.folder, "ray")
    finally:
        processes.end(layout.folder, "ray")
    assert [" ".join(line.split()) for line in said] == ["Ray gave up on this busy machine: starting it again"]


def test_a_server_that_ends_for_any_other_reason_is_not(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "stack")
    layout.create()
    layout.log("ray").write_text("it timed out\n")  # in an earlier start
    part = Part(
        name="ray", title="Ray", address="", argv=["sh", "-c", "echo no such option; exit 2"], env=os.environ,
        settings=[], is_up=lambda: False, gives_up="timed out",
    )  # fmt: skip
    with pytest.raises(StackError, match=r"(?s)Ray did not come up: it ended with code 2.*no such option"):
        lifecycle._start(layout, part, time.monotonic() + 60, lambda _: pytest.fail("it was started again"))


def test_down_without_up_says_so(tmp_path: Path, infra_local: Run) -> None:
    done = infra_local(tmp_path / "stack", "down")
    assert (done.returncode, done.stdout) == (0, "nothing was started\n")


@pytest.mark.parametrize("words", [["--dir", "", "status"], ["stop-jobs", ""]])
def test_nothing_means_neither_another_stack_nor_every_job(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "an empty value" in capsys.readouterr().err


def test_what_is_to_be_pasted_into_a_shell_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lifecycle, "up", lambda layout, say: None)
    folder = tmp_path / "stäck ö's"
    assert main(["--dir", str(folder), "up"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Use it in a shell with:"))
    assert shlex.split(line.partition(":")[2]) == [".", str(folder / "env")]
