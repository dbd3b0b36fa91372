"""Write the SBOM of this install, in CycloneDX: python -m infra.sbom [--output FILE]

Every package that is installed beside this project, with version, license and what depends on what. Exit code 1: what
was made is not valid by CycloneDX's own schema, which comes with the tool: no server is asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "semanir-on-ray"
VERSION = SchemaVersion.V1_6


def gather(python: Path) -> dict[str, Any]:
    """The tool's own account of the environment that ``python`` runs in."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--spec-version", VERSION.to_version(), "--gather-license-texts", "--output-reproducible"]
    done = subprocess.run([*command, "--no-validate", str(python)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complete(sbom: dict[str, Any]) -> list[str]:
    """Add what the tool leaves out, in place; returns the packages that say nowhere what their license is.

    The project's version stands in its code, where the tool does not look. A license that is named freely ("3-Clause
    BSD") is dropped by the tool, being none of SPDX's names: better that name than none.
    """
    project = sbom["metadata"]["component"]
    project["version"] = metadata.version(PROJECT)
    project["purl"] = f"pkg:pypi/{PROJECT}@{project['version']}"
    unknown = []
    for component in sbom["components"]:
        if component.get("licenses"):
            continue
        named = str(metadata.metadata(component["name"]).json.get("license") or "").strip().partition("\n")[0]
        if named:
            component["licenses"] = [{"license": {"name": named, "acknowledgement": "declared"}}]
        elif not component.get("evidence", {}).get("licenses"):
            unknown.append(component["name"])
    return unknown


def problem(text: str) -> str:
    """What CycloneDX's validator has against an SBOM, in one line; "" when it is valid."""
    error = JsonStrictValidator(VERSION).validate_str(text)
    return "" if error is None else " ".join(str(error.data).split())[:300]


def main(arguments: list[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("sbom.cdx.json"), help="(default: sbom.cdx.json)")
    options = parser.parse_args(arguments)
    sbom = gather(Path(sys.executable))
    unknown = complete(sbom)
    text = json.dumps(sbom, indent=1) + "\n"
    if found := problem(text):
        print(f"error: the SBOM is not valid CycloneDX {VERSION.to_version()}: {found}", file=sys.stderr)
        return 1
    options.output.write_text(text, encoding="utf-8")
    without = f"; {len(unknown)} name no license: {', '.join(unknown)}" if unknown else ""
    print(f"{options.output}: {len(sbom['components'])} packages, valid CycloneDX {VERSION.to_version()}{without}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
