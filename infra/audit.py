"""Look the pinned packages up among known vulnerabilities: python -m infra.audit [FILE …]

Exit code 1: some package has one. Without a way to the index nothing is known: that is said loudly, and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PINS = (ROOT / "constraints.txt", ROOT / "infra" / "sbom_requirements.txt")


def ask(pins: Sequence[Path]) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's finding for each pinned package (none when it got no answer), and what it said besides."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"]
    command += [word for file in pins for word in ("--requirement", str(file))]
    command += ["--progress-spinner", "off", "--timeout", "10", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)["dependencies"], done.stderr
    except (ValueError, KeyError):
        return [], done.stderr


def judge(found: list[dict[str, Any]], said: str) -> tuple[int, list[str]]:
    """Exit code and lines for a person, from what ``ask`` returned."""
    audited = [package for package in found if "vulns" in package]
    if not audited:
        why = said.strip().splitlines()[-1] if said.strip() and not found else "the index knows none of the packages"
        return 0, [f"audit: SKIPPED, NO PACKAGE WAS CHECKED ({why}): run `make lint` with a package index in reach"]
    lines = []
    for package in audited:
        for flaw in package["vulns"]:
            mended = ", ".join(flaw["fix_versions"]) or "no release"
            lines.append(f"audit: {package['name']} {package['version']} has {flaw['id']}, mended in {mended}")
    code = 1 if lines else 0
    if len(audited) < len(found):
        unknown = [package["name"] for package in found if "vulns" not in package]
        lines.append(f"audit: {len(unknown)} packages could not be checked: {', '.join(unknown)}")
    return code, [*lines, f"audit: {len(audited)} packages checked"]


def main() -> int:
    """See the module's docstring."""
    code, lines = judge(*ask([Path(name) for name in sys.argv[1:]] or PINS))
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
