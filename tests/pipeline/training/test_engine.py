"""DeepSpeed's engine against plain PyTorch on the same global batches, every ZeRO stage, two processes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

SETTINGS: dict[str, Any] = {
    "global_batch_size": 8, "micro_batch_size": 2, "num_workers": 2,
    "optimizer": "adamw", "weight_decay": 0.01, "learning_rate": 3e-3, "gradient_clipping": 0.5,
}  # fmt: skip


POISONED = [*((stage, "fp32") for stage in range(4)), (0, "bf16"), (1, "bf16"), (3, "bf16")]
DROPPED = 5  # of the steps, counted from 0


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plain_worker", Path(__file__).parent / "plain_worker.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def charbonnier(restored: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
    """LapSRN's loss with its ε of 1e-3, written again: a reference takes nothing from what it checks."""
    return torch.sqrt((restored - gt) ** 2 + 1e-3**2).mean()


def plain_training(steps: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The reference: one process, the whole global batch at once, torch.optim.AdamW."""
    worker = load_worker()
    model = worker.small_net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=SETTINGS["learning_rate"], weight_decay=0.01)
    losses = []
    for step in range(steps):
        lq, gt = worker.global_batch(step, SETTINGS["global_batch_size"])
        optimizer.zero_grad()
        loss = charbonnier(model(lq), gt)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["gradient_clipping"])
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict()


@pytest.fixture(
    scope="module", params=[12, pytest.param(50, marks=pytest.mark.slow)], ids=lambda steps: f"{steps}-steps"
)
def steps(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def results(steps: int, run_group: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every case, on two processes started once; per rank, by case."""
    settings = {**SETTINGS, "steps": steps}
    cases: dict[str, dict[str, Any]] = {
        f"stage-{stage}": {"settings": {**settings, "zero_stage": stage}} for stage in range(4)
    }
    for stage in (2, 3):
        offload = {"offload_optimizer": {"device": "cpu"}}
        cases[f"stage-{stage}-offload"] = {"settings": {**settings, "zero_stage": stage, "zero_optimization": offload}}
    everything = {"offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}}
    cases["stage-3-offload-param"] = {"settings": {**settings, "zero_stage": 3, "zero_optimization": everything}}
    for stage, precision in POISONED:
        given = {**settings, "zero_stage": stage, "precision": precision}
        cases[f"poisoned-{stage}-{precision}"] = {"settings": given, "poison": [DROPPED]}
        cases[f"without-{stage}-{precision}"] = {"settings": given, "omit": [DROPPED]}
    return run_group(tmp_path_factory.mktemp("engine"), "engines", 2, cases=cases)


MATCHING = [*(f"stage-{stage}" for stage in range(4)), "stage-2-offload", "stage-3-offload", "stage-3-offload-param"]


@pytest.mark.parametrize("case", MATCHING)
def test_two_workers_match_plain_pytorch(case: str, steps: int, results: list[dict[str, Any]]) -> None:
    first, second = (result[case] for result in results)
    losses, weights = plain_training(steps)
    assert first["losses"] == second["losses"]
    assert first["losses"] == pytest.approx(losses, rel=1e-5)
    for name, value in weights.items():
        torch.testing.assert_close(torch.tensor(first["weights"][name]), value, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("case", MATCHING)
def test_saved_state_and_consolidated_weights_are_the_engine(case: str, results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result[case]["reloaded_equal"]
        assert result[case]["copy_equal"]


@pytest.mark.parametrize(("stage", "precision"), POISONED)
def test_a_step_with_a_non_finite_loss_never_was(stage: int, precision: str, results: list[dict[str, Any]]) -> None:
    for result in results:
        poisoned, without = (result[f"{kind}-{stage}-{precision}"] for kind in ("poisoned", "without"))
        assert poisoned["losses"] == [*without["losses"][:DROPPED], None, *without["losses"][DROPPED:]]
        for kept in ("weights", "moments", "counted"):
            assert poisoned[kept] == without[kept]


def test_counts_of_all_ranks_are_summed(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["stage-0"]["tally"] == [0 + 1, 10 + 10]
