"""How a configuration reads in MLflow."""

from __future__ import annotations

import json

from mlflow.utils.validation import _validate_param_name

from pipeline.registry.tracking import flat_params

SETS = {"s3://bucket/div2k/train": 3, "s3://bucket/flickr2k/train": 1}


def test_nested_settings_become_dotted_names_and_empty_ones_are_left_out() -> None:
    flat = flat_params({"task": "sr_x2", "model": {"depths": [2, 2], "k": None}, "setting": {}, "random_k": []})
    assert flat == {"task": "sr_x2", "model.depths": [2, 2]}
    assert flat_params({"space": {"model.k": {"choice": [4, 16]}}}) == {"space.model.k.choice": [4, 16]}


def test_data_sets_with_weights_are_one_parameter_that_mlflow_takes() -> None:
    flat = flat_params({"data": {"train": SETS, "patch_size": 48}})
    for name in flat:
        _validate_param_name(name)
    assert json.loads(flat["data.train"]) == SETS
    assert flat["data.patch_size"] == 48
