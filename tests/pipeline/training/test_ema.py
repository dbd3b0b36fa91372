"""The moving average under every ZeRO stage, two processes, against the same recursion on whole weights."""

from __future__ import annotations

from typing import Any

import pytest

CASES: dict[str, dict[str, Any]] = {
    f"stage-{stage}-{precision}": {
        "steps": 3, "global_batch_size": 2, "num_workers": 2, "learning_rate": 1e-2, "ema_decay": 0.9,
        "zero_stage": stage, "precision": precision,
    }
    for stage, precision in [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (3, "bf16")]
}  # fmt: skip


@pytest.fixture(scope="module")
def results(run_group: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_group(tmp_path_factory.mktemp("ema"), "averages", 2, cases=CASES)


@pytest.mark.parametrize("case", CASES)
def test_average_of_the_master_weights(case: str, results: list[dict[str, Any]]) -> None:
    for result in (rank[case] for rank in results):
        assert result["error"] < 1e-6
        assert result["moved"] > 1e-4  # it is an average, not the weights
        assert result["loaded_equal"]
        assert result["weights_kept"]
        assert result["copy_equal"]  # a real SemanIR's consolidated weights, in the engine's precision
