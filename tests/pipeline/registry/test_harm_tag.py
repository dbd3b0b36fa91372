"""A version's harm curve on a real MLflow store: written, replaced, read, and left out of a full description."""

from __future__ import annotations

import pytest

from pipeline.registry.client import MAX_DESCRIPTION, connect
from pipeline.registry.harm_tag import HARM_TAG, harm_of, harm_section, read_harm, tag_harm
from pipeline.scoring.harm import Harm, HarmPoint

NAME = "semanir-with-a-curve"
FIRST = Harm("a set", (HarmPoint("σ 2", 0.5, -0.25, "x", 40.0),))
SECOND = Harm("a set", (HarmPoint("σ 2", 0.75, 0.125, "y", 40.0),))


@pytest.mark.usefixtures("tracking")
def test_a_version_has_its_last_curve_and_one_section_of_it() -> None:
    client = connect()
    client.create_registered_model(NAME)
    section = "\n".join(harm_section(FIRST))
    room = MAX_DESCRIPTION - len(section) - 2
    descriptions = {"1": "# A card\n\n## Figures\n", "2": None, "3": "x" * room, "4": "x" * (room + 1)}
    for description in descriptions.values():
        client.create_model_version(NAME, "unused", description=description)
    for number, described in {
        "1": f"# A card\n\n## Figures\n\n{section}\n", "2": f"\n{section}\n",
        "3": f"{'x' * room}\n{section}\n", "4": descriptions["4"],
    }.items():  # fmt: skip
        assert harm_of(NAME, number) is None
        tag_harm(NAME, int(number), FIRST)
        version = client.get_model_version(NAME, number)
        assert version.tags == {HARM_TAG: FIRST.encode()}
        assert version.description == described
    tag_harm(NAME, 1, SECOND)
    assert harm_of(NAME, "1") == SECOND
    assert harm_of(NAME, "2") == FIRST
    described = "\n".join(harm_section(SECOND))
    assert client.get_model_version(NAME, "1").description == f"# A card\n\n## Figures\n\n{described}\n"


def test_a_curve_that_nobody_can_read_is_none() -> None:
    assert read_harm({HARM_TAG: FIRST.encode()}) == FIRST
    assert read_harm({HARM_TAG: "{}"}) is None
    assert read_harm({}) is None
    assert harm_section(FIRST)[:2] == [
        "## Harm",
        "Change in PSNR over the whole range of strengths, on images a set:",
    ]
