"""Which word of the command line is the model, and which model works when none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.restoring.choice import choose

SHIPPED = ["demosaicking", "photo", "unified_color"]


@pytest.mark.parametrize("address", ["models:/semanir-sr-x2@champion", "runs:/abc", "shipped:photo"])
def test_an_address_in_front_is_the_model(address: str) -> None:
    choice = choose([address, "a.jpg", "b.jpg"], None, None)
    assert (choice.model, choice.inputs, choice.chosen_by) == (address, ("a.jpg", "b.jpg"), "")
    with pytest.raises(UserError, match="is a model: give the pictures"):
        choose([address], None, None)


def test_a_folder_with_weights_is_the_model_and_one_with_pictures_is_not(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    pictures, model = str(tmp_path / "pictures"), str(tmp_path / "model")
    assert choose([model, pictures], None, None).model == model
    assert choose([pictures, model], None, None, SHIPPED).inputs == (pictures, model)


def test_without_a_name_the_model_for_everything_works_then_the_one_for_photographs() -> None:
    assert choose(["a.jpg"], None, None, ["demosaicking", "photo"]).model == "shipped:photo"
    choice = choose(["a.jpg"], None, None, SHIPPED)
    assert choice.model == "shipped:unified_color"
    assert "no model was named" in choice.chosen_by
    with pytest.raises(UserError, match="give --model"):
        choose(["a.jpg"], None, None, [])


def test_a_named_model_or_task_leaves_every_word_a_picture(tmp_path: Path) -> None:
    assert choose(["shipped:photo"], "models:/a@b", None).inputs == ("shipped:photo",)
    assert choose(["a.jpg"], None, "demosaicking", SHIPPED).model == "shipped:demosaicking"
    with pytest.raises(UserError, match="give one of them"):
        choose(["a.jpg"], "models:/a@b", "photo", SHIPPED)
    with pytest.raises(UserError, match="no model for task 'weather' comes with the package"):
        choose(["a.jpg"], None, "weather", SHIPPED)
