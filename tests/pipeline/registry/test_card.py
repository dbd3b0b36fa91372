from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.registry import ModelCard
from pipeline.registry.client import MAX_DESCRIPTION
from tests.pipeline.held_out import held_out


def test_a_card_shows_the_bad_images_first_and_all_it_knows(make_card: Callable[..., ModelCard]) -> None:
    text = make_card("denoising_gray").to_markdown(k=16)
    assert text.index("| bad | 30.00 | 24.00 | -6.00 |") < text.index("| good | 20.00 | 26.00 | +6.00 |")
    for words in (
        "k = 16",
        "gain +0.00 dB over 2 images",
        "commit0",
        "data0",
        "Only Gaussian noise.",
        "Apache-2.0",
    ):
        assert words in text


def test_a_description_fits_and_drops_the_best_images_first(make_card: Callable[..., ModelCard]) -> None:
    many = held_out(*((f"image-{i:04d}", 20.0, 20.0 + i / 100) for i in range(500)))
    card = replace(make_card("jpeg_gray"), scores=many)
    text = card.to_description(k=16)
    assert len(text) <= MAX_DESCRIPTION
    assert "image-0000" in text
    assert "image-0499" not in text
    assert "better images are in the model's model_card.md" in text
    assert "image-0499" in card.to_markdown(k=16)
    assert len(replace(card, trained_on="x" * 9000).to_description(k=16)) <= MAX_DESCRIPTION


def test_a_card_without_finite_figures_is_refused(make_card: Callable[..., ModelCard]) -> None:
    with pytest.raises(ValueError, match="no held-out scores"):
        replace(make_card("jpeg_gray"), scores=())
    with pytest.raises(ValueError, match="of broken is not finite"):
        replace(make_card("jpeg_gray"), scores=held_out(("broken", 1.0, float("nan"))))
    with pytest.raises(ValueError, match="held-out image whole has no score of 'input'"):
        replace(make_card("jpeg_gray"), scores=held_out(("whole", 1.0, 2.0), baseline="other"))
