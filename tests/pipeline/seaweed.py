"""A real S3 server (SeaweedFS) that tests may stop and start again."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import UserError
from pipeline.storage import check_access
from pipeline.storage.s3 import s3_client

START_DEADLINE_S = 60


def free_ports(count: int) -> list[int]:
    # SeaweedFS also takes port + 10000 for gRPC: stay low enough, and see that both are free.
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = 10_000 + probe.getsockname()[1] % 20_000
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

    def stop(self) -> None:
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
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
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", _seaweed.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", _seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _seaweed.secret_key)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            check_access("s3://tests")
            return _seaweed
        except UserError as error:
            if time.monotonic() > deadline:
                log = (_seaweed.folder / "weed.log").read_text()[-2000:]
                raise RuntimeError(f"SeaweedFS did not come up: {error}\n{log}") from error
            with contextlib.suppress(ClientError, BotoCoreError):  # not up yet: the next check tells
                s3_client().create_bucket(Bucket="tests")
            time.sleep(0.1)
