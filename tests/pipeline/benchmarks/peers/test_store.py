"""The counting store answers as S3 does, to a real S3 client, and counts what it sent."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from pipeline.benchmarks.peers.store import BUCKET, CountingStore, cut_range
from pipeline.storage import open_storage

CONTENT = bytes(range(200))


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        (None, 200, CONTENT),
        ("bytes=0-9", 206, CONTENT[:10]),
        ("bytes=190-500", 206, CONTENT[190:]),
        ("bytes=150-", 206, CONTENT[150:]),
        ("bytes=-5", 206, CONTENT[-5:]),
        ("bytes=200-210", 416, b""),
        ("bytes=-", 200, CONTENT),
        ("lines=1-2", 200, CONTENT),
    ],
)
def test_ranges(wanted: str | None, status: int, body: bytes) -> None:
    assert cut_range(CONTENT, wanted)[:2] == (status, body)


def test_our_s3_client_reads_it_and_bytes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_bytes(CONTENT)
    (tmp_path / "d" / "inner").mkdir()
    with CountingStore(tmp_path) as store:
        for name, value in {"ENDPOINT_URL": store.endpoint, "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
        began = time.time()
        storage = open_storage(f"s3://{BUCKET}/d")
        assert storage.read("x") == CONTENT
        assert storage.read_range("x", 10, 5) == CONTENT[10:15]
        assert storage.size("x") == len(CONTENT)
        assert not storage.exists("y")
        assert [transfer.size for transfer in store.between(began, time.time())] == [len(CONTENT), 5]
        assert store.between(0, began) == []
        with pytest.raises(HTTPError, match="404"):
            urlopen(Request(f"{store.endpoint}/{BUCKET}/../../etc/passwd"))
