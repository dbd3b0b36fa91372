"""What a sweep reports: winner, Pareto front, table, pictures."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.tuning.plots import parallel_coordinates, psnr_against_k
from pipeline.tuning.results import TrialResult, finished, pareto_front, result_rows, results_table, winner


def result(
    number: int, psnr: float, macs: int, status: str = "finished", k: int = 4, rate: float = 1e-3
) -> TrialResult:
    return TrialResult(
        trial=f"t{number}", values={"model.k": k, "model.depths": [1, 1, 1], "training.learning_rate": rate},
        status=status, step=8, psnr=psnr, macs=macs, parameters=1000, k=k, depths=(1, 1, 1),
    )  # fmt: skip


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(pairs)
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    results = [result(number, psnr, macs) for number, (psnr, macs) in enumerate(points)]
    front = pareto_front(results)

    def beats(one: TrialResult, other: TrialResult) -> bool:
        no_worse = one.psnr >= other.psnr and one.macs <= other.macs
        return no_worse and (one.psnr > other.psnr or one.macs < other.macs)

    for member in front:
        assert not any(beats(other, member) for other in results)
    for other in results:
        # Of equals, one stands for all.
        assert other in front or any(
            beats(member, other) or (member.psnr, member.macs) == (other.psnr, other.macs) for member in front
        )
    assert [member.macs for member in front] == sorted(member.macs for member in front)


def test_only_finished_trials_can_win() -> None:
    stopped, failed = result(0, 99, 1, "stopped"), result(1, -math.inf, 1, "failed")
    cheap, costly = result(2, 30, 10), result(3, 30, 20)
    assert winner([stopped, failed, costly, cheap]) == cheap
    assert finished([stopped, failed]) == []
    assert winner([stopped, failed]) is None


def test_table_and_rows_have_every_trial() -> None:
    results = [result(0, 30.25, 2 * 10**9), result(1, 31.5, 4 * 10**9), result(2, -math.inf, 1, "failed")]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(results_table(results, 256))
    text = console.export_text()
    assert text.index("31.50 *") < text.index("30.25 *") < text.index("failed")
    rows = result_rows(results)
    assert [row["psnr_db"] for row in rows] == [30.25, 31.5, None]
    assert [row["pareto"] for row in rows] == [True, True, False]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_pictures_are_drawn(count: int, tmp_path: Path) -> None:
    results = [result(n, 30 + n % 5, 10**9 * (1 + n), k=4 << (n % 3), rate=1e-3 * (n + 1)) for n in range(count)]
    results.append(result(99, 20, 10**9, "stopped"))
    for figure in (psnr_against_k(results, "a task"), parallel_coordinates(results, "a task")):
        assert figure.axes[0].get_title().startswith("a task: ")
        figure.savefig(tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 5000
    axes = psnr_against_k(results, "a task").axes[0]
    drawn = [offset for collection in axes.collections[:-1] for offset in collection.get_offsets().tolist()]
    assert sorted(drawn) == sorted([r.k, r.psnr] for r in results if r.status == "finished")
