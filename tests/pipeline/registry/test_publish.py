"""``semanir models publish`` on a real MLflow server: once per weights, out of the contest, whole after any fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import semanir
from pipeline.commands.main import main
from pipeline.errors import UserError
from pipeline.registry import ModelCard, pull, register, registered_name, sealed
from pipeline.registry.client import connect
from pipeline.registry.publish import publish
from pipeline.registry.ship import ship
from pipeline.registry.versions import all_versions
from pipeline.shipped import locate, names
from tests.http_faults import Fault, FaultyProxy
from tests.pipeline.shipped.provenance import PROVENANCE

TASK = "jpeg_gray"
NAME = registered_name(TASK)


@pytest.fixture
def server(mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return mlflow_server


@pytest.fixture
def shipped(tmp_path: Path, weights: Callable[..., Path]) -> Callable[[int], Path]:
    """Ships a random model of the task; returns the folder of shipped models."""

    def make(seed: int) -> Path:
        ship(weights(TASK, seed), PROVENANCE.model_copy(update={"task": TASK}), tmp_path / "models")
        return tmp_path / "models"

    return make


@pytest.mark.usefixtures("server")
def test_a_shipped_model_is_a_version_out_of_the_contest(
    shipped: Callable[[int], Path], weights: Callable[..., Path], make_card: Callable[..., ModelCard]
) -> None:
    first = publish(TASK, shipped(1))
    assert publish(TASK, shipped(1)) == type(first)(NAME, first.version, new=False)
    client = connect()
    version = client.get_model_version(NAME, str(first.version))
    assert version.tags["source"] == "shipped"
    assert version.description.startswith(f"# SemanIR, {TASK}, as shipped")
    restored = semanir.load(pull(f"models:/{NAME}@shipped")).state_dict()
    given = semanir.load(locate(f"shipped:{TASK}", shipped(1))).state_dict()
    assert all(torch.equal(restored[key], value) for key, value in given.items())
    assert "champion" not in client.get_registered_model(NAME).aliases

    experiment = client.create_experiment("own-models")
    own = register(weights(TASK, 2), make_card(TASK), run_id=client.create_run(experiment).info.run_id)
    assert own.alias == "champion"  # whatever came with the package
    newer = publish(TASK, shipped(3))
    aliases = {alias: int(number) for alias, number in client.get_registered_model(NAME).aliases.items()}
    assert aliases == {"shipped": newer.version, "champion": own.version}


TURNS = ("runs/create", "POST /api/2.0/mlflow/logged-models", "model-versions/create", "alias")
FAST = [(0, "lost"), (2, "refused"), (3, "lost")]
FAULTS = [
    pytest.param(turn, fault, marks=() if (turn, fault) in FAST else pytest.mark.slow)
    for turn in range(len(TURNS))
    for fault in ("refused", "lost")
]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("turn", "fault"), FAULTS)
def test_the_same_command_ends_what_a_fault_cut_short(
    turn: int, fault: Fault, proxy: FaultyProxy, shipped: Callable[[int], Path]
) -> None:
    models = shipped(10 + 2 * turn + (fault == "lost"))  # weights of its own
    proxy.arm(lambda number, call: TURNS[turn] in call, fault)
    with pytest.raises(Exception, match=r"(?i)connection|remote"):
        publish(TASK, models)
    assert TURNS[turn] in proxy.harmed
    done = publish(TASK, models)
    digest = sealed.file_digest(models / TASK / sealed.WEIGHTS_FILE)
    same = [v for v in all_versions(connect(), NAME) if v.tags["weights_sha256"] == digest]
    assert [(int(v.version), v.status) for v in same] == [(done.version, "READY")]
    assert int(connect().get_registered_model(NAME).aliases["shipped"]) == done.version


@pytest.mark.usefixtures("server")
def test_the_command_registers_what_comes_with_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "publish", "unified_color"]) == 0
    assert main(["models", "publish", "unified_color"]) == 0
    out = capsys.readouterr().out
    assert out == "".join(f"semanir-unified-color: version 1 is shipped{again}\n" for again in ("", " already"))
    assert main(["models", "list"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "semanir-unified-color" in line)
    assert "@shipped" in row
    assert main(["models", "publish", "nothing"]) == 2
    assert f"there are: shipped:{names()[0]}" in capsys.readouterr().err


def test_without_a_server_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI is not set"):
        publish("unified_color")
