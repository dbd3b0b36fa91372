"""Credentials of the stack: generated once, kept in files that only the user can read."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from infra.local.folders import Layout, write_private


@dataclass(frozen=True, repr=False)  # no repr: it would show the secrets
class Secrets:
    s3_access_key: str
    s3_secret_key: str
    mlflow_user: str
    mlflow_password: str
    mlflow_session_key: str


def load_or_generate(layout: Layout) -> Secrets:
    """The stack's credentials; missing ones are made, in the files that the servers read."""
    if not layout.ray_token.exists():
        write_private(layout.ray_token, secrets.token_hex(32))
    if not layout.s3_identities.exists():
        credentials = {"accessKey": secrets.token_hex(10).upper(), "secretKey": secrets.token_urlsafe(30)}
        identity = {
            "name": "local",
            "credentials": [credentials],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(layout.s3_identities, json.dumps({"identities": [identity]}))
    if not layout.mlflow_login.exists():
        login = {"user": "local", "password": secrets.token_urlsafe(30), "session_key": secrets.token_hex(32)}
        # MLflow keeps a digest of the first password it was started with.
        (layout.mlflow_data / "auth.db").unlink(missing_ok=True)
        write_private(layout.mlflow_login, json.dumps(login))
    mlflow = json.loads(layout.mlflow_login.read_text())
    stored = json.loads(layout.s3_identities.read_text())["identities"][0]["credentials"][0]
    return Secrets(
        s3_access_key=stored["accessKey"],
        s3_secret_key=stored["secretKey"],
        mlflow_user=mlflow["user"],
        mlflow_password=mlflow["password"],
        mlflow_session_key=mlflow["session_key"],
    )
