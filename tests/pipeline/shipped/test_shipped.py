"""A shipped model is found by its address, refused when a file of it changed, and says where it comes from."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import semanir
from pipeline.errors import UserError
from pipeline.registry import pull, sealed
from pipeline.registry.ship import ship
from pipeline.restoring.restorer import Restorer
from pipeline.shipped import is_shipped, locate, names, read_provenance
from pipeline.shipped.card import ShippedCard, missed
from pipeline.shipped.locate import MODELS
from pipeline.tasks import TASKS
from pipeline.training.initial import load_initial
from semanir.caution import Caution
from tests.pipeline.shipped.provenance import HARM, PROVENANCE

MOST_BYTES, MOST_TOGETHER = 3_000_000, 20_000_000
PHOTOGRAPHS = MODELS.parent / "photographs.csv"


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A folder of shipped models that holds one, for demosaicking."""
    model = semanir.create_model("ushape_tiny", zero_init_last=False)
    ship(semanir.save(model, tmp_path / "weights"), PROVENANCE, tmp_path / "models")
    return tmp_path / "models"


def test_a_model_is_found_whole_and_restores(shipped: Path) -> None:
    folder = locate("shipped:demosaicking", shipped)
    assert names(shipped) == ["demosaicking"]
    assert {path.name for path in folder.iterdir()} == {
        *(sealed.WEIGHTS_FILE, sealed.CONFIG_FILE, sealed.TASK_FILE, sealed.CARD_FILE, sealed.PROBE_FILE),
        *(sealed.DIGESTS_FILE, "provenance.json"),
    }
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    assert Restorer(folder).observed_channels == 1  # a task record, so a mosaic is taken as one
    assert read_provenance(folder) == PROVENANCE


@pytest.mark.parametrize("file", [sealed.WEIGHTS_FILE, sealed.CARD_FILE, "provenance.json"])
def test_a_changed_or_missing_file_is_refused_by_name(shipped: Path, file: str) -> None:
    path = shipped / "demosaicking" / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match=rf"{file}. is not the file that was shipped"):
        locate("shipped:demosaicking", shipped)
    path.unlink()
    with pytest.raises(UserError, match=rf"{file}. is not the file that was shipped"):
        locate("shipped:demosaicking", shipped)


def test_an_unknown_name_lists_what_there_is(shipped: Path) -> None:
    for uri in ("shipped:nothing", "shipped:", "shipped:../models/demosaicking"):
        assert is_shipped(uri)
        with pytest.raises(UserError, match="there are: shipped:demosaicking"):
            locate(uri, shipped)


def test_too_large_a_model_is_not_shipped(tmp_path: Path) -> None:
    model = semanir.create_model("ushape_tiny", embed_dim=64)
    weights = semanir.save(model, tmp_path / "weights")
    with pytest.raises(UserError, match="at most 3000000"):
        ship(weights, PROVENANCE, tmp_path / "models")


def test_caution_is_set_when_it_is_shipped_and_the_card_says_so(tmp_path: Path) -> None:
    model = semanir.create_model("ushape_tiny", zero_init_last=False)
    weights = semanir.save(model, tmp_path / "weights")
    cautious = PROVENANCE.model_copy(update={"caution": (0.3, 1.0, 2.0)})
    folder = ship(weights, cautious, tmp_path / "models")
    assert semanir.load(folder).config == replace(model.config, caution=Caution(0.3, 1.0, 2.0))
    sealed.check_probe(semanir.load(folder), folder)
    text = (folder / sealed.CARD_FILE).read_text(encoding="utf-8")
    assert "by 1 of 255 levels or less (root mean square), 30% of the change is made, all of it from 2 on" in text
    assert "caution" not in ShippedCard(PROVENANCE).to_markdown(16)


def test_the_card_says_what_it_was_trained_for_and_what_it_misses() -> None:
    card = ShippedCard(PROVENANCE).to_markdown(16)
    assert "10 steps (10% of the recipe's 100)" in card
    assert "| a.png | A. Nobody | CC0-1.0 | nowhere |" in card
    assert "`training.steps=10`" in card
    assert "None stated" not in card
    assert missed(HARM) == [
        "Missed: clean pictures are kept at 44.0 dB, aim 45.",
        "Missed: noise 2 harms a picture by -0.50 dB, aim -0.3.",
        "Missed: jpeg 95 changes by -1.00 dB, aim -0.05.",
    ]
    assert missed(HARM[2:3]) == ["No aim is missed: nothing above is harmed by more than the aims allow."]


@pytest.mark.parametrize("name", names())
def test_what_comes_with_the_package_is_small_credited_and_loads(name: str) -> None:
    folder = pull(f"shipped:{name}")
    assert (folder / sealed.WEIGHTS_FILE).stat().st_size <= MOST_BYTES
    provenance = read_provenance(folder)
    assert provenance.task == name
    assert name in TASKS
    free = {"CC0-1.0", "public domain", "CC-BY-2.0", "CC-BY-4.0", "BSD-3-Clause"}
    assert {photograph.license for photograph in provenance.photographs} <= free
    known = {row["file"] for row in csv.DictReader(PHOTOGRAPHS.open(encoding="utf-8")) if row["use"] == "train"}
    assert {photograph.file for photograph in provenance.photographs} <= known
    assert provenance.limits
    sealed.check_probe(semanir.load(folder), folder)


def test_all_that_comes_with_the_package_stays_small() -> None:
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= MOST_TOGETHER


@pytest.mark.skipif("unified_color" not in names(), reason="the trunk does not come with the package yet")
def test_a_run_may_start_from_a_shipped_model() -> None:
    model = semanir.create_model("ushape_light")
    load_initial(model, "shipped:unified_color")
    expected = semanir.load(MODELS / "unified_color").state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_the_package_names_this_room_as_the_source_of_its_addresses() -> None:
    pyproject = (MODELS.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'shipped = "pipeline.shipped:locate"' in pyproject
