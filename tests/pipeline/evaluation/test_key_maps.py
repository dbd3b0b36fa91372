"""Which keys a pixel uses: the maps against the naive dictionary of features computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import semanir
from pipeline.errors import UserError
from pipeline.evaluation import plots
from pipeline.evaluation.key_maps import key_maps
from pipeline.evaluation.pictures import Panel, busiest_crop, draw_panels
from pipeline.evaluation.plots import draw_curve, draw_key_maps


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((45, 38, 3), np.float32)


def test_the_first_stage_keeps_the_most_similar_tokens(model_folder: Callable[..., Path], image: np.ndarray) -> None:
    model = semanir.load(model_folder())
    maps = key_maps(model, image, (21, 10), (1, 5, 64))
    assert maps.stages == ("encoder.0", "latent", "decoder.0")
    assert maps.scales == (1, 2, 1)
    # Row 21, column 10 lies in the window of rows 16-23, columns 8-15 of the first stage.
    x = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        padded = torch.nn.functional.pad(x, (0, 0, 0, 1), mode="reflect")
        features = model.norm_first(model.conv_first(padded - model.input_mean))[0].permute(1, 2, 0)
    window = features[16:24, 8:16].reshape(64, -1)
    order = (window @ window[5 * 8 + 2]).argsort(descending=True)
    for column, k in enumerate(maps.ks):
        kept = maps.kept[0][column]
        expected = np.zeros(64, bool)
        expected[order[:k].numpy()] = True
        np.testing.assert_array_equal(kept[16:24, 8:16], expected.reshape(8, 8))
        assert kept.sum() == k


def test_every_stage_keeps_k_keys_also_at_the_border(model_folder: Callable[..., Path], image: np.ndarray) -> None:
    maps = key_maps(semanir.load(model_folder()), image, (44, 37), (3,))
    assert [row[0].sum() for row in maps.kept] == [3, 3, 3]
    assert [row[0].shape for row in maps.kept] == [(46, 38), (23, 19), (46, 38)]
    assert Image.open(BytesIO(draw_key_maps(maps, "a title"))).width > 100


def test_a_large_image_is_shown_around_the_pixel(model_folder: Callable[..., Path]) -> None:
    image = np.random.default_rng(0).random((300, 20, 3), np.float32)
    maps = key_maps(semanir.load(model_folder("columnar_tiny")), image, (290, 3), (2,))
    assert maps.pixel == (290 - 224, 3)
    np.testing.assert_array_equal(maps.image, image[224:])


def test_a_pixel_outside_the_image_is_named(model_folder: Callable[..., Path], image: np.ndarray) -> None:
    with pytest.raises(UserError, match="pixel 45,0 is outside the network's input of 45x38"):
        key_maps(semanir.load(model_folder()), image, (45, 0), (1,))


def test_details_are_cut_where_there_is_texture() -> None:
    image = np.full((200, 150, 1), 0.5, np.float32)
    image[96:160:2, 64:128] = 1.0
    assert busiest_crop(image) == (96, 64, 64)
    assert busiest_crop(image[:30, :20]) == (0, 0, 20)
    sheet = np.asarray(Image.open(BytesIO(draw_panels([Panel("half", image * 0.5), Panel("truth", image)]))))
    np.testing.assert_array_equal(sheet[20:24, -4:], 255)  # a row of the truth's stripes, enlarged four times
    np.testing.assert_array_equal(sheet[20:24, -264:-260], 128)  # the same pixels of the first panel


def test_a_curve_is_a_picture() -> None:
    drawn = Image.open(BytesIO(draw_curve([(4, 20.0), (16, 24.5)], [("input", 19.0)], "a title")))
    assert drawn.size == (720, 480)


def test_a_baseline_far_from_the_curve_does_not_flatten_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "_png", lambda figure: drawn.append(figure) or b"")
    draw_curve([(4, 24.0), (16, 24.5)], [("input", 19.0), ("malvar", 23.8)], "a title")
    axes = drawn[0].axes[0]
    low, high = axes.get_ylim()
    assert high - low < 3 * 0.5
    assert low < 23.8 < 24.5 < high
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["restored", "input, 19.00 dB (below what is shown)", "malvar, 23.80 dB"]
