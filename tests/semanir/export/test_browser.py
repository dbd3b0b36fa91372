"""An exported file in a browser: ONNX Runtime Web, WebAssembly, no network but loopback."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

import semanir
from pipeline.registry.export_parity import psnr
from semanir.export import to_onnx

RUNTIME = "onnxruntime-web@1.30.0"
SECONDS = 240
SIZE = (40, 56)
PAGE = """<!doctype html><script type="module">
import * as ort from "./ort.wasm.min.mjs";
const send = (kind, body) => fetch(kind, { method: "POST", body });
try {
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create("model.onnx");
  const pixels = new Float32Array(await (await fetch("image.f32")).arrayBuffer());
  const image = new ort.Tensor("float32", pixels, [1, 3, HEIGHT, WIDTH]);
  const k = new ort.Tensor("int64", BigInt64Array.from([16n]), []);
  send("restored", (await session.run({ image, k })).restored.data);
} catch (error) { send("failed", String(error.stack || error)); }
</script>"""


class Server(ThreadingHTTPServer):
    """Serves one folder, and keeps what the page sends."""

    def __init__(self, folder: Path) -> None:
        self.sent: dict[str, bytes] = {}
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))


class Handler(SimpleHTTPRequestHandler):
    extensions_map = {".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html"}  # noqa: RUF012 (so the base declares it)

    def do_POST(self) -> None:
        """Keep the body under the name that was posted to."""
        assert isinstance(self.server, Server)
        self.server.sent[self.path.strip("/")] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.ended.set()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """ONNX Runtime Web as its npm package has it."""
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch ONNX Runtime Web with")
    fetched = subprocess.run(["npm", "pack", "--silent", RUNTIME], cwd=tmp_path, capture_output=True, check=False)
    if fetched.returncode:
        pytest.skip(f"npm could not fetch {RUNTIME}")
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as package:
        for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
            member = package.extractfile(f"package/dist/{name}")
            assert member is not None
            (tmp_path / name).write_bytes(member.read())
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_browser_restores_as_the_model_does(folder: Path, server: Server) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    model = semanir.load("shipped:unified_color").eval()
    to_onnx(model, folder / "model.onnx")
    photograph = data.astronaut()[100 : 100 + SIZE[0], 200 : 200 + SIZE[1]].transpose(2, 0, 1)[None] / 255
    noise = np.random.default_rng(0).normal(0, 25 / 255, photograph.shape)
    image = (photograph + noise).clip(0, 1).astype(np.float32)
    (folder / "image.f32").write_bytes(image.tobytes())
    page = PAGE.replace("HEIGHT", str(SIZE[0])).replace("WIDTH", str(SIZE[1]))
    (folder / "index.html").write_text(page, encoding="utf-8")
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    options = ["--headless=new", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    # Chromium's sandbox wants another user than root; the only page is ours.
    command = [browser, *options, "--no-sandbox", "--disable-dev-shm-usage", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            assert server.ended.wait(SECONDS), "the page sent nothing"
        finally:
            running.terminate()
    assert list(server.sent) == ["restored"], server.sent.get("failed", b"").decode()
    restored = torch.frombuffer(bytearray(server.sent["restored"]), dtype=torch.float32).reshape(1, 3, *SIZE)
    with torch.inference_mode():
        assert psnr(restored, model(torch.from_numpy(image), 16)) >= 60
