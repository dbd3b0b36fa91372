"""ModelConfig: survives JSON, and refuses what cannot be built, naming the value."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

import semanir
from semanir.stage import Stage


@pytest.mark.parametrize("name", semanir.list_models())
def test_json_round_trip(name: str) -> None:
    config = semanir.model_config(name)
    assert semanir.ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.k = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_heads": 3}, "embed_dim 16 must be divisible by num_heads 3"),
        ({"k": 0}, "k must be a positive integer, got 0"),
        ({"k": 65}, "k is 65, but a window of 8 x 8 tokens allows 1 to 64 keys"),
        ({"k": 2.0}, "k must be a positive integer, got 2.0"),
        ({"depths": ()}, "depths must name at least one stage"),
        ({"depths": (2, 0, 2)}, "each of depths must be a positive integer, got 0"),
        ({"depths": (1,) * 63}, "doubled at each of 32 levels gives .* channels; at most 8192"),
        ({"depths": 3}, "depths must be a list of positive integers, got 3"),
        ({"shift": "none"}, "shift must be one of both_grids, per_stage, got 'none'"),
        ({"attention": "flash"}, "attention must be one of auto, mask, .*, got 'flash'"),
        ({"upscale": 2}, "upscale must be 1, got 2"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio must be a positive number, got nan"),
        ({"mlp_ratio": 0.01}, "mlp_ratio 0.01 leaves no hidden channel at embed_dim 16"),
        ({"image_skip": 1}, "image_skip must be true or false, got 1"),
        ({"image_skip": [1] * 10_000}, r"image_skip must be true or false, got \[[1, ]{39}$"),
        ({"depths": "1" * 10_000}, "depths must be a list of positive integers, got '1{39}$"),
        ({"out_channels": 1}, "in_channels 3 must be 1 or equal out_channels 1"),
        ({"caution": (0.3, 1)}, r"caution must be three numbers \(share, low, high\) or null, got \(0.3, 1\)"),
        ({"caution": (0.3, 1, "2")}, "caution must be three numbers"),
        ({"caution": (1.1, 1, 2)}, "caution's share must lie in 0..1, got 1.1"),
        ({"caution": (float("nan"), 1, 2)}, "caution's share must lie in 0..1, got nan"),
        ({"caution": (0.3, 2, 2)}, "0 <= low < high <= 255, got 2 and 2"),
        ({"caution": (0.3, -1, 2)}, "0 <= low < high <= 255, got -1 and 2"),
        ({"caution": (0.3, 1, float("inf"))}, "0 <= low < high <= 255, got 1 and inf"),
        ({"caution": (0.3, 1, 2), "image_skip": False}, "it needs image_skip, which is false"),
        ({"window": 8}, "unknown model field window; known fields: family, embed_dim"),
    ],
)
def test_invalid(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        semanir.create_model("ushape_tiny", **overrides)


def test_caution_survives_json_and_stays_out_of_files_without_it() -> None:
    config = semanir.model_config("ushape_tiny", caution=[0.3, 1, 2])
    assert config.caution == (0.3, 1.0, 2.0)
    assert semanir.ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert "caution" not in semanir.model_config("ushape_tiny").to_dict()


def test_columnar_upscale() -> None:
    with pytest.raises(ValueError, match="upscale must be 3 or a power of two, got 6"):
        semanir.create_model("columnar_tiny", upscale=6)


def test_missing_field() -> None:
    with pytest.raises(ValueError, match="incomplete"):
        semanir.ModelConfig.from_dict({"family": "ushape"})


def test_levels() -> None:
    assert semanir.model_config("ushape_base").levels == 4
    assert semanir.model_config("ushape_base").size_multiple == 8
    assert semanir.model_config("ushape_tiny").levels == 2
    assert semanir.model_config("ushape_tiny", depths=(1,)).levels == 1
    assert semanir.model_config("columnar_base").size_multiple == 1


def test_stages_go_down_and_up_again() -> None:
    levels = {(1, 2, 3): (0, 1, 0), (1, 2, 3, 4): (0, 1, 0, 0), (1,): (0,), (1,) * 8: (0, 1, 2, 3, 2, 1, 0, 0)}
    for depths, expected in levels.items():
        config = semanir.model_config("ushape_tiny", depths=depths)
        assert config.stage_levels == expected
        assert config.widths == tuple(config.embed_dim * 2**level for level in expected)
        built = [stage.layers for stage in semanir.build_model(config).modules() if isinstance(stage, Stage)]
        assert [len(layers) for layers in built] == list(depths)
    assert semanir.model_config("columnar_tiny", depths=(1, 2, 3)).stage_levels == (0, 0, 0)


@pytest.mark.parametrize("k", ["a", 2.5, True, float("nan"), [3]])
def test_a_k_of_another_type_is_refused_at_every_call(k: Any) -> None:
    model = semanir.create_model("ushape_tiny")
    with pytest.raises(ValueError, match="k must be a whole number, got"):
        model(torch.rand(1, 3, 8, 8), k=k)
    with pytest.raises(ValueError, match="k must be a whole number, got"):
        semanir.describe(model, 8, 8, k)


def test_an_integer_of_numpy_is_a_k() -> None:
    model, image = semanir.create_model("ushape_tiny").eval(), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(model(image, k=np.int64(4)), model(image, k=4))
