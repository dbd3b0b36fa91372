"""SeaweedFS and MLflow as a team would run them: a key per policy of infra/s3, and MLflow users."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local import ports, processes
from infra.local.folders import BUCKET, PROJECT_ROOT
from tests.infra.network import Host

POLICIES = {path.stem: path for path in sorted((PROJECT_ROOT / "infra/s3").glob("*.json"))}
START_DEADLINE_S = 120
BIN = Path(sys.prefix) / "bin"


@dataclass(frozen=True)
class Services:
    """Running servers, and what reaches them. ``keys`` has a pair for each policy, and for ``admin``."""

    host: Host
    folder: Path
    s3_url: str
    mlflow_url: str
    keys: Mapping[str, tuple[str, str]] = field(repr=False)
    passwords: Mapping[str, str] = field(repr=False)

    def s3(self, who: str) -> Any:
        access_key, secret_key = self.keys[who]
        return boto3.client(
            "s3", endpoint_url=self.s3_url, aws_access_key_id=access_key, aws_secret_access_key=secret_key,
            region_name="us-east-1", config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, proxies={}),
        )  # fmt: skip

    def s3_environ(self, who: str) -> dict[str, str]:
        access_key, secret_key = self.keys[who]
        return {
            "AWS_ENDPOINT_URL_S3": self.s3_url,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def mlflow_environ(self, who: str) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "MLFLOW_TRACKING_USERNAME": who,
            "MLFLOW_TRACKING_PASSWORD": self.passwords[who],
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def ask_mlflow(self, path: str, who: str | None = None, body: Mapping[str, Any] | None = None) -> Any:
        """JSON of the server's answer. Raises urllib.error.HTTPError for a refusal."""
        headers = {"Content-Type": "application/json"}
        if who:
            headers["Authorization"] = "Basic " + b64encode(f"{who}:{self.passwords[who]}".encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.mlflow_url}/api/2.0/mlflow/{path}", data=data, headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)

    def stop(self) -> None:
        for part in ("mlflow", "s3"):
            processes.end(self.folder, part)


def start_services(host: Host, folder: Path) -> Services:
    """Both servers, ready, with the bucket made and the MLflow user ``trainer`` added."""
    free = ports.choose(["s3", "master", "volume", "filer", "mlflow"])
    keys = {who: (secrets.token_hex(10).upper(), secrets.token_urlsafe(30)) for who in ("admin", *POLICIES)}
    services = Services(
        host, folder, f"http://{host.address}:{free['s3']}", f"http://{host.address}:{free['mlflow']}", keys,
        {who: secrets.token_urlsafe(18) for who in ("admin", "trainer")},
    )  # fmt: skip
    (folder / "s3").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps(_identities(services)))
    weed = [
        *(str(BIN / "weed"), "-logtostderr=true", "mini", f"-dir={folder / 's3'}", f"-ip={host.address}"),
        *(f"-ip.bind={host.address}", f"-s3.port={free['s3']}", f"-master.port={free['master']}"),
        *(f"-volume.port={free['volume']}", f"-filer.port={free['filer']}", f"-s3.config={folder / 's3.json'}"),
        *("-s3.autoCreateBucket=false", "-master.telemetry=false", "-webdav=false", "-admin.ui=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.preStopSeconds=0"),
    ]
    start(folder, "s3", host.command(weed), {})
    env = services.s3_environ("mlflow") | {
        "MLFLOW_HOST": host.address,
        "MLFLOW_PORT": str(free["mlflow"]),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"{host.address}:{free['mlflow']}",
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": services.s3_url,
        "MLFLOW_AUTH_DATABASE_URI": f"sqlite:///{folder / 'auth.db'}",
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": services.passwords["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    server = ["sh", str(PROJECT_ROOT / "infra/mlflow/start.sh"), "--uvicorn-opts=--log-level=warning"]
    start(folder, "mlflow", host.command(server), env)
    try:
        wait_for(lambda: services.s3("admin").create_bucket(Bucket=BUCKET), folder / "s3.log")
        wait_for(lambda: services.ask_mlflow("experiments/search?max_results=1", "admin"), folder / "mlflow.log")
        assert add_user(services, "trainer") == "added trainer\n"
    except BaseException:
        services.stop()
        raise
    return services


def add_user(services: Services, who: str) -> str:
    """What infra/mlflow/add_user.py says."""
    lines = f"MLFLOW_TRACKING_USERNAME={who}\nMLFLOW_TRACKING_PASSWORD={services.passwords[who]}\n"
    command = [str(BIN / "python"), str(PROJECT_ROOT / "infra/mlflow/add_user.py")]
    env = plain_environ() | services.mlflow_environ("admin") | {"no_proxy": "*"}
    done = subprocess.run(command, input=lines, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _identities(services: Services) -> dict[str, Any]:
    """SeaweedFS's identities: the committed policies are what restricts each key."""
    identities = [
        {
            "name": who,
            "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
            **({"policyNames": [who]} if who in POLICIES else {"actions": ["Admin", "Read", "Write", "List"]}),
        }
        for who, (access_key, secret_key) in services.keys.items()
    ]
    policies = [{"name": name, "content": path.read_text()} for name, path in POLICIES.items()]
    return {"identities": identities, "policies": policies}


def plain_environ() -> dict[str, str]:
    """What a fresh machine gives a process: nothing of this one's servers, keys or proxies."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def start(folder: Path, part: str, argv: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a marked process; `processes.end(folder, part)` ends it and what it started."""
    marked = plain_environ() | env | {processes.MARK: processes.mark(folder, part)}
    return processes.start(argv, marked, folder / f"{part}.log", folder)


def wait_for(attempt: Callable[[], Any], log: Path, deadline_s: float = START_DEADLINE_S) -> Any:
    """Repeat until it raises no longer; past the deadline the end of the server's log is shown."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            return attempt()
        except (OSError, BotoCoreError, ClientError) as error:  # urllib's errors are OSErrors
            if time.monotonic() > deadline:
                raise TimeoutError(f"{error}; the end of {log}:\n{log.read_text()[-3000:]}") from error
        time.sleep(0.2)
