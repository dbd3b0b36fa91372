"""Which parts of the stack are the user's own, and the environment that the others are used with.

The rule: a part is the user's own when one of its `CLAIMS` is set in the environment. It is then neither
started nor mentioned in `.stack/env`. Values that an earlier `.stack/env` put into this shell are not
the user's: that file also exports a fingerprint of each, and a variable that still has it is ours.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from infra.local.folders import Layout, write_private
from infra.local.ports import Ports
from infra.local.processes import MARK
from infra.local.secrets import Secrets

SETS = "SEMANIR_STACK_SETS"

CLAIMS: dict[str, tuple[str, ...]] = {
    "s3": (
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "mlflow": ("MLFLOW_TRACKING_URI",),
    "ray": ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"),
}

QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def fingerprint(text: str) -> str:
    """Enough of a digest to recognize a value, too little to learn it."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment less what a `.stack/env` put into it, and less what `make` adds for its children."""
    ours = dict(entry.split(":", 1) for entry in environ.get(SETS, "").split() if ":" in entry)
    return {
        name: value
        for name, value in environ.items()
        if ours.get(name) != fingerprint(f"{name}={value}")
        and name not in {SETS, MARK, "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}
    }


def claims(environ: Mapping[str, str]) -> dict[str, str]:
    """Parts that are the user's own, each with the variable that says so."""
    own = without_ours(environ)
    found = {}
    for part, names in CLAIMS.items():
        claim = next((name for name in names if own.get(name)), None)
        if claim:
            found[part] = claim
    return found


def has_gpu() -> bool:
    """Whether torch can use an NVIDIA GPU here, found without importing torch."""
    device = any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))
    return device and not metadata.version("torch").endswith("+cpu")


def values(layout: Layout, ports: Ports, secrets: Secrets, claimed: Mapping[str, str]) -> dict[str, str]:
    """What the embedded parts are reached by; nothing of a claimed part."""
    result: dict[str, str] = {}
    if "s3" not in claimed:
        result |= {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{ports['s3']}",
            "AWS_ACCESS_KEY_ID": secrets.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": secrets.s3_secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",  # the spelling that boto3 reads
            "AWS_EC2_METADATA_DISABLED": "true",  # or the C++ client waits for a cloud that is not there
        }
    if "mlflow" not in claimed:
        result |= {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{ports['mlflow']}",
            "MLFLOW_TRACKING_USERNAME": secrets.mlflow_user,
            "MLFLOW_TRACKING_PASSWORD": secrets.mlflow_password,
        }
    if "ray" not in claimed:
        result |= {
            "RAY_ADDRESS": f"127.0.0.1:{ports['gcs']}",  # for ray.init()
            "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports['dashboard']}",  # for ray job submit
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(layout.ray_token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or Ray replaces 127.0.0.1 by the host's address
        }
    return result


def common(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings that hold whoever owns the parts."""
    result = dict(QUIET)
    if not has_gpu():
        result["DS_ACCELERATOR"] = environ.get("DS_ACCELERATOR", "cpu")
    for name in ("no_proxy", "NO_PROXY"):
        listed = [entry for entry in environ.get(name, "").split(",") if entry]
        result[name] = ",".join(dict.fromkeys([*listed, "127.0.0.1", "localhost"]))
    return result


def write_env_file(path: Path, reach: Mapping[str, str], extra: Mapping[str, str]) -> None:
    """Write the file that a shell sources: `reach` (see `values`) and `extra` (see `common`)."""
    binaries = shlex.quote(str(Path(sys.prefix) / "bin"))
    sets = " ".join(f"{name}:{fingerprint(f'{name}={value}')}" for name, value in reach.items())
    lines = [
        "# Written by `python -m infra.local up`. Holds secrets: for this user only, never to be committed.",
        *(f"export {name}={shlex.quote(value)}" for name, value in {**extra, **reach, SETS: sets}.items()),
        f'case ":$PATH" in :{binaries}:*) ;; *) export PATH={binaries}:"$PATH" ;; esac',
    ]
    write_private(path, "\n".join(lines) + "\n")


def sourced(path: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a shell that sourced `path`.

    Args:
        environ: what the shell starts with; this process's environment by default.
    """
    shell = subprocess.run(
        ["/bin/sh", "-c", '. "$1" && env -0', "sh", str(path)],
        env=dict(os.environ if environ is None else environ),
        stdout=subprocess.PIPE,
        check=True,
    )
    entries = shell.stdout.decode().rstrip("\0").split("\0")
    return dict(entry.split("=", 1) for entry in entries)
