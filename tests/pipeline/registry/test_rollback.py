"""``semanir models`` on a real MLflow store: listed, shown, pulled, and an older version made champion again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands.main import main
from pipeline.errors import UserError
from pipeline.registry import ModelCard, register
from pipeline.registry.client import connect
from pipeline.registry.promotion import METRIC_TAG, PROTOCOL_TAG, WITHDRAWN_TAG
from pipeline.registry.rollback import rollback


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


@pytest.mark.usefixtures("tracking")
def test_a_rollback_withdraws_what_would_win_and_nothing_else() -> None:
    client, name = connect(), "semanir-rolled-back"
    client.create_registered_model(name)
    with pytest.raises(UserError, match=r"has no version 1; there are: none$"):
        rollback(name, 1)
    for figure, protocol in (
        ("25.0", "a"), ("27.5", "a"), ("25.0", "a"), ("30.0", "another"), (None, "a"), ("9.5", "a"),
    ):  # fmt: skip
        tags = {PROTOCOL_TAG: protocol, **({} if figure is None else {METRIC_TAG: figure})}
        client.create_model_version(name, "unused", tags=tags)
    client.set_model_version_tag(name, "1", WITHDRAWN_TAG, "rolled back to version 6")

    def withdrawn() -> dict[int, str]:
        versions = (client.get_model_version(name, str(number)) for number in range(1, 7))
        return {int(v.version): v.tags[WITHDRAWN_TAG] for v in versions if WITHDRAWN_TAG in v.tags}

    rollback(name, 1)
    assert withdrawn() == {2: "rolled back to version 1"}
    assert int(client.get_model_version_by_alias(name, "champion").version) == 1
    rollback(name, 5)  # it has no figure that another could beat
    assert withdrawn() == {2: "rolled back to version 1"}
    assert int(client.get_model_version_by_alias(name, "champion").version) == 5


def test_weights_that_were_never_registered_have_no_card(
    weights: Callable[..., Path], tracking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "card", str(weights("deblurring"))]) == 2
    assert "has no model_card.md: it holds weights that were never registered" in capsys.readouterr().err
