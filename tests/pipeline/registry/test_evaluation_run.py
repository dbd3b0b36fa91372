"""An evaluation that is logged again is one run, wherever its images lie by then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.registry.client import connect
from pipeline.registry.evaluation_run import log_evaluation


@pytest.mark.usefixtures("tracking")
def test_the_same_evaluation_of_images_that_were_moved_is_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text("| a |\n")

    def log(images: str) -> str:
        return log_evaluation(
            experiment="moved-images", fingerprint="f" * 12, title="t", params={"images": images, "k": "16"}, means=[],
            dataset="Set5", dataset_digest="ab" * 32, images=images, num_images=5, folder=tmp_path, model=None,
        )  # fmt: skip

    run_id = log("s3://a/set5")
    assert log("s3://a/set5") == run_id
    assert log("s3://b/set5") == run_id
    run = connect().get_run(run_id)
    assert run.data.params == {"images": "s3://a/set5", "k": "16"}
    assert run.data.tags["last_images"] == "s3://b/set5"
    assert run.info.status == "FINISHED"
    (used,) = run.inputs.dataset_inputs  # not one for each place
    assert {tag.key: tag.value for tag in used.tags} == {"mlflow.data.context": "test"}
    assert (used.dataset.name, used.dataset.digest) == ("Set5", ("ab" * 32)[:36])
    assert json.loads(used.dataset.source) == {"uri": "s3://a/set5"}
    assert json.loads(used.dataset.profile) == {"num_rows": 5, "sha256": "ab" * 32}
