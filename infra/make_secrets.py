"""Make the secrets of a deployment, in a folder that nobody else can enter: python infra/make_secrets.py FOLDER

    postgres_password     PostgreSQL's user mlflow
    ray_token             Ray's token
    serve_token           what clients of the restoring service send
    s3_identities         SeaweedFS: a key for each policy of infra/s3, and one for the administrator
    s3-train.env, s3-mlflow.env, s3-prepare.env    the same keys, as the AWS tools' variables
    mlflow-server.env     the MLflow server's databases, first user and session key
    mlflow-trainer.env    the MLflow user of the Ray nodes: infra/mlflow/add_user.py adds it to the server

Files that exist stay as they are, so running it again changes nothing. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import Any

POLICIES = Path(__file__).resolve().parent / "s3"


def s3_identities() -> dict[str, list[dict[str, Any]]]:
    """SeaweedFS's identities: one for each committed policy, restricted by it, and ``admin``."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(POLICIES.glob("*.json"))}
    identities: list[dict[str, Any]] = [
        {
            "name": name,
            "credentials": [{"accessKey": secrets.token_hex(10).upper(), "secretKey": secrets.token_urlsafe(30)}],
            **({"policyNames": [name]} if name in texts else {"actions": ["Admin", "Read", "Write", "List"]}),
        }
        for name in ("admin", *texts)
    ]
    return {"identities": identities, "policies": [{"name": name, "content": text} for name, text in texts.items()]}


def key_of(identities: dict[str, list[dict[str, Any]]], name: str) -> dict[str, str]:
    """The named identity's key as the AWS tools' environment variables."""
    identity = next(entry for entry in identities["identities"] if entry["name"] == name)
    (pair,) = identity["credentials"]
    return {"AWS_ACCESS_KEY_ID": pair["accessKey"], "AWS_SECRET_ACCESS_KEY": pair["secretKey"]}


def write(path: Path, text: str) -> str:
    """Write ``text`` unless the file exists; returns what the file holds.

    Containers read some of the files as users of their own, so it is the folder that keeps others out.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return path.read_text(encoding="utf-8")
    print(f"made {path}")
    return text


def env_file(values: dict[str, str]) -> str:
    """Lines that Docker and `kubectl create secret --from-env-file` read; no value has a quote or a space."""
    return "".join(f"{name}={value}\n" for name, value in values.items())


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: all files are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--postgres", default="postgres:5432", help="host:port (default: postgres:5432)")
    options = parser.parse_args(arguments)
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options.folder.chmod(0o700)

    password = write(options.folder / "postgres_password", secrets.token_urlsafe(24))
    for name in ("ray_token", "serve_token"):
        write(options.folder / name, secrets.token_hex(32))
    identities = json.loads(write(options.folder / "s3_identities", json.dumps(s3_identities(), indent=1)))
    for policy in ("train", "mlflow", "prepare"):
        write(options.folder / f"s3-{policy}.env", env_file(key_of(identities, policy)))
    database = f"postgresql://mlflow:{password}@{options.postgres}"
    server = {
        "MLFLOW_BACKEND_STORE_URI": f"{database}/mlflow",
        "MLFLOW_AUTH_DATABASE_URI": f"{database}/mlflow_auth",
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": secrets.token_urlsafe(18),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
    }
    write(options.folder / "mlflow-server.env", env_file(server))
    trainer = {"MLFLOW_TRACKING_USERNAME": "trainer", "MLFLOW_TRACKING_PASSWORD": secrets.token_urlsafe(18)}
    write(options.folder / "mlflow-trainer.env", env_file(trainer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
