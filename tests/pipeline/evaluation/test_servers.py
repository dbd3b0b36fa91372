"""On the real servers: a registered model measured by 1, 2 and 3 workers and logged; shards and results on S3."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

PREPARE = """
    from jobs.prepare_data import main as prepare
    from pipeline.registry import ModelCard, register
    from pipeline.registry.client import connect
    from tests.pipeline.held_out import held_out

    assert prepare(["images", "--split", "bsd", "--shard-mib", "0.01", "--output", "s3://semanir/test-sets"]) == 0
    client = connect()
    run = client.create_run(client.create_experiment("evaluation-tests")).info.run_id
    scores = held_out(("a", 1.0, 2.0))
    card = ModelCard(
        task="denoising_gray", setting="sigma 25", trained_on="Nothing.", protocol="none", baseline="input",
        scores=scores, steps=0, data_fingerprint="d", git_commit="c", fingerprint="f",
    )
    print("version", register("model", card, run_id=run).version)
"""
EVALUATE = """
    from jobs.evaluate import main
    assert main([
        "models:/semanir-denoising-gray@champion", "--images", "s3://semanir/test-sets/bsd", "--set", "sigma=25",
        "--dataset", "BSD68", "--k", "2", "16", "--workers", "{workers}", "--cpus-per-worker", "0.5",
        "--lpips", "lpips.safetensors", "--output", "{output}", "--experiment", "evaluation-tests-tables",
    ]) == 0
"""
FETCH_TWO = """
    from pathlib import Path
    from pipeline.storage import open_storage
    Path("two").mkdir()
    Path("two/per_image.parquet").write_bytes(open_storage("s3://semanir/results/two").read("per_image.parquet"))
"""
WRONG = """
    for uri in ("models:/semanir-denoising-gray@best", "models:/nothing@champion"):
        assert main([uri, "--images", "s3://semanir/test-sets/bsd", "--output", "four"]) == 2
"""


@pytest.fixture(scope="module")
def evaluated(
    stack: Any,
    tmp_path_factory: pytest.TempPathFactory,
    model_folder: Callable[..., Path],
    draw_images: Callable[..., Path],
    lpips_file: Path,
) -> Path:
    """A folder where a person registered a model and evaluated it; ``log`` is what they saw."""
    folder = tmp_path_factory.mktemp("evaluated")
    draw_images(folder / "images", sizes=((40, 52), (33, 48), (48, 36), (40, 40), (37, 44), (36, 36), (50, 41)))
    model_folder(in_channels=1, out_channels=1).rename(folder / "model")
    (folder / "lpips.safetensors").write_bytes(lpips_file.read_bytes())
    (folder / "log").write_text(run(folder, stack, PREPARE, EVALUATE.format(workers=1, output="one"), WRONG))
    return folder


def run(folder: Path, stack: Any, *scripts: str) -> str:
    """What a person sees who runs them there, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", "".join(map(textwrap.dedent, scripts))],
        cwd=folder,
        env=stack.env | {"PYTHONPATH": str(stack.root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_figures(evaluated: Path, stack: Any) -> None:
    log = (evaluated / "log").read_text()
    by_two = EVALUATE.format(workers=2, output="s3://semanir/results/two")
    log += run(evaluated, stack, by_two, FETCH_TWO, EVALUATE.format(workers=3, output="three"))
    one, two, three = (pq.read_table(evaluated / name / "per_image.parquet") for name in ("one", "two", "three"))
    assert one.num_rows == 7 * 4  # images; the input, non-local means, and two k
    assert min(one["lpips"].to_pylist()) > 0
    assert one.equals(two)
    assert one.equals(three)
    tables = [text.split("\nMLflow run")[0] for text in log.split("| method |")[1:]]
    assert len(tables) == 3
    assert len({table.split("Published figures")[0] for table in tables}) == 1
    assert "| SemanIR | 29.5" in tables[0] or "| SemanIR (one model) |" in tables[0]


def test_what_is_wrong_is_one_line(evaluated: Path) -> None:
    log = (evaluated / "log").read_text()
    assert "error: semanir-denoising-gray has no alias 'best'; there are: champion (version 1)" in log
    assert "error: no registered model 'nothing'; there are:" in log
    assert "Traceback" not in log


def test_figures_and_files_are_linked_to_the_model_version(
    evaluated: Path, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.env["MLFLOW_TRACKING_URI"])
    from pipeline.registry.client import connect

    client = connect()
    version = client.get_model_version("semanir-denoising-gray", "1")
    fingerprint = json.loads((evaluated / "one" / "plan.json").read_text())["fingerprint"]
    run = client.get_run(version.tags[f"evaluated_{fingerprint}"])
    experiment = client.get_experiment_by_name("evaluation-tests-tables")
    assert [found.info.run_id for found in client.search_runs([experiment.experiment_id])] == [run.info.run_id]
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == "models:/semanir-denoising-gray/1"
    assert run.data.params["setting.sigma"] == "25"

    table = pq.read_table(evaluated / "one" / "per_image.parquet").to_pandas()
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    for k in (2, 16):
        expected = table[table["k"] == k]["psnr_db"].mean()
        of_model = [m for m in logged.metrics if m.key == "psnr_db" and m.step == k and m.dataset_name == "BSD68"]
        assert [m.value for m in of_model] == pytest.approx([expected] * len(of_model))
        assert of_model
    assert run.data.metrics["lpips"] == pytest.approx(table[table["k"] == 16]["lpips"].mean())
    assert run.data.metrics["input_lpips"] == pytest.approx(table[table["method"] == "input"]["lpips"].mean())
    assert len(run.data.params["lpips_weights"]) == 64
    assert run.data.metrics["input_psnr_db"] == pytest.approx(table[table["method"] == "input"]["psnr_db"].mean())
    assert [found.model_id for found in run.inputs.model_inputs] == [logged.model_id]
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"per_image.parquet", "table.md", "psnr_against_k.png", "pictures", "plan.json"} <= names
