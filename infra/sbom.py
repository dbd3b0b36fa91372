"""Write the SBOM of this install, in CycloneDX: python -m infra.sbom [--output FILE]

Every package that is installed beside this project, with version, license and what depends on what. CycloneDX's tool
has an environment of its own, which the first call makes: the list holds what runs, and not what lists it. Exit code 1:
what was made is not valid by CycloneDX's own schema, which comes with the tool; 2: the tool cannot be installed, or
FILE cannot be written.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "semanir-on-ray"
VERSION = "1.6"
REQUIREMENTS = ROOT / "infra" / "sbom_requirements.txt"
VALIDATOR = ROOT / "infra" / "sbom_validator.py"


def tool(folder: Path) -> Path:
    """The Python of the tool's own environment, which is made in ``folder`` unless it is there and up to date.

    Raises:
        RuntimeError: pip failed; with the last line that it said.
    """
    python, stamp = folder / "bin" / "python", folder / REQUIREMENTS.name
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing CycloneDX's tool into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "-r", str(REQUIREMENTS)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def gather(lister: Path, python: Path) -> dict[str, Any]:
    """The tool's own account of the environment that ``python`` runs in. lister: the Python that has the tool."""
    command = [str(lister), "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--spec-version", VERSION, "--gather-license-texts", "--output-reproducible"]
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


def problem(lister: Path, text: str) -> str:
    """What CycloneDX's validator has against an SBOM, in one line; "" when it is valid."""
    command = [str(lister), str(VALIDATOR), VERSION]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())[:300]


def unwritable(output: Path) -> str | None:
    """Why a file cannot be written there, as far as it is known before it is made; None: nothing is known."""
    if output.is_dir():
        return "this is a folder; name a file"
    if not output.parent.is_dir():
        return f"there is no folder {output.parent}; make it first"
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        return "it may not be written; name another place"
    return None


def main(arguments: list[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("sbom.cdx.json"), help="(default: sbom.cdx.json)")
    options = parser.parse_args(arguments)
    if (found := unwritable(options.output)) is not None:  # what follows takes minutes
        print(f"error: --output {options.output}: {found}", file=sys.stderr)
        return 2
    try:
        lister = tool(Path(sys.prefix) / "sbom")
    except (RuntimeError, OSError) as error:
        print(f"error: CycloneDX's tool cannot be installed: {error}", file=sys.stderr)
        return 2
    sbom = gather(lister, Path(sys.executable))
    unknown = complete(sbom)
    text = json.dumps(sbom, indent=1) + "\n"
    if found := problem(lister, text):
        print(f"error: the SBOM is not valid CycloneDX {VERSION}: {found}", file=sys.stderr)
        return 1
    options.output.write_text(text, encoding="utf-8")
    without = f"; {len(unknown)} name no license: {', '.join(unknown)}" if unknown else ""
    print(f"{options.output}: {len(sbom['components'])} packages, valid CycloneDX {VERSION}{without}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
