"""``semanir models`` on a real MLflow store: listed, shown, pulled, and an older version made champion again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands.main import main
from pipeline.registry import ModelCard, register


@pytest.mark.usefixtures("tracking")
def test_list_card_pull_and_rollback(
    weights: Callable[..., Path],
    make_card: Callable[..., ModelCard],
    new_run: Callable[[], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = "deblurring"
    name = "semanir-deblurring"
    for seed, psnr in enumerate((25.0, 27.5)):
        register(weights(task, seed), make_card(task, psnr), run_id=new_run())
    capsys.readouterr()

    def call(*arguments: str) -> str:
        assert main(["models", *arguments]) == 0
        return capsys.readouterr().out

    def row(version: int) -> str:
        return next(line for line in call("list").splitlines() if name in line and f"│ {version} " in line)

    assert "@champion" in row(2)
    assert "27.50 dB" in row(2)
    assert "@champion" not in row(1)

    assert call("card", f"models:/{name}@champion").startswith("# SemanIR, deblurring")
    folder = Path(call("pull", f"models:/{name}/1").strip())
    assert (folder / "model.safetensors").is_file()

    assert call("rollback", name, "1") == f"{name}: version 1 is champion\n"
    assert "@champion" in row(1)
    assert "withdrawn: rolled back to version 1" in row(2)
    assert main(["models", "rollback", name, "9"]) == 2
    assert capsys.readouterr().err == f"error: {name} has no version 9; there are: 1, 2\n"


def test_weights_that_were_never_registered_have_no_card(
    weights: Callable[..., Path], tracking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "card", str(weights("deblurring"))]) == 2
    assert "has no model_card.md: it holds weights that were never registered" in capsys.readouterr().err
