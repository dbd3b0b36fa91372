"""On a GPU no micro-batch waits for the host: one read of all losses a step, after the last gradient is queued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.pipeline.training.host_reads import counted_reads

SETTINGS: dict[str, Any] = {
    "global_batch_size": 6, "micro_batch_size": 2, "num_workers": 1, "steps": 3, "gradient_clipping": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(), lambda x: x.tolist(), lambda x: float(x.sum()), lambda x: bool((x > 0).any()),
        lambda x: x.nonzero(), lambda x: x.cpu(), lambda x: x.to("cpu"), lambda x: x.to(device="cpu"),
        lambda x: x.numpy(), lambda x: x[x > 0], lambda x: torch.equal(x, x), lambda x: f"{x.sum():.3f}",
        lambda x: "yes" if torch.isfinite(x).all() else "no", lambda x: x.masked_select(x > 0),
    ],
)  # fmt: skip
def test_a_read_is_counted_once(read: Callable[[torch.Tensor], object]) -> None:
    x = torch.rand(4)
    with counted_reads() as reads:
        y = (x.reshape(2, 2) * 2).to(torch.float64).mean()
        assert reads == []
        read(x)
    assert len(reads) == 1
    assert y.item() > 0  # outside: not counted
    assert len(reads) == 1


@pytest.fixture(scope="module")
def steps(run_group: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Per case, the reads of each step: how many until the last micro-batch was queued, and how many to agree."""
    cases: dict[str, Any] = {f"stage-{stage}": {"settings": {**SETTINGS, "zero_stage": stage}} for stage in range(4)}
    cases["bf16"] = {"settings": {**SETTINGS, "zero_stage": 1, "precision": "bf16"}}
    cases["seen"] = {"settings": {**SETTINGS, "zero_stage": 0}, "peek": True}
    (result,) = run_group(tmp_path_factory.mktemp("reads"), "reads", 1, cases=cases)
    return result


@pytest.mark.parametrize("case", [*(f"stage-{stage}" for stage in range(4)), "bf16"])
def test_the_host_reads_once_a_step_and_not_before_the_last_gradient(case: str, steps: dict[str, Any]) -> None:
    # In its first step DeepSpeed's stage 3 records the order in which parameters are wanted, and reads to do so.
    counted = steps[case][1:] if case == "stage-3" else steps[case]
    assert [step["queued"] for step in counted] == [[]] * len(counted)
    assert [step["agreed"] for step in steps[case]] == [["tolist"]] * 3


def test_a_read_in_a_micro_batch_is_seen(steps: dict[str, Any]) -> None:
    """A loss that looks at its own value, once a micro-batch."""
    assert [step["queued"] for step in steps["seen"]] == [["item"] * 3] * 3
