"""With authentication on, the real servers refuse whoever has no right to ask."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local import processes
from infra.local.folders import BUCKET
from tests.infra.services import POLICIES, Services, add_user

MINE = {"train": "runs/", "prepare": "datasets/", "mlflow": "mlflow/"}


def refused(call: Any, **arguments: Any) -> bool:
    """Whether the answer is 403; any other failure is raised."""
    try:
        call(Bucket=BUCKET, **arguments)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
            return True
        raise
    return False


@pytest.fixture(scope="module")
def objects(services: Services) -> Services:
    for prefix in [*MINE.values(), "images/"]:
        services.s3("admin").put_object(Bucket=BUCKET, Key=f"{prefix}there", Body=b"pixels")
    return services


def test_every_policy_is_tried() -> None:
    assert set(MINE) == set(POLICIES)


@pytest.mark.parametrize("who", MINE)
@pytest.mark.parametrize("prefix", [*MINE.values(), "elsewhere/"])
def test_a_key_writes_and_deletes_under_its_own_prefix_only(objects: Services, who: str, prefix: str) -> None:
    s3 = objects.s3(who)
    own = prefix == MINE[who]
    assert refused(s3.put_object, Key=f"{prefix}{who}", Body=b"x") != own
    assert refused(s3.delete_object, Key=f"{prefix}{who}") != own


@pytest.mark.parametrize(
    ("who", "readable"),
    [("train", {"runs/", "datasets/"}), ("prepare", {"datasets/", "images/"}), ("mlflow", {"mlflow/"})],
)
def test_a_key_reads_and_lists_what_its_work_needs_only(objects: Services, who: str, readable: set[str]) -> None:
    s3 = objects.s3(who)
    for prefix in [*MINE.values(), "images/"]:
        assert refused(s3.get_object, Key=f"{prefix}there") == (prefix not in readable)
        assert refused(s3.list_objects_v2, Prefix=prefix) == (prefix not in readable)


@pytest.mark.parametrize("who", MINE)
def test_no_key_may_change_the_bucket(objects: Services, who: str) -> None:
    assert refused(objects.s3(who).delete_bucket)
    assert refused(objects.s3(who).put_bucket_policy, Policy=POLICIES["train"].read_text())


def test_mlflow_refuses_a_client_without_a_user(services: Services) -> None:
    for path in ("experiments/search?max_results=1", "registered-models/search"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            services.ask_mlflow(path)
        assert refusal.value.code == 401
        services.ask_mlflow(path, "trainer")


def test_mlflow_artifacts_are_refused_without_a_user(services: Services) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refusal:
        opener.open(f"{services.mlflow_url}/api/2.0/mlflow-artifacts/artifacts?path=", timeout=30)
    assert refusal.value.code == 401


def test_a_user_may_not_make_users(services: Services) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        services.ask_mlflow("users/create", "trainer", {"username": "friend", "password": "a long password"})
    assert refusal.value.code == 403


def test_mlflow_refuses_a_host_name_that_is_not_its_own(services: Services) -> None:
    request = urllib.request.Request(
        f"{services.mlflow_url}/api/2.0/mlflow/experiments/search", headers={"Host": "rebound.example.org"}
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    assert refusal.value.code == 403


def test_a_user_that_exists_gets_the_password_again(services: Services) -> None:
    assert add_user(services, "trainer") == "trainer was there: the password is set\n"
    services.ask_mlflow("experiments/search?max_results=1", "trainer")


def test_the_mlflow_servers_secrets_are_in_no_command_line(services: Services) -> None:
    lines = [" ".join(process.cmdline()) for process in processes.find(services.folder, "mlflow")]
    assert any("mlflow" in line for line in lines)
    assert not [line for line in lines for secret in (*services.passwords.values(), "auth.db") if secret in line]


def test_ray_refuses_a_job_without_the_token(stack: Any) -> None:
    without = {name: value for name, value in stack.env.items() if not name.startswith("RAY_AUTH")}
    command = ["ray", "job", "submit", "--", "python", "-c", "print('RAN')"]
    tried = subprocess.run(
        command, env=without | {"HOME": "/nonexistent"}, capture_output=True, text=True, check=False, timeout=60
    )
    assert tried.returncode != 0
    assert "RAN" not in tried.stdout
    said = (tried.stdout + tried.stderr).lower()
    assert "token" in said or "unauthorized" in said, said
