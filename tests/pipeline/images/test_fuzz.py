from __future__ import annotations

import builtins
import os
from typing import Any

import pytest

from tests.pipeline.images import fuzz


def test_mutated_files_give_an_image_or_our_own_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz.run(42)  # decoders are imported when they are first needed
    real = builtins.open

    def guarded(file: Any, *rest: Any, **options: Any) -> Any:
        assert isinstance(file, int) or os.fspath(file).startswith(("/proc", "/sys")), f"it opened {file!r}"
        return real(file, *rest, **options)

    monkeypatch.setattr(builtins, "open", guarded)
    fuzz.run(1000)


@pytest.mark.slow
def test_200_000_mutated_files() -> None:
    assert sum(fuzz.run(200_000).values()) == 200_000
