"""The data of a run in MLflow's own terms: dataset inputs with digest, counts, schema and what they were used for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.data.manifest import Manifest

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

DIGEST_LENGTH = 36  # characters that MLflow keeps
NAME_PARTS = 2  # of the address: s3://bucket/datasets/builtin/train is builtin/train


@dataclass(frozen=True)
class UsedData:
    """A data set and its part in a run: ``training``, ``validation`` or ``test``; ``weight`` in a mixture."""

    manifest: Manifest
    context: str
    weight: int = 1

    @property
    def name(self) -> str:
        """Short enough for a page."""
        return "/".join(self.manifest.uri.rstrip("/").split("/")[-NAME_PARTS:])

    @property
    def digest(self) -> str:
        """The manifest's, as much of it as MLflow keeps."""
        return self.manifest.digest[:DIGEST_LENGTH]


def dataset_inputs(used: Sequence[UsedData]) -> list[DatasetInput]:
    """What ``MlflowClient.log_inputs`` takes; the same set logged twice is one there."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import ColSpec, Schema
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    found = []
    for data in used:
        manifest = data.manifest
        members = ["clean", *(["degraded"] if manifest.has_degraded else [])]
        schema = Schema([ColSpec("string", "key"), *(ColSpec("binary", name) for name in members)])
        profile = {
            "num_rows": manifest.num_samples,
            "num_shards": len(manifest.shards),
            "num_bytes": sum(shard.size for shard in manifest.shards),
            "smallest_height": manifest.min_height,
            "smallest_width": manifest.min_width,
            "weight": data.weight,
            "manifest_sha256": manifest.digest,
        }
        remote = manifest.uri.startswith("s3://")
        dataset = Dataset(
            name=data.name,
            digest=data.digest,
            source_type="s3" if remote else "local",
            source=json.dumps({"uri": manifest.uri}),
            schema=json.dumps({"mlflow_colspec": schema.to_dict()}),
            profile=json.dumps(profile),
        )
        found.append(DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, data.context)]))
    return found
