"""What the served model says of inputs that are no images, before it computes anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import semanir
from pipeline.registry.served_model import ServedModel


@pytest.mark.parametrize("sent", [0.78, 1.0])
def test_floats_that_the_rest_server_turned_into_black_are_refused(sent: float) -> None:
    arrived = np.full((1, 32, 32, 3), sent).astype(np.uint8)  # as mlflow's scoring server casts to the signature
    with pytest.raises(ValueError, match=r"were floats in \[0, 1\] sent.*send uint8 values, 0 to 255"):
        ServedModel().predict(None, arrived)


def test_floats_that_arrive_as_such_are_refused() -> None:
    with pytest.raises(ValueError, match="got float64 of shape"):
        ServedModel().predict(None, np.full((1, 8, 8, 3), 0.5))


def test_what_a_call_leaves_out_is_as_the_model_was_registered() -> None:
    served, asked = ServedModel(), []
    served.task = {"input_channels": 3, "observed_channels": 3, "k": 8, "tile": 64, "overlap": 16}
    served.device, served.to_input = torch.device("cpu"), None
    served.model = semanir.create_model("ushape_tiny").eval()

    def watched(model: semanir.SemanIR, image: torch.Tensor, tile: int, overlap: int, k: int) -> torch.Tensor:
        asked.append((tile, overlap, k))
        return semanir.restore_tiled(model, image, tile, overlap, k=k)

    served.restore_tiled = watched
    image = np.full((1, 20, 24, 3), 200, np.uint8)
    for params in (None, {"tile": 32}, {"tile": 40, "overlap": 0, "k": 4}, {"tile": 0}):
        assert served.predict(None, image, params).shape == image.shape
    assert asked == [(64, 16, 8), (32, 16, 8), (40, 0, 4)]  # the last takes the image whole
