"""Finite loss spikes: a step whose loss or gradient norm stands far above those before it is not taken.

The rule, the same on every rank because both figures are sums over all of them: after ``warmup_steps`` taken steps, a
step is a spike when its loss or its gradient norm (before clipping) is more than ``threshold`` standard deviations
above its exponentially weighted mean, and by more than a hundredth of it. ZClip (Kumar et al. 2025, section 3) keeps
these averages, of the norm, to clip; to leave the step out instead, at six standard deviations, of loss and norm alike,
is what OLMo's SkipStepOptimizer and levanter's skip_bad_steps do. A spike moves neither average.

One spike: the step is left out, as if its batch had not been. ``patience`` of them in a row: the weights went wrong
before the first, unseen. The run goes back to the newest checkpoint from ``patience`` steps before it, one of which is
always kept, and passes over the batches of these ``patience`` steps and of the spikes. What is left out is a function
of the run's own state, which checkpoints keep: a run that is killed anywhere, also while it goes back, leaves out the
same again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pipeline.config import SpikeSettings

LEAST_SHARE = 0.01  # of the mean: the least that a standard deviation counts as


@dataclass
class RunningAverage:
    """Mean and variance of a series: of all values at first, then weighted exponentially, the latest most.

    West (1979) for equal weights, Finch, "Incremental calculation of weighted mean and variance" (2009), eq. 143.
    """

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float, decay: float) -> None:
        """Take in a value; the earlier ones keep at least 1 - 1 / n, at most ``decay`` of their weight."""
        self.count += 1
        share = max(1 / self.count, 1 - decay)
        above = value - self.mean
        self.mean += share * above
        self.variance = (1 - share) * (self.variance + share * above * above)

    def deviations(self, value: float) -> float:
        """By how many standard deviations ``value`` is above the mean."""
        deviation = max(math.sqrt(self.variance), LEAST_SHARE * abs(self.mean))
        return (value - self.mean) / deviation if deviation else 0.0


@dataclass
class SpikeState:
    """What a checkpoint keeps.

    streak: spikes in a row up to now. left_out: steps (counted from 0) whose batches are passed over.
    """

    loss: RunningAverage = field(default_factory=RunningAverage)
    gradient_norm: RunningAverage = field(default_factory=RunningAverage)
    streak: int = 0
    left_out: list[int] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SpikeState:
        averages = {name: RunningAverage(**values[name]) for name in ("loss", "gradient_norm")}
        return cls(**{**values, **averages})


class RollBack(Exception):
    """The run is to go on from a checkpoint of at most ``step`` steps, without the batches of ``left_out``."""

    def __init__(self, step: int, left_out: list[int]) -> None:
        super().__init__(f"the loss stays up: back to a checkpoint of {step} steps or fewer")
        self.step, self.left_out = step, left_out


class SpikeRule:
    """Judges steps by ``settings``, and notes in ``state`` what it found; the same on every rank.

    Attributes:
        why: of the last step, in words, what made it a spike; "" when it was none.
    """

    def __init__(self, settings: SpikeSettings, state: SpikeState) -> None:
        self._settings, self.state, self.why = settings, state, ""

    @property
    def watches(self) -> bool:
        """Whether the rule is on."""
        return self._settings.threshold is not None

    def passes_over(self, step: int) -> bool:
        """Whether the batch of ``step`` (from 0) was left out, before or after a going back."""
        return step in self.state.left_out

    def takes(self, loss: float, gradient_norm: float) -> bool:
        """Whether a step with these figures is to be taken."""
        figures = {"loss": loss, "gradient norm": gradient_norm}
        averages = {"loss": self.state.loss, "gradient norm": self.state.gradient_norm}
        self.why = ""
        if self._settings.threshold is not None and self.state.loss.count >= self._settings.warmup_steps:
            self.why = ", ".join(
                f"{name} {value:.4g} is {above:.1f} standard deviations above {averages[name].mean:.4g}"
                for name, value in figures.items()
                if not (above := averages[name].deviations(value)) <= self._settings.threshold
            )
        if self.why:
            return False
        for name, value in figures.items():
            averages[name].add(value, self._settings.decay)
        return True

    def forget(self) -> None:
        """Another phase begins: its losses are of other patches, at another rate."""
        self.state.loss, self.state.gradient_norm, self.state.streak = RunningAverage(), RunningAverage(), 0

    def note(self, step: int, taken: bool) -> RollBack | None:
        """``step`` (from 0), whose loss was finite, is over: leave its batch out if it was not ``taken``.

        Returns where the run is to go back to when it was the last of ``patience`` in a row.
        """
        if taken:
            self.state.streak = 0
            return None
        self.why = self.why or "its gradient is not finite"  # DeepSpeed found that, and asked nobody
        self.state.streak += 1
        self.state.left_out.append(step)
        if self.state.streak < self._settings.patience:
            return None
        first = max(0, step + 1 - self._settings.steps_back)
        return RollBack(first, sorted({*self.state.left_out, *range(first, step + 1)}))

    def too_many(self, back: RollBack | None) -> int:
        """How many steps are left out, once the run went ``back``, where it may not leave out so many; else 0."""
        number = len(back.left_out if back else self.state.left_out)
        return number if number > self._settings.most else 0
