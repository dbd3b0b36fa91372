"""Which parts are the user's own, and what a shell gets from the env file."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import environment, ports
from infra.local.folders import Layout
from infra.local.secrets import Secrets

SECRETS = Secrets(
    s3_access_key="AKLOCAL",
    s3_secret_key='it\'s $a "secret" `one`',
    mlflow_user="local",
    mlflow_password="p w",
    mlflow_session_key="k",
)
PORTS = {name: 20000 + i for i, name in enumerate(n for names in ports.NAMES.values() for n in names)}
PLAIN = {"PATH": "/usr/bin:/bin", "HOME": "/home/u"}


def written(folder: Path, environ: dict[str, str]) -> Layout:
    """The env file that `up` would leave for a user with this environment."""
    layout = Layout(folder)
    claimed = environment.claims(environ)
    own = environment.without_ours(environ)
    reach = environment.values(layout, PORTS, SECRETS, claimed)
    environment.write_env_file(layout.env_file, reach, environment.common(own))
    return layout


@pytest.mark.parametrize(
    ("variable", "part"),
    [(name, part) for part, names in environment.CLAIMS.items() for name in names],
)
def test_a_part_is_the_users_own_when_one_of_its_variables_is_set(variable: str, part: str) -> None:
    assert environment.claims({**PLAIN, variable: "theirs"}) == {part: variable}


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_CA_BUNDLE", "RAY_AUTH_MODE", "MLFLOW_EXPERIMENT_NAME"])
def test_settings_that_name_no_server_claim_nothing(variable: str) -> None:
    assert environment.claims({**PLAIN, variable: "theirs"}) == {}


def test_an_empty_variable_claims_nothing() -> None:
    assert environment.claims({**PLAIN, "RAY_ADDRESS": ""}) == {}


def test_what_an_earlier_env_file_exported_is_not_the_users(tmp_path: Path) -> None:
    shell = environment.sourced(written(tmp_path, PLAIN).env_file, PLAIN)
    assert shell["AWS_SECRET_ACCESS_KEY"] == SECRETS.s3_secret_key  # quoting survived
    assert environment.claims(shell) == {}
    assert "AWS_SECRET_ACCESS_KEY" not in environment.without_ours(shell)


def test_a_value_changed_after_sourcing_is_the_users(tmp_path: Path) -> None:
    shell = environment.sourced(written(tmp_path, PLAIN).env_file, PLAIN)
    shell["MLFLOW_TRACKING_URI"] = "https://mlflow.example.org"
    assert environment.claims(shell) == {"mlflow": "MLFLOW_TRACKING_URI"}
    kept = environment.without_ours(shell)
    assert kept["MLFLOW_TRACKING_URI"] == "https://mlflow.example.org"
    assert "AWS_ENDPOINT_URL_S3" not in kept


@given(st.sets(st.sampled_from(sorted(environment.CLAIMS))))
def test_a_claimed_part_is_left_untouched(claimed: set[str]) -> None:
    names = {"s3": "AWS_", "mlflow": "MLFLOW_", "ray": "RAY_"}
    reach = environment.values(Layout(Path("/s")), PORTS, SECRETS, dict.fromkeys(claimed, "X"))
    for part, prefix in names.items():
        assert any(name.startswith(prefix) for name in reach) == (part not in claimed)


def test_the_users_own_values_pass_through_the_env_file(tmp_path: Path) -> None:
    own = {"AWS_ACCESS_KEY_ID": "AKMINE", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_REGION": "eu-west-1"}
    layout = written(tmp_path, {**PLAIN, **own})
    assert "AWS_" not in layout.env_file.read_text()
    shell = environment.sourced(layout.env_file, {**PLAIN, **own})
    assert own.items() <= shell.items()
    assert shell["RAY_ADDRESS"] == f"127.0.0.1:{PORTS['gcs']}"


def test_only_the_user_can_read_the_env_file(tmp_path: Path) -> None:
    layout = written(tmp_path, PLAIN)
    layout.env_file.chmod(0o644)  # somebody loosened it; the next write closes it again
    layout = written(tmp_path, PLAIN)
    assert stat.S_IMODE(layout.env_file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_sourcing_puts_the_virtual_environment_first_once(tmp_path: Path) -> None:
    layout = written(tmp_path, PLAIN)
    once = environment.sourced(layout.env_file, PLAIN)
    twice = environment.sourced(layout.env_file, once)
    assert once["PATH"] == f"{Path(sys.prefix) / 'bin'}:{PLAIN['PATH']}"
    assert twice["PATH"] == once["PATH"]


def test_loopback_is_never_asked_through_a_proxy(tmp_path: Path) -> None:
    proxied = {**PLAIN, "no_proxy": "example.org", "https_proxy": "http://proxy:3128"}
    shell = environment.sourced(written(tmp_path, proxied).env_file, proxied)
    assert shell["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_every_line_is_an_export_that_a_posix_shell_accepts(tmp_path: Path) -> None:
    layout = written(tmp_path, PLAIN)
    subprocess.run(["/bin/sh", "-n", str(layout.env_file)], check=True)
    lines = [line for line in layout.env_file.read_text().splitlines() if not line.startswith("#")]
    assert all(line.startswith("export ") for line in lines[:-1])


def test_secrets_do_not_show_in_a_representation() -> None:
    assert SECRETS.s3_secret_key not in repr(SECRETS)
    assert SECRETS.s3_access_key not in repr(SECRETS)
