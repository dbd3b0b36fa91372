"""The SBOM of an install: whole, with licenses, and valid by CycloneDX's own schema."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.local.folders import PROJECT_ROOT
from infra.sbom import PROJECT, complete, main, problem, tool


def small() -> dict[str, Any]:
    """As the tool writes it, of three packages: one with an SPDX license, one that names it freely, one with a text."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "root", "name": PROJECT}},
        "components": [
            {"type": "library", "name": "numpy", "version": "2", "licenses": [{"license": {"id": "BSD-3-Clause"}}]},
            {"type": "library", "name": "ray", "version": "2"},
            {"type": "library", "name": "torchvision", "version": "0", "evidence": {"licenses": []}},
        ],
    }


def test_what_the_tool_leaves_out_is_added() -> None:
    sbom = small()
    assert complete(sbom) in ([], ["torchvision"])  # its releases differ in what they say
    assert sbom["metadata"]["component"]["version"] == metadata.version(PROJECT)
    assert sbom["components"][0]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert sbom["components"][1]["licenses"] == [{"license": {"name": "Apache 2.0", "acknowledgement": "declared"}}]


def test_the_tool_is_not_where_ray_runs() -> None:
    """One of its packages compiles a grammar when jsonschema is imported: two seconds of each of Ray's processes."""
    program = "import ray, sys; print([name for name in sys.modules if name in ('lark', 'rfc3987_syntax')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_tool_that_cannot_be_installed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "a-file"))
    assert main(["--output", str(tmp_path / "sbom.cdx.json")]) == 2
    assert "error: CycloneDX's tool cannot be installed: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "said"), [("missing/dir/x", "there is no folder"), ("", "this is a folder"), ("a-file/x", "no folder")]
)
def test_a_place_that_cannot_be_written_is_said_before_the_work(
    output: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a-file").write_text("")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "tools"))  # where nothing is installed
    assert main(["--output", str(tmp_path / output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --output {tmp_path / output}: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "tools").exists()


@pytest.mark.slow  # the schema is checked at every package: a quarter of a minute
def test_the_sbom_of_this_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path / "sbom.cdx.json")]) == 0
    assert "valid CycloneDX 1.6" in capsys.readouterr().out
    sbom = json.loads((tmp_path / "sbom.cdx.json").read_text())
    project = sbom["metadata"]["component"]
    assert (project["name"], project["version"]) == (PROJECT, metadata.version(PROJECT))
    assert project["licenses"][0]["license"]["id"] == "Apache-2.0"
    found = {canonicalize_name(one["name"]): one for one in sbom["components"]}
    lines = (PROJECT_ROOT / "constraints.txt").read_text().splitlines()
    for pin in (Requirement(line) for line in lines if "==" in line):
        if canonicalize_name(pin.name) in {canonicalize_name(one.name) for one in metadata.distributions()}:
            component = found[canonicalize_name(pin.name)]
            assert component["version"].partition("+")[0] in str(pin.specifier)
    licensed = [one for one in sbom["components"] if one.get("licenses") or one.get("evidence")]
    assert len(licensed) > 0.97 * len(sbom["components"])
    lister = tool(Path(sys.prefix) / "sbom")
    assert "cyclonedx-bom" not in found
    sbom["components"][1]["licenses"] = [{"license": {"id": "Apache 2.0"}}]
    assert "Apache 2.0" in (said := problem(lister, json.dumps(sbom)))
    assert "\n" not in said
