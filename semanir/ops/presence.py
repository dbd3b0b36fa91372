"""Whether Triton is there, without importing it."""

from __future__ import annotations

import os
from importlib.util import find_spec

# Read once: the answers cannot change, and a compiled graph must not ask. INTERPRETING is read as Triton itself does,
# when it is imported: the kernels then run on CPU tensors, as a test.
HAS_TRITON = find_spec("triton") is not None
INTERPRETING = os.environ.get("TRITON_INTERPRET", "0") == "1"
