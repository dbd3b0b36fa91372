"""The model card: what a model was trained on, how its figures were measured, and where it fails."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MAX_DESCRIPTION = 5000  # characters; the width of MLflow's column on PostgreSQL and MySQL


@dataclass(frozen=True, kw_only=True)
class HeldOutImage:
    """Figures of one held-out image in dB: the task's baseline, and the restored image."""

    name: str
    baseline_psnr: float
    restored_psnr: float

    @property
    def gain(self) -> float:
        """restored - baseline in dB; negative when the model made the image worse."""
        return self.restored_psnr - self.baseline_psnr


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything a stranger needs to judge a model. Raises ValueError when it has no finite figures."""

    task: str
    """Name of the task, a key of ``pipeline.tasks.TASKS``."""
    setting: str
    """The degradation, in words: "Gaussian noise, sigma 25"."""
    trained_on: str
    """The training images, in words, with their licence where known."""
    protocol: str
    """How the figures were measured: images, setting, channel, border. Only equal protocols are compared."""
    baseline: str
    """What ``baseline_psnr`` is: "degraded input", "bicubic", "bilinear"."""
    figures: tuple[HeldOutImage, ...]
    """One per held-out image, the bad ones too."""
    steps: int
    """Optimizer steps trained."""
    data_fingerprint: str
    """Digest of the training data's manifest."""
    git_commit: str
    fingerprint: str
    """Of configuration and data: equal fingerprints would train equal models."""
    limits: tuple[str, ...] = ()
    """What it was not trained for, in sentences."""
    licence: str = "Apache-2.0"
    """Of the weights."""
    config_uri: str | None = None
    """Where the full configuration is, when not in the MLflow run itself."""
    extra_metrics: dict[str, float] = field(default_factory=dict)
    """Further figures to log with the version, such as ``ssim_valid``."""

    def __post_init__(self) -> None:
        if not self.figures:
            raise ValueError(f"model card of {self.task} has no held-out figures; a model is not registered without")
        for image in self.figures:
            if not (math.isfinite(image.baseline_psnr) and math.isfinite(image.restored_psnr)):
                raise ValueError(
                    f"held-out figures of {image.name} are not finite: {image.baseline_psnr}, {image.restored_psnr}"
                )

    @property
    def restored_psnr(self) -> float:
        """Mean over the held-out images in dB: what versions are compared by."""
        return sum(image.restored_psnr for image in self.figures) / len(self.figures)

    @property
    def baseline_psnr(self) -> float:
        """Mean over the held-out images in dB."""
        return sum(image.baseline_psnr for image in self.figures) / len(self.figures)

    def to_markdown(self, k: int, max_rows: int | None = None) -> str:
        """The card as text; ``max_rows`` leaves out the best images first, and says how many."""
        gain = self.restored_psnr - self.baseline_psnr
        worst_first = sorted(self.figures, key=lambda image: image.gain)
        shown = worst_first[: len(worst_first) if max_rows is None else max_rows]
        lines = [
            f"# SemanIR, {self.task}",
            f"Restores: {self.setting}. Keys per token: k = {k} unless the caller asks otherwise.",
            "## Figures",
            f"Protocol: {self.protocol}",
            f"Held-out PSNR {self.restored_psnr:.2f} dB, {self.baseline} {self.baseline_psnr:.2f} dB, "
            f"gain {gain:+.2f} dB over {len(self.figures)} images. Worst first:",
            f"| image | {self.baseline} (dB) | restored (dB) | gain (dB) |",
            "|---|---|---|---|",
            *(f"| {i.name} | {i.baseline_psnr:.2f} | {i.restored_psnr:.2f} | {i.gain:+.2f} |" for i in shown),
        ]
        if len(shown) < len(worst_first):
            lines.append(f"{len(worst_first) - len(shown)} better images are in the model's model_card.md.")
        lines += [
            "## Training",
            f"{self.trained_on} {self.steps} optimizer steps. "
            f"Data {self.data_fingerprint}, code {self.git_commit}"
            + (f", configuration {self.config_uri}." if self.config_uri else "."),
            "## Limits",
            *(f"- {limit}" for limit in self.limits or ("None stated.",)),
            "## Licence",
            self.licence,
        ]
        return "\n".join(lines) + "\n"

    def to_description(self, k: int) -> str:
        """The card within MLflow's 5000 characters: the table is shortened first, then the text, visibly."""
        rows = len(self.figures)
        text = self.to_markdown(k)
        while len(text) > MAX_DESCRIPTION and rows > 1:
            rows = max(1, rows // 2)
            text = self.to_markdown(k, max_rows=rows)
        note = "\n… cut; the whole card is the model's model_card.md.\n"
        return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - len(note)] + note
