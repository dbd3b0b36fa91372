from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.registry import ModelCard
from pipeline.registry.client import MAX_DESCRIPTION
from pipeline.scoring.harm import Harm, HarmPoint
from tests.pipeline.held_out import held_out

WHOLE = """\
# SemanIR, jpeg_gray
Restores: sigma 25. Keys per token: k = 8 unless the caller asks otherwise.
## Use
```python
import mlflow
model = mlflow.pyfunc.load_model("models:/semanir-jpeg-gray@champion")  # or /VERSION
restored = model.predict(images)  # uint8, N x H x W x C, any H and W
```
## Figures
Protocol: PSNR, RGB, on two images
Held-out PSNR 25.00 dB, input 25.00 dB, gain +0.00 dB over 2 images. Worst first:
| image | input (dB) | restored (dB) | gain (dB) |
|---|---|---|---|
| bad | 30.00 | 24.00 | -6.00 |
| good | 20.00 | 26.00 | +6.00 |
## Training
Nine photographs. 3 optimizer steps. Data data0, code commit0.
## Limits
- Only Gaussian noise.
## License
Apache-2.0
"""


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


def test_a_card_is_these_lines(make_card: Callable[..., ModelCard]) -> None:
    card = make_card("jpeg_gray")
    assert card.to_markdown(k=8) == card.to_description(k=8) == WHOLE
    less = "| good | 20.00 | 26.00 | +6.00 |"
    assert card.to_markdown(k=8, max_rows=1) == WHOLE.replace(less, "1 better images are in the model's model_card.md.")
    assert card.to_markdown(k=8, max_rows=2) == WHOLE
    told = replace(card, config_uri="s3://runs/config.yaml", limits=()).to_markdown(k=8)
    assert "code commit0, configuration s3://runs/config.yaml.\n## Limits\n- None stated.\n" in told
    harm = Harm("set0", (HarmPoint("σ 5", -0.25, -1.0, "bad", 34.0),))
    assert (
        "## Harm\nChange in PSNR over the whole range of strengths, on images set0:\n"
        "| strength | as it was (dB) | restored (dB) | change, mean (dB) | worst image (dB) | which |\n"
        "|---|---:|---:|---:|---:|---|\n| σ 5 | 34.00 | 33.75 | -0.25 | -1.00 | bad |\n"
    ) in replace(card, harm=harm).to_markdown(k=8)


def test_a_card_shows_the_image_that_gained_least(make_card: Callable[..., ModelCard]) -> None:
    card = make_card("jpeg_gray")
    heading = "## Figures\n"
    shown = WHOLE.replace(heading, f"{heading}![bad, the image that gained least](art/worst.png)\n\n")
    assert card.to_markdown(k=8, picture="art/worst.png") == shown
    assert card.to_description(k=8, picture="art/worst.png") == shown
    many = replace(card, scores=held_out(*((f"image-{i:04d}", 20.0, 20.0 + i / 100) for i in range(500))))
    assert f"{heading}![image-0000, the image that gained least](p.png)\n\nProtocol" in many.to_description(8, "p.png")


def test_a_card_says_how_much_an_image_counts_where_one_counts_the_most(make_card: Callable[..., ModelCard]) -> None:
    line = "An image counts 60 dB at most, also one equal to the truth.\n"
    for before, after in ((60.0, 30.0), (30.0, 60.0)):
        card = replace(make_card("jpeg_gray"), scores=held_out(("a", before, after), ("b", 20.0, 21.0)))
        table, _, rest = card.to_markdown(k=8).partition(line)
        assert table.endswith("|\n")
        assert rest.startswith("## Training")
    assert line not in WHOLE


def test_a_card_names_the_owners_of_the_training_images(make_card: Callable[..., ModelCard]) -> None:
    card = replace(make_card("jpeg_gray"), owners=("camera: Lav Varshney: CC0",))
    line = "Nine photographs. 3 optimizer steps. Data data0, code commit0.\n"
    assert card.to_markdown(k=8) == WHOLE.replace(line, f"{line}Training images:\n- camera: Lav Varshney: CC0\n")


def test_a_description_fits_and_drops_the_best_images_first(make_card: Callable[..., ModelCard]) -> None:
    many = held_out(*((f"image-{i:04d}", 20.0, 20.0 + i / 100) for i in range(500)))
    card = replace(make_card("jpeg_gray"), scores=many)
    text = card.to_description(k=16)
    assert len(text) <= MAX_DESCRIPTION
    assert "image-0000" in text
    assert "image-0499" not in text
    assert "better images are in the model's model_card.md" in text
    assert "image-0499" in card.to_markdown(k=16)
    # Rows are halved until the text fits: 500, 250, 125 and 62.
    assert text == card.to_markdown(k=16, max_rows=62)
    assert len(card.to_markdown(k=16, max_rows=125)) > MAX_DESCRIPTION
    long = replace(card, trained_on="x" * 9000)
    cut = long.to_description(k=16)
    assert len(cut) == MAX_DESCRIPTION
    ending = "\n… cut; the whole card is the model's model_card.md.\n"
    assert cut == long.to_markdown(k=16, max_rows=1)[: MAX_DESCRIPTION - len(ending)] + ending


@pytest.mark.parametrize("rows", [1, 2, 20, 40])
def test_a_description_may_be_as_long_as_the_limit(make_card: Callable[..., ModelCard], rows: int) -> None:
    def padded(length: int) -> ModelCard:
        many = held_out(*((f"image-{i:04d}", 20.0, 20.0 + i) for i in range(40)))
        bare = replace(make_card("jpeg_gray"), trained_on="", scores=many)
        return replace(bare, trained_on="x" * (length - len(bare.to_markdown(16, rows))))

    exact, longer = padded(MAX_DESCRIPTION), padded(MAX_DESCRIPTION + 1)
    assert exact.to_description(k=16) == exact.to_markdown(k=16, max_rows=rows)
    assert longer.to_description(k=16) != longer.to_markdown(k=16, max_rows=rows)


def test_a_card_without_finite_figures_is_refused(make_card: Callable[..., ModelCard]) -> None:
    with pytest.raises(ValueError, match="no held-out scores"):
        replace(make_card("jpeg_gray"), scores=())
    with pytest.raises(ValueError, match="of broken is not finite"):
        replace(make_card("jpeg_gray"), scores=held_out(("broken", 1.0, float("nan"))))
    with pytest.raises(ValueError, match="held-out image whole has no score of 'input'"):
        replace(make_card("jpeg_gray"), scores=held_out(("whole", 1.0, 2.0), baseline="other"))
