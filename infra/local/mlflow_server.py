"""The MLflow tracking server and registry: SQLite, artifacts proxied to the stack's S3.

Another user of the machine reaches its port, so it asks for a login, MLflow's own; ``.stack/env`` has it.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from infra.local.folders import BUCKET, Layout, write_private
from infra.local.part import Part, get
from infra.local.ports import Ports
from infra.local.secrets import Secrets


def part(layout: Layout, ports: Ports, secrets: Secrets, environ: Mapping[str, str], *, embedded_s3: bool) -> Part:
    """The MLflow server; clients need no S3 keys, since artifacts travel through it.

    Args:
        environ: environment of the server, with the way to the stack's S3 in it when `embedded_s3`.
        embedded_s3: without the stack's own S3, artifacts stay in the stack's folder: no variable of the ecosystem
            names a bucket of the user's that is meant for them.
    """
    address = f"http://127.0.0.1:{ports['mlflow']}"
    destination = f"s3://{BUCKET}/mlflow" if embedded_s3 else str(layout.mlflow_data / "artifacts")
    # Read by configparser, to which a single % begins a reference. Nobody but the stack's user has an account.
    database = str(layout.mlflow_data / "auth.db").replace("%", "%%")
    lines = ("[mlflow]", "default_permission = NO_PERMISSIONS", f"database_uri = sqlite:///{database}")
    asks = "authorization_function = mlflow.server.auth:authenticate_request_basic_auth"
    # A password's check takes a tenth of a second by design, and every call has one: who was let in is remembered.
    remembers = "auth_cache_ttl_seconds = 3600"
    write_private(layout.mlflow_auth, "\n".join((*lines, asks, remembers, "")))
    argv = [
        str(Path(sys.prefix) / "bin" / "mlflow"),
        "server",
        "--app-name=basic-auth",
        "--host=127.0.0.1",
        f"--port={ports['mlflow']}",
        "--workers=1",  # one user; each further worker costs 200 MB
        f"--backend-store-uri=sqlite:///{layout.mlflow_data / 'mlflow.db'}",
        "--serve-artifacts",
        f"--artifacts-destination={destination}",
        "--uvicorn-opts=--log-level=warning",  # or the log gets a line per logged metric
    ]
    env = {name: value for name, value in environ.items() if not name.startswith("MLFLOW_")}
    env |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # they judge language models
        "MLFLOW_AUTH_CONFIG_PATH": str(layout.mlflow_auth),
        "MLFLOW_AUTH_ADMIN_USERNAME": secrets.mlflow_user,
        "MLFLOW_AUTH_ADMIN_PASSWORD": secrets.mlflow_password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.mlflow_session_key,
    }
    if embedded_s3:
        env["MLFLOW_S3_ENDPOINT_URL"] = environ["AWS_ENDPOINT_URL_S3"]
    # What it answers to who has the login proves accounts and database; /health is answered before either is there.
    plain = f"{secrets.mlflow_user}:{secrets.mlflow_password}".encode()
    login = {"Authorization": f"Basic {b64encode(plain).decode()}"}
    return Part(
        name="mlflow",
        title="MLflow",
        address=f"{address}  (user and password: MLFLOW_TRACKING_… in {layout.env_file})",
        argv=argv,
        env=env,
        settings=("MLFLOW_S3_ENDPOINT_URL", "MLFLOW_AUTH_ADMIN_PASSWORD", *(n for n in env if n.startswith("AWS_"))),
        is_up=lambda: get(f"{address}/api/2.0/mlflow/experiments/search?max_results=1", login) is not None,
    )
