"""The whole stack, real: three servers on loopback, and no secret where others can read it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

from infra.local import processes
from infra.local.lifecycle import PARTS

Run = Callable[..., subprocess.CompletedProcess[str]]
Stack = Any  # tests/conftest.py


def running(stack: Stack) -> set[psutil.Process]:
    return {process for part in PARTS for process in processes.find(stack.layout.folder, part)}


def secrets_of(stack: Stack) -> list[str]:
    return [
        stack.env["AWS_ACCESS_KEY_ID"],
        stack.env["AWS_SECRET_ACCESS_KEY"],
        stack.env["MLFLOW_TRACKING_PASSWORD"],
        Path(stack.env["RAY_AUTH_TOKEN_PATH"]).read_text(),
    ]


def test_a_second_up_changes_nothing(stack: Stack, infra_local: Run) -> None:
    before = {part: min(processes.find(stack.layout.folder, part), key=lambda p: p.pid) for part in PARTS}
    env = stack.layout.env_file.read_text()
    # Once from a plain shell and once from one that sourced the file.
    for variables in ({}, stack.env):
        again = infra_local(stack.layout.folder, "up", **variables)
        assert again.returncode == 0, again.stderr
        assert again.stdout.count("(runs already)") == 3, again.stdout
    assert stack.layout.env_file.read_text() == env
    assert all(process.is_running() for process in before.values())


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    pids = {process.pid for process in running(stack)}
    sockets = [c for c in psutil.net_connections("inet") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    assert len(sockets) > len(PARTS)
    assert {connection.laddr.ip.removeprefix("::ffff:") for connection in sockets} == {"127.0.0.1"}


def test_a_job_runs_in_the_project_with_what_it_needs(stack: Stack) -> None:
    code = "import json, os, sys; print('SEEN', json.dumps([os.getcwd(), sys.prefix, sorted(os.environ)]))"
    command = ["ray", "job", "submit", "--", "python", "-c", code]
    done = subprocess.run(command, env=stack.env, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = next(line for line in done.stdout.splitlines() if line.startswith("SEEN "))
    folder, prefix, job_environ = json.loads(seen.removeprefix("SEEN "))
    assert folder == str(stack.root)
    assert Path(prefix) / "bin" == Path(stack.env["PATH"].split(":")[0])
    needed = {"AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI"}
    assert needed <= set(job_environ)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer 0123"}], ids=["no token", "wrong token"])
def test_the_job_server_refuses_whoever_has_no_token(stack: Stack, headers: dict[str, str]) -> None:
    request = urllib.request.Request(f"{stack.env['RAY_API_SERVER_ADDRESS']}/api/jobs/", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    assert refusal.value.code in {401, 403}


def test_s3_refuses_wrong_keys_and_unknown_buckets(stack: Stack) -> None:
    def client(secret: str) -> boto3.client:
        return boto3.client(
            "s3",
            endpoint_url=stack.env["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=stack.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret,
            region_name=stack.env["AWS_REGION"],
        )

    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client("wrong").list_buckets()
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client(stack.env["AWS_SECRET_ACCESS_KEY"]).put_object(Bucket="mistyped", Key="a", Body=b"")


def test_the_folder_is_closed_to_others(stack: Stack) -> None:
    layout = stack.layout
    assert stat.S_IMODE(layout.folder.stat().st_mode) == 0o700
    secret_files = (layout.env_file, layout.s3_identities, layout.ray_token, layout.mlflow_login)
    for secret in (*secret_files, *layout.certificates.iterdir()):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_mlflow_takes_an_artifact_from_a_client_without_s3_keys(stack: Stack) -> None:
    address = f"{stack.env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts/check/picture"
    login = f"{stack.env['MLFLOW_TRACKING_USERNAME']}:{stack.env['MLFLOW_TRACKING_PASSWORD']}"
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
    put = urllib.request.Request(address, data=b"pixels", method="PUT", headers=headers)
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
        assert answer.read() == b"pixels"
    assert any(path.stat().st_size for path in stack.layout.s3_data.glob("*.dat"))
    assert not (stack.layout.mlflow_data / "artifacts").exists()


def test_no_secret_is_in_a_command_line(stack: Stack) -> None:
    lines = [" ".join(process.cmdline()) for process in running(stack)]
    assert any("weed" in line for line in lines)
    assert not [line for line in lines for secret in secrets_of(stack) if secret in line]


def test_no_secret_is_in_a_log_or_in_any_file_but_its_own(stack: Stack) -> None:
    layout = stack.layout
    own = {layout.env_file, layout.s3_identities, layout.ray_token, layout.mlflow_login}
    files = [Path(folder) / name for folder, _, names in os.walk(layout.folder) for name in names]
    read = [path for path in files if path.is_file() and not path.is_symlink() and path not in own]
    assert {layout.log(part) for part in PARTS} <= set(read)
    found = [
        path for path in read for content in [path.read_bytes()] for s in secrets_of(stack) if s.encode() in content
    ]
    assert found == []


def test_no_secret_is_in_the_job_api(stack: Stack) -> None:
    token = {"Authorization": f"Bearer {Path(stack.env['RAY_AUTH_TOKEN_PATH']).read_text()}"}
    request = urllib.request.Request(f"{stack.env['RAY_API_SERVER_ADDRESS']}/api/jobs/", headers=token)
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
    assert isinstance(json.loads(text), list)
    assert not [secret for secret in secrets_of(stack) if secret in text]


@pytest.mark.slow
@pytest.mark.parametrize(("part", "victim"), [("mlflow", "mlflow"), ("ray", "raylet"), ("ray", "gcs_server")])
def test_a_killed_part_comes_back_whole(stack: Stack, infra_local: Run, part: str, victim: str) -> None:
    found = processes.find(stack.layout.folder, part)
    killed = [process for process in found if victim in " ".join(process.cmdline()[:3])]
    assert killed
    for process in killed:
        process.kill()
    others = {name: processes.find(stack.layout.folder, name) for name in PARTS if name != part}
    again = infra_local(stack.layout.folder, "up")
    assert again.returncode == 0, again.stdout + again.stderr
    assert infra_local(stack.layout.folder, "status").returncode == 0
    assert not any(processes.runs(process) for process in killed)
    for name, before in others.items():
        assert set(before) & set(processes.find(stack.layout.folder, name))
