"""A real S3 server (SeaweedFS) that tests may stop and start again."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

START_DEADLINE_S = 60
READY_KEY = ".ready"


def free_ports(count: int) -> list[int]:
    # SeaweedFS also takes port + 10000 for gRPC, and starts only where none of these is another's port: all ports lie
    # below 20000, all of theirs above.
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = 10_000 + probe.getsockname()[1] % 10_000
        if port not in found and all(_is_free(number) for number in (port, port + 10_000)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Seaweed:
    """One SeaweedFS process on loopback with generated credentials; the data outlives a stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports(4)
        self.access_key, self.secret_key = secrets.token_hex(8), secrets.token_hex(16)
        identity = {
            "name": "local",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads a client here."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def start(self) -> None:
        weed = Path(sysconfig.get_path("scripts"), "weed")
        s3, master, volume, filer = self.ports
        with open(self.folder / "weed.log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(weed), "-logtostderr=true", "mini", f"-dir={self.folder / 'data'}"),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}", f"-master.port={master}"),
                    *(
                        f"-volume.port={volume}",
                        f"-filer.port={filer}",
                        f"-s3.config={self.folder / 's3.json'}",
                    ),
                    *("-master.telemetry=false", "-webdav=false", "-admin.ui=false"),
                    *("-s3.port.iceberg=0", "-s3.port.lance=0"),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    @cached_property
    def _client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.access_key, region_name="us-east-1",
            aws_secret_access_key=self.secret_key, config=Config(retries={"total_max_attempts": 1}, read_timeout=5),
        )  # fmt: skip

    def wait(self) -> None:
        """Until an object of the bucket ``tests``, which is made, is read back: lists are answered before that."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._answers():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not come up:\n{(self.folder / 'weed.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            if "tests" not in {bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]}:
                self._client.create_bucket(Bucket="tests")
            self._client.put_object(Bucket="tests", Key=READY_KEY, Body=b"ready")
            return bool(self._client.get_object(Bucket="tests", Key=READY_KEY)["Body"].read() == b"ready")
        except (BotoCoreError, ClientError):
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()  # nothing, where it has ended by itself
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def _seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def seaweed(_seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Seaweed:
    """The running server, with this process's environment pointing at its bucket ``tests``."""
    if _seaweed.process is None:
        _seaweed.start()
    for name, value in _seaweed.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    _seaweed.wait()
    return _seaweed
