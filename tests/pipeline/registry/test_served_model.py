"""What the served model says of inputs that are no images, before it computes anything."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.registry.served_model import ServedModel


@pytest.mark.parametrize("sent", [0.78, 1.0])
def test_floats_that_the_rest_server_turned_into_black_are_refused(sent: float) -> None:
    arrived = np.full((1, 32, 32, 3), sent).astype(np.uint8)  # as mlflow's scoring server casts to the signature
    with pytest.raises(ValueError, match=r"were floats in \[0, 1\] sent.*send uint8 values, 0 to 255"):
        ServedModel().predict(None, arrived)


def test_floats_that_arrive_as_such_are_refused() -> None:
    with pytest.raises(ValueError, match="got float64 of shape"):
        ServedModel().predict(None, np.full((1, 8, 8, 3), 0.5))
