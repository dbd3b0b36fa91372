"""``semanir models sign`` and ``--verify``: registered models and folders, signed with real keys."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.commands.main import main
from pipeline.registry import ModelCard, pull, register, sealed
from pipeline.registry.client import connect
from pipeline.registry.pull import locate
from pipeline.shipped.locate import MODELS

Keys = Callable[..., tuple[Path, Path]]


@pytest.mark.usefixtures("tracking")
def test_a_registered_model_is_signed_and_pulled_with_verify(
    weights: Callable[..., Path],
    make_card: Callable[..., ModelCard],
    new_run: Callable[[], str],
    keys: Keys,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    private, public = keys()
    version = register(weights("jpeg_color", 7), make_card("jpeg_color"), run_id=new_run())
    capsys.readouterr()

    def call(*arguments: str) -> str:
        assert main(["models", *arguments]) == 0
        return capsys.readouterr().out.strip()

    def refused(*arguments: str) -> str:
        assert main(["models", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    verify = ("pull", version.uri, "--verify", str(public))
    assert refused(*verify).startswith(f"error: {version.uri} is not signed: it has no model.sig")
    said = call("sign", version.uri, "--key", str(private))
    assert said.startswith(f"{version.uri}: signed by ")
    tags = connect().get_model_version(version.name, str(version.version)).tags
    assert tags["signed_by"] == said.split()[-1]

    here = Path(call(*verify))  # fetched before it was signed: the signature is asked for
    elsewhere = Path(call(*verify, "--cache", str(tmp_path / "cache")))
    assert (here / "model.sig").read_bytes() == (elsewhere / "model.sig").read_bytes()
    assert call("pull", f"{elsewhere}", "--verify", str(public)) == str(elsewhere)
    assert "was signed by another key" in refused("pull", version.uri, "--verify", str(keys("other")[1]))

    # Somebody rewrites file and digest where the registry keeps them, and the tag: the signature refuses it.
    stored = Path(connect().get_logged_model(locate(version.uri).model_id).artifact_location) / "artifacts" / "model"
    (stored / "model_card.md").write_text("# The best of all models\n")
    sealed.write_digests(stored)
    digests = json.loads((stored / "digests.json").read_text())
    del digests["model.sig"]
    (stored / "digests.json").write_text(json.dumps(digests))
    fresh = ("--cache", str(tmp_path / "fresh"))
    call("pull", version.uri, *fresh)
    assert "is not what was signed" in refused(*verify, *fresh)
    assert not any((tmp_path / "fresh").iterdir())


@pytest.mark.usefixtures("tracking")
def test_restoring_with_verify_refuses_an_unsigned_model(
    weights: Callable[..., Path], keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = keys()
    folder = pull("shipped:unified_color")
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    words = ["restore", "shipped:unified_color", str(tmp_path / "a.png"), "--output", str(tmp_path / "restored")]
    assert main([*words, "--verify", str(public)]) == 2
    assert capsys.readouterr().err.startswith("error: shipped:unified_color is not signed")
    assert not (tmp_path / "restored" / "a.png").exists()
    copy = tmp_path / "signed"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert main(["models", "sign", str(copy), "--key", str(private)]) == 0
    assert main([*words[:1], str(copy), *words[2:], "--verify", str(public)]) == 0
    assert (tmp_path / "restored" / "a.png").exists()
    assert main([*words, "--verify", str(public), "--on-ray"]) == 2
    assert "--verify is not for --on-ray" in capsys.readouterr().err
    assert main(["models", "sign", str(weights("jpeg_color")), "--key", str(private)]) == 2
    assert "weights that were never registered are not signed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["shipped:unified_color", str(MODELS / "unified_color"), "link"])
def test_nothing_is_written_into_the_package(
    name: str, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = MODELS / "unified_color"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    before = sorted(folder.iterdir())
    try:
        assert main(["models", "sign", name, "--key", str(keys()[0])]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {name} lies in the installed package")
        assert "copy it" in error
        assert error.count("\n") == 1
        assert sorted(folder.iterdir()) == before
    finally:
        (folder / "model.sig").unlink(missing_ok=True)
    # The hint is a way to go.
    subprocess.run(shlex.split(error.partition("sign the copy: ")[2]), check=True)
    assert main(["models", "sign", "unified_color", "--key", str(keys()[0])]) == 0
