from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch

import semanir
from pipeline.errors import UserError
from pipeline.metrics.catalog import PSNR
from pipeline.registry import AlteredModelError, ModelCard, find_registered, pull, register, rollback
from pipeline.registry.client import connect
from pipeline.registry.logged_model import requirements
from pipeline.scoring.record import Score

Weights = Callable[..., Path]
Card = Callable[..., ModelCard]
NewRun = Callable[[], str]


def test_a_version_carries_its_evidence(weights: Weights, make_card: Card, new_run: NewRun) -> None:
    run_id = new_run()
    card = make_card("denoising_gray")
    registered = register(weights("denoising_gray"), card, run_id=run_id)
    assert (registered.name, registered.alias, registered.run_id) == (
        "semanir-denoising-gray",
        "champion",
        run_id,
    )
    assert registered.scores == card.scores

    client = connect()
    version = client.get_model_version(registered.name, str(registered.version))
    assert version.run_id == run_id
    assert version.description == card.to_description(semanir.load(pull(registered.uri)).config.k)
    expected = {
        "task": "denoising_gray",
        "setting": "sigma 25",
        "data_fingerprint": "data0",
        "git_commit": "commit0",
    }
    assert expected.items() <= version.tags.items()
    assert float(version.tags["held_out_psnr_db"]) == 25.0
    metrics = client.get_run(run_id).data.metrics
    assert metrics["held_out_psnr_db"] == 25.0
    assert metrics["held_out_ssim"] == 0.5


def test_every_baseline_of_every_image_is_read_back(weights: Weights, make_card: Card, new_run: NewRun) -> None:
    card = make_card("demosaicking")
    malvar = [Score(index, key, "malvar", None, {PSNR: 21.5 + index}) for index, key in enumerate(("good", "bad"))]
    scores = tuple(sorted([*card.scores, *malvar], key=lambda score: (score.index, score.method)))
    registered = register(weights("demosaicking"), replace(card, scores=scores), run_id=new_run())
    assert registered.scores == scores
    assert find_registered("demosaicking", card.fingerprint)[-1].scores == scores


def test_what_is_stored_holds_no_pickle_and_pinned_requirements(
    weights: Weights, make_card: Card, new_run: NewRun, tmp_path: Path
) -> None:
    registered = register(weights("jpeg_gray"), make_card("jpeg_gray"), run_id=new_run())
    stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=registered.uri, dst_path=str(tmp_path / "all")))
    files = [path for path in stored.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".py", ".json", ".safetensors", ".md", ".yaml", ".txt", ""}
    # A pickle of protocol 2 or newer begins with 0x80; a zip archive (torch.save) with PK.
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80" or path.read_bytes()[:2] == b"PK"]
    assert (stored / "requirements.txt").read_text().split() == requirements()
    assert all("==" in line and "+" not in line for line in requirements())


def test_a_resumed_job_registers_once(weights: Weights, make_card: Card, new_run: NewRun) -> None:
    run_id, folder, card = new_run(), weights("jpeg_color"), make_card("jpeg_color")
    first = register(folder, card, run_id=run_id)
    assert register(folder, card, run_id=run_id) == first
    assert [found.version for found in find_registered("jpeg_color", card.fingerprint)] == [first.version]
    assert find_registered("jpeg_color", "another fingerprint") == []


def test_a_registration_that_stopped_before_its_model_was_declared_whole_goes_on(
    weights: Weights, make_card: Card, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow refuses to be told of a run's model twice."""
    run_id, folder, card = new_run(), weights("jpeg_gray", seed=1), make_card("jpeg_gray", restored=26.0)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "finalize_logged_model", refuse)
        with pytest.raises(ConnectionError):
            register(folder, card, run_id=run_id)
    registered = register(folder, card, run_id=run_id)
    (output,) = connect().get_run(run_id).outputs.model_outputs
    version = connect().get_model_version(registered.name, str(registered.version))
    assert version.source == f"models:/{output.model_id}"


def refuse(*_: object) -> None:
    raise ConnectionError


def test_only_a_better_model_becomes_champion(weights: Weights, make_card: Card, new_run: NewRun) -> None:
    reasons = []

    def add(seed: int, **card: float | str) -> str:
        registered = register(weights("sr_x3", seed), make_card("sr_x3", **card), run_id=new_run())
        reasons.append(registered.reason)
        return registered.alias

    name = "semanir-sr-x3"
    assert add(0, restored=30.0) == "champion"
    assert add(1, restored=29.0) == "challenger"
    assert add(2, restored=30.0) == "challenger"  # as good is not better
    assert add(3, restored=99.0, protocol="another") == "challenger"  # not comparable
    assert add(4, restored=31.0) == "champion"
    assert {a: int(v) for a, v in connect().get_registered_model(name).aliases.items()} == {
        "champion": 5,
        "challenger": 4,
    }

    assert reasons == [
        "",
        "1.00 dB below champion v1",
        "no better than champion v1",
        "measured on other images or settings than champion v1",
        "",
    ]

    rollback(name, 2)
    assert pull(f"models:/{name}@champion") == pull(f"models:/{name}/2")
    assert add(5, restored=28.5) == "challenger"  # the withdrawn ones do not come back either
    assert pull(f"models:/{name}@champion") == pull(f"models:/{name}/2")
    assert add(6, restored=29.5) == "champion"
    with pytest.raises(UserError, match="no version 99; there are: 1, 2"):
        rollback(name, 99)


def test_pulled_weights_are_the_trained_ones(weights: Weights, make_card: Card, new_run: NewRun) -> None:
    folder = weights("sr_x2")
    registered = register(folder, make_card("sr_x2"), run_id=new_run())
    trained, pulled = semanir.load(folder), semanir.load(pull(f"models:/{registered.name}@champion"))
    assert trained.config == pulled.config
    x = torch.rand(1, 3, 21, 18)
    assert torch.equal(trained(x), pulled(x))
    assert pull(f"runs:/{registered.run_id}") == pull(registered.uri)
    assert pull(pull(registered.uri)) == pull(registered.uri)


def test_altered_files_are_refused(weights: Weights, make_card: Card, new_run: NewRun, tmp_path: Path) -> None:
    registered = register(weights("sr_x3"), make_card("sr_x3"), run_id=new_run())
    cache = tmp_path / "cache"
    folder = pull(registered.uri, cache=cache)
    copy = shutil.copytree(folder, tmp_path / "copy")
    for name in ("model.safetensors", "config.json", "code/semanir/windows.py"):
        damaged = shutil.copytree(copy, tmp_path / name.replace("/", "-"))
        content = bytearray((damaged / name).read_bytes())
        content[-1] ^= 1
        (damaged / name).write_bytes(content)
        with pytest.raises(AlteredModelError, match=name):
            pull(damaged)
    (copy / "code" / "semanir" / "more.py").write_text("")
    with pytest.raises(AlteredModelError, match=r"not registered: code/semanir/more\.py"):
        pull(copy)

    (folder / "probe.safetensors").unlink()
    with pytest.raises(AlteredModelError, match="is missing"):
        pull(registered.uri, cache=cache)
    assert pull(registered.uri, cache=cache) == folder  # the damaged copy is gone: fetched again


def test_mlflow_itself_refuses_weights_altered_by_a_byte(
    weights: Weights, make_card: Card, new_run: NewRun, tmp_path: Path
) -> None:
    registered = register(weights("jpeg_gray", 7), make_card("jpeg_gray", restored=24.0), run_id=new_run())
    stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=registered.uri, dst_path=str(tmp_path / "all")))
    (file,) = stored.rglob("model.safetensors")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(Exception, match=r"model\.safetensors was altered"):
        mlflow.pyfunc.load_model(str(stored))


def test_what_does_not_exist_is_named_beside_what_does(
    weights: Weights, make_card: Card, new_run: NewRun, tmp_path: Path
) -> None:
    name = register(weights("sr_x4"), make_card("sr_x4"), run_id=new_run()).name
    for uri, message in (
        ("models:/nothing@champion", f"no registered model 'nothing'; there are: .*{name}"),
        (f"models:/{name}@best", r"no alias 'best'; there are: champion \(version 1\)"),
        (f"models:/{name}/7", "no version 7; there are: 1"),
        (f"runs:/{'0' * 32}", "no MLflow run '0000"),
        (f"runs:/{new_run()}", "has logged no model"),
        ("models:/a/b/c", "expected models:/name@alias"),
        (str(tmp_path / "nowhere"), "does not exist"),
        (str(tmp_path), r"holds no model\.safetensors"),
    ):
        with pytest.raises(UserError, match=message):
            pull(uri)


def test_a_model_of_another_task_is_refused(weights: Weights, make_card: Card, new_run: NewRun) -> None:
    with pytest.raises(ValueError, match=r"1 to 1 channels at scale 1; weather needs 3 to 3 channels"):
        register(weights("denoising_gray"), make_card("weather"), run_id=new_run())
    with pytest.raises(UserError, match="no registered model 'semanir-weather'"):
        pull("models:/semanir-weather@champion")
