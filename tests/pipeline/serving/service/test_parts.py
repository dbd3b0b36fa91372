"""The small rules: what a query may say, who may ask, which settings stand, and when to come again."""

from __future__ import annotations

import hashlib
import json
import socket
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.serving.service.access import refusal, token_digest
from pipeline.serving.service.admission import Admission
from pipeline.serving.service.asked import Asked, parse_asked
from pipeline.serving.service.deploy import LEAST_CPUS, check_port, check_room, fill, find_models, waiting
from pipeline.serving.service.loaded import HELD, Loaded
from pipeline.serving.service.page_files import page_files
from pipeline.serving.service.refusal import RefusedError, one_line
from pipeline.serving.service.settings import Replicas, ServeSettings, is_loopback
from pipeline.serving.service.versions import Version
from pipeline.settings import parse_settings

DIGEST = hashlib.sha256(b"0123456789abcdef").hexdigest()


@given(st.integers(1, 65536), st.floats(0, 1), st.integers(0, 1024), st.booleans())
def test_what_is_asked_is_what_was_said(k: int, strength: float, tile: int, mosaic: bool) -> None:
    query = [("k", str(k)), ("strength", repr(strength)), ("tile", str(tile)), ("as_mosaic", str(int(mosaic)))]
    assert parse_asked(query) == Asked(k=k, strength=strength, tile=tile, as_mosaic=mosaic)
    assert parse_asked([]) == Asked()


@given(st.lists(st.tuples(st.sampled_from(["k", "strength", "tile", "format", "x", ""]), st.text(max_size=30))))
def test_any_query_is_taken_or_refused_with_400(query: list[tuple[str, str]]) -> None:
    status = 200
    try:
        parse_asked(query)
    except RefusedError as error:
        status = error.refused.status
    assert status in (200, 400)


@given(st.text(max_size=2000))
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 400
    assert line.isprintable()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"host": "0.0.0.0"}, "a token is needed"),
        ({"host": "::"}, "a token is needed"),
        ({"host": "gpu-box"}, "a token is needed"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"models": {}}, "no model to serve"),
        ({"models": {"../etc": "x"}}, "no name for a URL"),
        ({"replicas": {"least": 3, "most": 2}}, "least 3 is above most 2"),
        ({"limits": {"queue": 0}}, "queue"),
        ({"limits": {"max_bytes": 4096, "held_bytes": 8191}}, "held_bytes 8191 is less than twice max_bytes, 4096"),
        ({"limits": {"pixels": 1}}, "unknown key"),
        ({"token_sha256": "secret"}, "token_sha256"),
    ],
)
def test_settings_that_do_not_stand(values: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        parse_settings(ServeSettings, {"models": {"a": "x"}, **values}, "serve")
    assert "\n" not in str(raised.value)


def test_with_a_token_any_host_may_be_listened_on() -> None:
    assert ServeSettings(models={"a": "x"}, host="0.0.0.0", token_sha256=DIGEST).port == 8000
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")] == [True] * 5
    assert [is_loopback(host) for host in ("", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.example")] == [False] * 5


def test_the_token_comes_from_a_file_or_the_environment(tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    assert token_digest(None, {}) is None
    assert token_digest(str(file), {}) == DIGEST
    assert token_digest(None, {"SEMANIR_SERVE_TOKEN": "0123456789abcdef"}) == DIGEST
    assert token_digest(None, {"SEMANIR_SERVE_TOKEN_FILE": str(file), "SEMANIR_SERVE_TOKEN": "other"}) == DIGEST
    file.write_text("\n")
    for wrong in (str(file), str(tmp_path / "missing"), str(tmp_path)):
        with pytest.raises(UserError):
            token_digest(wrong, {})
    with pytest.raises(UserError, match="has 5 characters"):
        token_digest(None, {"SEMANIR_SERVE_TOKEN": "guess"})


def test_names_and_origins_that_are_let_in() -> None:
    def let_in(method: str = "POST", host: str = "127.0.0.1", **headers: str) -> bool:
        named = {"host": "localhost:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return refusal(method, "/v1/restore/a", named, host, None) is None

    assert let_in()
    assert let_in(origin="http://localhost:8000")
    assert let_in(host="127.0.0.1:8000", sec_fetch_site="same-origin")
    assert let_in("GET", sec_fetch_site="cross-site")  # a link from elsewhere
    assert not let_in(origin="http://localhost:9000")
    assert not let_in(origin="null")
    assert not let_in(origin="http://[")
    assert not let_in(sec_fetch_site="same-site")
    assert refusal("POST", "/", {"host": "gpu-box:8000"}, "0.0.0.0", None) is None
    assert refusal("POST", "/", {"host": "["}, "127.0.0.1", None) is not None


def test_when_to_come_again_follows_the_pace() -> None:
    door = Admission(1)
    for _ in range(60):
        door.took(20.0)
    with door.enter(), pytest.raises(RefusedError) as raised, door.enter():
        pass
    assert raised.value.refused.headers["Retry-After"] == "10"
    assert door.inside == 0


def test_a_replica_holds_two_versions_and_loads_each_once() -> None:
    loads: list[str] = []

    def load(version: Version) -> object:
        loads.append(version.address)
        if version.address == "bad":
            raise UserError("its probe is off")
        return object()

    held = Loaded("cpu", load)  # type: ignore[arg-type]
    one, two, three, bad = (Version(name, name) for name in ("1", "2", "3", "bad"))
    first = held.get(one)
    assert held.get(one) is first
    with pytest.raises(UserError):
        held.get(bad)
    assert held.newest() == one
    held.get(two)
    assert held.get(one) is first
    held.get(three)
    assert (held.if_held(one), held.if_held(two) is not None) == (None, True)
    assert loads == ["1", "bad", "2", "3"]
    assert HELD == 2


def test_models_are_found_by_what_a_person_types(tiny_model) -> None:
    assert find_models(["shipped:unified_color"]) == {"unified_color": "shipped:unified_color"}
    assert find_models([str(tiny_model)]) == {"tiny": str(tiny_model)}
    for words, says in ((["shipped:x"], "there are: shipped:"), (["nonsense"], "unknown task"), (["a/b"], "not exist")):
        with pytest.raises(UserError, match=says):
            find_models(words)
    with pytest.raises(UserError, match="serve one of them"):
        find_models([str(tiny_model), str(tiny_model)])


def test_replicas_fill_the_cluster() -> None:
    settings = ServeSettings(models={"a": "x"})
    assert fill(settings, {"CPU": 9.0, "GPU": 0.0}, cpus=2.0).replicas.most == 4
    assert fill(settings, {"CPU": 1.0}, cpus=2.0).replicas.most == 1
    assert fill(settings, {"CPU": 9.0}).replicas == Replicas(most=9, cpus=1.0)
    half = ServeSettings(models={"a": "x"}, replicas=Replicas(gpus=0.5))
    assert fill(half, {"CPU": 9.0, "GPU": 3.0}).replicas.most == 6
    asked = ServeSettings(models={"a": "x"}, replicas=Replicas(most=2))
    assert fill(asked, {"CPU": 9.0}).replicas.most == 2


@given(cores=st.integers(1, 64), models=st.integers(1, 40))
def test_more_models_than_cores_leave_half_of_the_cluster_to_those_that_are_asked(cores: int, models: int) -> None:
    settings = fill(ServeSettings(models=dict.fromkeys(map(str, range(models)), "x")), {"CPU": float(cores)})
    assert settings.replicas.most == cores
    assert models * settings.replicas.cpus <= max(cores / 2, models * LEAST_CPUS) + 1e-9
    check_room(settings, {"CPU": float(cores)})


def test_models_that_can_never_all_be_served_are_refused() -> None:
    settings = ServeSettings(models=dict.fromkeys("abc", "x"))
    with pytest.raises(UserError, match=r"3 models of 1 CPU each need 3, and there is 2: .* a smaller --cpus"):
        check_room(fill(settings, {"CPU": 2.0}, cpus=1.0), {"CPU": 2.0})
    with pytest.raises(UserError, match=r"of 0\.5 GPU each need 1.5, and there is 1: .* a smaller --gpus"):
        check_room(settings.model_copy(update={"replicas": Replicas(gpus=0.5, cpus=0.1)}), {"CPU": 2.0, "GPU": 1.0})


def test_who_waits_is_told_for_which_models_and_why() -> None:
    assert waiting({"a": ("HEALTHY", ""), "b": ("HEALTHY", "fine")}) == ""
    models = {"b": ("UPDATING", "needs\n{CPU: 1}"), "a": ("UPDATING", ""), "c": ("HEALTHY", "")}
    assert waiting(models) == "waiting for a, b: needs {CPU: 1}"


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match="give --port"):
            check_port(ServeSettings(models={"a": "x"}, port=other.getsockname()[1]))


def test_every_file_of_the_page_is_installed_with_the_package() -> None:
    root = Path(__file__).resolve().parents[4]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "pipeline.serving"
    ]
    room = root / "pipeline/serving"
    files = [path for path in (room / "page").rglob("*") if path.is_file()]
    assert {path for pattern in patterns for path in room.glob(pattern) if path.is_file()} == set(files)
    served = page_files()
    assert len(served) == len(files)
    assert {"/", "/page/main.js", "/page/samples/samples.json"} <= set(served)
    for sample in json.loads(served["/page/samples/samples.json"][0]):
        assert {f"/page/samples/{sample['file']}", f"/page/samples/{sample['truth']}"} <= set(served)
