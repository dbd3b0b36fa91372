"""In the environment of CycloneDX's tool: print what its schema has against the SBOM on standard input."""

from __future__ import annotations

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.from_version(sys.argv[1])).validate_str(sys.stdin.read())
print("" if error is None else error.data)
