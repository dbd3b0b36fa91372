"""The field's public datasets by name: how their folders look, how images pair, what is a split."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pipeline.data.packing.importers.all_in_one_sets import ALL_IN_ONE_SETS
from pipeline.data.packing.importers.benchmark_sets import BENCHMARK_SETS
from pipeline.data.packing.importers.blur_sets import BLUR_SETS
from pipeline.data.packing.importers.dataset_layout import Dataset
from pipeline.data.packing.importers.photograph_sets import PHOTOGRAPH_SETS
from pipeline.data.packing.importers.weather_sets import WEATHER_SETS
from pipeline.errors import UserError

__all__ = ["DATASETS", "Dataset", "get_dataset"]

DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (*PHOTOGRAPH_SETS, *BLUR_SETS, *WEATHER_SETS, *ALL_IN_ONE_SETS, *BENCHMARK_SETS)
    }
)
"""Name -> dataset."""


def get_dataset(name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        UserError: lists the names there are.
    """
    if name not in DATASETS:
        raise UserError(f"unknown dataset {name!r}; there are: {', '.join(DATASETS)}")
    return DATASETS[name]
