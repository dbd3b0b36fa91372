from __future__ import annotations

import asyncio
import base64
import json
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import encode
from pipeline.serving.service.app import _ALWAYS
from pipeline.serving.service.page_files import page_files
from pipeline.serving.service.versions import Version
from tests.pipeline.serving.service.asgi import ask, call
from tests.pipeline.serving.service.conftest import LIMITS, TOKEN, picture

GOOD = "/v1/restore/tiny"


def form(*parts: bytes, boundary: str = "xyz", end: str = "--xyz--\r\n") -> bytes:
    head = 'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return b"".join(f"--{boundary}\r\n{head}".encode() + part + b"\r\n" for part in parts) + end.encode()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "L"), ("JPEG", "RGB"), ("TIFF", "RGB"), ("WEBP", "RGB")],
)
def test_the_answer_is_what_semanir_restore_writes(make, restorer: Restorer, kind: str, mode: str) -> None:
    app, _ = make()
    data = picture(kind, 30, mode)
    reply = call(app, "POST", f"{GOOD}?k=3&strength=0.5&tile=64", data)
    assert reply.status == 200, reply.body
    expected = encode(restorer.with_options(k=3, strength=0.5, tile=64).restore(read_picture(data)))
    assert reply.body == expected
    assert reply.headers["content-type"] == f"image/{kind.lower()}"
    said = {name: value for name, value in reply.headers.items() if name.startswith("semanir-")}
    assert float(said.pop("semanir-seconds")) > 0
    said.pop("semanir-notes", None)
    assert said == {
        "semanir-task": "tiny", "semanir-model": "models:/tiny/3", "semanir-version": "3", "semanir-k": "3",
        "semanir-strength": "0.5", "semanir-tile": "64",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "said"),
    [("/models/my own", "/models/my own"), ("/home/Łukasz/tiny", "/home/%C5%81ukasz/tiny"), ("/a\r\nb", "/a%0D%0Ab"),
     ("/gru\udcdf", "/gru%DF")],
)  # fmt: skip
def test_a_model_in_a_folder_of_any_name_serves(make, folder: str, said: str) -> None:
    app, desk = make()
    desk.versions["tiny"] = Version(folder, "ab" * 32)
    reply = call(app, "POST", GOOD, picture())
    assert (reply.status, reply.headers["semanir-model"]) == (200, said)


def test_sixteen_bits_stay_sixteen(make) -> None:
    import imagecodecs

    app, _ = make()
    levels = np.random.default_rng(0).integers(0, 65536, (18, 20, 3), dtype=np.uint16)
    reply = call(app, "POST", GOOD, imagecodecs.png_encode(levels))
    assert imagecodecs.png_decode(reply.body).dtype == np.uint16


def test_a_form_with_one_picture_is_that_picture(make) -> None:
    app, _ = make()
    data = picture()
    sent = form(data)
    whole = call(app, "POST", GOOD, sent, content_type="multipart/form-data; boundary=xyz")
    pieces = call(
        app,
        "POST",
        GOOD,
        [sent[n : n + 7] for n in range(0, len(sent), 7)],
        content_type="multipart/form-data; boundary=xyz",
    )
    assert whole.body == pieces.body == call(app, "POST", GOOD, data).body


def test_another_format_is_given_when_asked_for(make) -> None:
    app, _ = make()
    reply = call(app, "POST", f"{GOOD}?format=png", picture("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"))
    assert Image.open(BytesIO(reply.body)).format == "PNG"
    assert "written as PNG" in json.loads(reply.headers["semanir-notes"])[0]
    assert call(app, "POST", f"{GOOD}?format=jpeg", picture("PNG", mode="RGBA")).status == 422


def bomb() -> bytes:
    """A PNG of a hundred million pixels in a few hundred kilobytes' worth of zeros, cut to what the body may have."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = (30_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD = {
    "no such model": (404, "/v1/restore/huge", b"x", {}, "there are: tiny, gone"),
    "no such path": (404, "/v2/restore/tiny", b"x", {}, "POST /v1/restore/NAME"),
    "unknown parameter": (400, f"{GOOD}?kk=3", b"x", {}, "there are: k, strength, tile"),
    "repeated parameter": (400, f"{GOOD}?k=3&k=4", b"x", {}, "give it once"),
    "k is no number": (400, f"{GOOD}?k=three", b"x", {}, "k='three': wanted a whole number"),
    "k of another script": (400, f"{GOOD}?k=%D9%A3", b"x", {}, "wanted a whole number"),
    "k is zero": (400, f"{GOOD}?k=0", b"x", {}, "1 to"),
    "k above the window": (400, f"{GOOD}?k=17", picture(), {}, "allows 1 to 16 keys"),
    "k with a thousand digits": (400, f"{GOOD}?k={'9' * 1000}", b"x", {}, "wanted a whole number"),
    "strength above one": (400, f"{GOOD}?strength=1.5", b"x", {}, "0 (the input) to 1"),
    "strength is not a number": (400, f"{GOOD}?strength=nan", b"x", {}, "0 (the input) to 1"),
    "tile below the grid": (400, f"{GOOD}?tile=9", picture(), {}, "takes tiles of at least"),
    "tile that no memory holds": (400, f"{GOOD}?tile=100000", b"x", {}, "0 to 1024"),
    "unknown format": (400, f"{GOOD}?format=gif", b"x", {}, "png, jpeg, jpg, webp"),
    "nothing sent": (400, GOOD, b"", {}, "no picture came"),
    "length stated too large": (413, GOOD, b"x", {"content-length": "20001"}, "more than 20,000 bytes"),
    "length not stated and too large": (413, GOOD, [bytes(9_000)] * 9_999, {}, "more than 20,000 bytes"),
    "too many pixels": (413, GOOD, picture(side=71, mode="L"), {}, "71x71 is more than 5,000 pixels"),
    "a bomb": (413, GOOD, bomb(), {}, "30000x30000 is more than 5,000 pixels"),
    "compressed body": (415, GOOD, b"x", {"content-encoding": "gzip"}, "send the file's own bytes"),
    "a GIF": (415, GOOD, picture("GIF", mode="L"), {}, "GIF files are not supported"),
    "no picture at all": (422, GOOD, b"<html></html>" * 9, {}, "not an image"),
    "cut short": (422, GOOD, picture()[:300], {}, "damaged"),
    "form without boundary": (400, GOOD, b"x", {"content-type": "multipart/form-data"}, "names no boundary"),
    "form of two pictures": (400, GOOD, form(b"a", b"b"), {"content-type": "multipart/form-data; boundary=xyz"},
                             "several parts"),
    "form cut short": (400, GOOD, form(picture(), end=""), {"content-type": "multipart/form-data; boundary=xyz"},
                       "cut short"),
    "broken form": (400, GOOD, b"no boundary here", {"content-type": "multipart/form-data; boundary=xyz"},
                    "cannot be read"),
    "nothing can serve": (503, "/v1/restore/gone", b"x", {}, "no version that can serve now"),
    "pixel outside": (400, "/v1/keys/tiny?y=99&x=0", picture(), {}, "outside"),
    "pixel not given": (400, "/v1/keys/tiny?y=9", picture(), {}, "x is missing"),
    "another site's page": (403, GOOD, b"x", {"origin": "https://evil.example"}, "another site"),
    "a form of another site": (403, GOOD, b"x", {"sec-fetch-site": "cross-site"}, "another site"),
    "a name pointed at loopback": (403, GOOD, b"x", {"host": "evil.example:8000"}, "called 127.0.0.1"),
}  # fmt: skip


@pytest.mark.parametrize("why", BAD)
def test_a_bad_request_is_one_line(make, why: str) -> None:
    app, _ = make()
    status, target, body, headers, says = BAD[why]
    reply = asyncio.run(ask(app, "POST", target, body, headers))
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
    assert says in reply.error
    assert len(reply.error) <= 400
    assert reply.taken <= LIMITS.max_bytes // 9_000 + 1  # no more was read than may come
    assert call(app, "POST", GOOD, picture()).status == 200  # and the next one is none the worse


@pytest.mark.parametrize("target", [GOOD, "/v1/keys/tiny?y=5&x=7"])
def test_a_picture_that_memory_does_not_hold_is_one_line(make, restorer: Restorer, monkeypatch, target: str) -> None:
    app, _ = make()
    with monkeypatch.context() as patch:
        patch.setattr(restorer.model, "forward", lambda *inputs, **options: torch.empty(1 << 50))
        reply = call(app, "POST", target, picture())
    assert (reply.status, reply.error.startswith("not enough memory for this picture")) == (413, True)
    assert call(app, "POST", target, picture()).status == 200


def test_methods_and_their_neighbors(make) -> None:
    app, _ = make()
    reply = call(app, "GET", GOOD)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert reply.error
    assert json.loads(call(app, "GET", "/v1/models").body)["limits"]["max_pixels"] == 5_000


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_slash_too_many_is_no_redirect_with_nothing_in_it(make, method: str) -> None:
    """`curl --fail -o out.png` takes a redirect for a success, and its empty body for the picture."""
    app, _ = make()
    pages = [path for path in page_files() if path != "/"]
    for path in (GOOD, "/v1/keys/tiny", "/v1/models", "/healthz", "/metrics", *pages):
        reply = call(app, method, f"{path}/", picture())
        assert (reply.status, reply.headers["content-type"]) == (404, "application/json"), path
        assert f"{path}/: Not Found" in reply.error


@pytest.mark.parametrize("path", [GOOD, "/v1/models", "/metrics", "/", "/v1/keys/tiny", "/nowhere"])
def test_without_the_token_nothing_but_health(make, path: str) -> None:
    app, _ = make(TOKEN)
    method = "POST" if "tiny" in path else "GET"
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {basic[:-4]}"},
                  {"authorization": "Basic %%%"}, {"authorization": TOKEN}, {"authorization": "Bearer "}):  # fmt: skip
        reply = asyncio.run(ask(app, method, path, picture(), wrong))
        assert reply.status == 401
        assert "Bearer TOKEN" in reply.error
        assert reply.headers["www-authenticate"].startswith("Basic")
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        assert call(app, method, path, picture(), authorization=right).status != 401
    assert call(app, "GET", "/healthz").status == 503  # degraded, but said to all: one model has no version


def test_every_answer_tells_browsers_what_not_to_do(make) -> None:
    app, _ = make(TOKEN)
    for reply in (call(app, "GET", "/"), call(app, "GET", "/healthz"), call(app, "GET", "/nowhere")):
        assert {name.lower() for name in _ALWAYS} <= set(reply.headers)
        assert not {name for name in reply.headers if name.startswith("access-control-")}


def test_a_full_queue_answers_429_before_it_reads(make) -> None:
    app, desk = make()

    async def run():
        desk.hold = asyncio.Event()
        inside = [asyncio.create_task(ask(app, "POST", GOOD, picture())) for _ in range(LIMITS.queue)]
        while desk.entered < LIMITS.queue:
            await asyncio.sleep(0)
        full = await ask(app, "POST", GOOD, picture())
        desk.hold.set()
        return full, await asyncio.gather(*inside), await ask(app, "POST", GOOD, picture())

    full, inside, after = asyncio.run(run())
    assert (full.status, full.taken) == (429, 0)
    assert 1 <= int(full.headers["retry-after"]) <= 60
    assert [reply.status for reply in (*inside, after)] == [200, 200, 200]


def test_a_request_that_takes_too_long_is_given_up(make) -> None:
    app, desk = make(limits=LIMITS.model_copy(update={"seconds": 0.05}))

    async def run():
        desk.hold = asyncio.Event()
        return await ask(app, "POST", GOOD, picture())

    reply = asyncio.run(run())
    assert reply.status == 504
    assert "within 0.05 seconds" in reply.error


def test_figures_count_by_answer(make) -> None:
    app, _ = make()
    call(app, "POST", GOOD, picture())
    call(app, "POST", GOOD, b"x")
    call(app, "POST", "/v1/restore/made-up", b"x")
    text = call(app, "GET", "/metrics").body.decode()
    assert 'semanir_serve_requests_total{model="tiny",status="200"} 1.0' in text
    assert 'semanir_serve_requests_total{model="tiny",status="422"} 1.0' in text
    assert "made-up" not in text


def test_keys_of_a_pixel(make, restorer: Restorer) -> None:
    app, _ = make()
    reply = call(app, "POST", "/v1/keys/tiny?y=5&x=7&k=2", picture())
    found = json.loads(reply.body)
    assert (found["k"], found["y"] + found["top"], found["x"] + found["left"]) == (2, 5, 7)
    assert (found["height"], found["width"]) == (20, 20)
    assert found["stages"]
    assert all(len(stage["keys"]) <= 2 for stage in found["stages"])
    assert any(stage["keys"] for stage in found["stages"])
