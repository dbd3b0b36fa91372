"""The real thing: `jobs/serve.py` on a Ray cluster of its own, asked over HTTP."""

from __future__ import annotations

import ipaddress
import json
import signal
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import grpc
import imagecodecs
import numpy as np
import psutil
import pytest
from PIL import Image

from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import encode
from tests.pipeline.serving.service.conftest import TOKEN, picture
from tests.pipeline.serving.service.live import STOP_S, Live, begin, read, replicas, service, starting, until

LEAVING = 64  # clients


@pytest.fixture(scope="module")
def live(tiny_model: Path) -> Iterator[Live]:
    options = ("--replicas", "2", "--max-pixels", "40000", "--max-bytes", "300000")
    with service(str(tiny_model), "shipped:unified_color", *options, env={"SEMANIR_SERVE_TOKEN": TOKEN}) as running:
        yield running


def test_a_service_from_its_first_request_to_its_last(live: Live, tiny_model: Path) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert live.ask("GET", "/healthz").json == {"status": "ok"}
    assert live.ask("GET", "/v1/models").status == 401
    assert live.ask("POST", "/v1/restore/tiny", picture()).status == 401

    restorer = Restorer(tiny_model, k=3, device="cpu")
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        data = picture(kind, 40)
        got = live.ask("POST", "/v1/restore/tiny?k=3", data, **bearer)
        assert (got.status, got.headers["content-type"]) == (200, f"image/{kind.lower()}"), got.body
        assert got.body == encode(restorer.restore(read_picture(data)))
        assert got.headers["semanir-model"] == str(tiny_model)
    large = picture(side=190)
    tiles = live.ask("POST", "/v1/restore/tiny?tile=64", large, **bearer)  # enough for two replicas to share
    assert tiles.body == encode(Restorer(tiny_model, tile=64, device="cpu").restore(read_picture(large)))

    shipped = live.ask("POST", "/v1/restore/unified_color?strength=0.5&format=webp", picture(side=48), **bearer)
    assert Image.open(BytesIO(shipped.body)).format == "WEBP"

    for status, target, body in (
        (400, "/v1/restore/tiny?k=0", picture()),
        (400, "/v1/restore/tiny?k=99", picture()),
        (404, "/v1/restore/none", picture()),
        (413, "/v1/restore/tiny", bytes(300_001)),
        (413, "/v1/restore/tiny", picture(side=201, mode="L")),
        (422, "/v1/restore/tiny", b"<html></html>"),
    ):
        got = live.ask("POST", target, body, **bearer)
        assert got.status == status, got.body
        assert got.body.endswith(b"\n")
        assert json.loads(got.body)["error"]

    models = {entry["name"]: entry for entry in live.ask("GET", "/v1/models", **bearer).json["models"]}
    assert set(models) == {"tiny", "unified_color"}
    assert models["unified_color"]["harm"]
    assert "## Limits" in models["unified_color"]["card"]
    keys = live.ask("POST", "/v1/keys/tiny?y=3&x=4", picture(), **bearer).json
    assert keys["stages"][0]["keys"]
    counted = live.ask("GET", "/metrics", **bearer).body.decode()
    assert 'semanir_serve_requests_total{model="tiny",status="200"} 6.0' in counted
    page = live.ask("GET", "/", **bearer)
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.slow
def test_other_machines_reach_nothing_without_ray_s_token(live: Live) -> None:
    """Serve's replicas listen for one another on every address; there is no setting that keeps them on loopback."""
    here, elsewhere = set(), {}
    for process in [live.process, *psutil.Process(live.process.pid).children(recursive=True)]:
        found = psutil.Process(process.pid)
        for one in found.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                if ipaddress.ip_address(one.laddr.ip.removeprefix("::ffff:")).is_loopback:  # IPv4 in IPv6's clothes
                    here.add(one.laddr.port)
                else:
                    elsewhere[one.laddr.port] = " ".join(found.cmdline())
    assert live.port in here
    assert all("ray::ServeReplica" in name for name in elsewhere.values()), elsewhere
    for port in elsewhere:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=30)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED, elsewhere[port]


def test_clients_that_leave_while_they_send_are_no_errors(live: Live) -> None:
    """All at once, so that Ray's proxy cancels some fetches of a body before it says that the client left."""
    bearer = {"authorization": f"Bearer {TOKEN}"}
    clients = [begin(live.port, "/v1/restore/tiny", picture(side=40), **bearer) for _ in range(LEAVING)]
    until(lambda: live.figure("semanir_serve_arriving", **bearer) == LEAVING)
    got = live.ask("POST", "/v1/restore/tiny", picture(), **bearer)  # as many as its queue takes, and yet it is free
    assert got.status == 200, got.body
    for client in clients:
        client.close()
    until(lambda: live.figure("semanir_serve_arriving", **bearer) == 0)
    assert live.figure("semanir_serve_held_bytes", **bearer) == 0
    figures = live.ask("GET", "/metrics", **bearer).body.decode()
    assert f'semanir_serve_requests_total{{model="tiny",status="499"}} {LEAVING}.0' in figures
    assert 'status="500"' not in figures


def test_its_last_request_is_answered_when_it_is_told_to_stop(live: Live, tiny_model: Path) -> None:
    """The last that is asked of this service: SIGTERM comes while it arrives."""
    bearer = {"authorization": f"Bearer {TOKEN}"}
    data = picture(side=40)
    client = begin(live.port, "/v1/restore/tiny", data, **bearer)
    until(lambda: live.figure("semanir_serve_arriving", **bearer) == 1)
    live.process.send_signal(signal.SIGTERM)
    until(lambda: live.ask("GET", "/healthz").status == 503)
    late = live.ask("POST", "/v1/restore/tiny", data, **bearer)
    assert (late.status, late.headers["retry-after"]) == (503, "10")
    assert "is stopping" in late.json["error"]
    client.sendall(data[-1:])
    assert read(client) == (200, encode(Restorer(tiny_model, device="cpu").restore(read_picture(data))))
    assert live.process.wait(STOP_S) == 0
    with pytest.raises(ConnectionRefusedError):
        live.ask("GET", "/healthz")


@pytest.mark.slow
def test_an_answer_is_sent_to_its_last_byte_before_a_service_ends(tiny_model: Path) -> None:
    """It is larger than what the kernel takes off the server for a client that does not read, about 3 MiB."""
    data = imagecodecs.png_encode(np.random.default_rng(0).integers(0, 65536, (800, 800, 3), dtype=np.uint16))
    expected = encode(Restorer(tiny_model, device="cpu").restore(read_picture(data)))
    with service(str(tiny_model)) as running:
        computing = begin(running.port, "/v1/restore/tiny", data)
        reading = begin(running.port, "/v1/restore/tiny", data, buffer=4096)
        until(lambda: running.figure("semanir_serve_arriving") == 2)
        reading.sendall(data[-1:])
        until(lambda: running.figure('semanir_serve_requests_total{model="tiny",status="200"}') == 1)
        computing.sendall(data[-1:])
        running.process.send_signal(signal.SIGTERM)
        assert read(computing) == (200, expected)
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(10)
        assert read(reading) == (200, expected)
        reading.close()


@pytest.mark.slow
def test_a_service_that_is_still_starting_can_be_stopped() -> None:
    with starting() as it:
        it.until(lambda: bool(replicas(it.process)))
        it.process.send_signal(signal.SIGTERM)
        assert it.process.wait(STOP_S) == 0, it.printed()
        assert "stopping before it served" in it.printed().splitlines()
