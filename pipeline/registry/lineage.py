"""The data of a run in MLflow's own terms: dataset inputs with digest, counts, schema and what they were used for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.data.manifest import Manifest

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from mlflow.types import Schema

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
    from mlflow.types import ColSpec, Schema

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
        found.append(_input(data.name, data.digest, manifest.uri, schema, profile, data.context))
    return found


def measured_input(name: str, digest: str, address: str, num_images: int) -> DatasetInput:
    """The images of an evaluation, wherever they lie: a packed set, a folder, files."""
    from mlflow.types import ColSpec, Schema

    schema = Schema([ColSpec("binary", "image")])
    return _input(name, digest[:DIGEST_LENGTH], address, schema, {"num_rows": num_images, "sha256": digest}, "test")


def _input(
    name: str, digest: str, address: str, schema: Schema, profile: Mapping[str, object], context: str
) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    dataset = Dataset(
        name=name,
        digest=digest,
        source_type="s3" if address.startswith("s3://") else "local",
        source=json.dumps({"uri": address}),
        schema=json.dumps({"mlflow_colspec": schema.to_dict()}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, context)])
