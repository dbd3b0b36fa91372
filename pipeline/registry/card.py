"""The model card: what a model was trained on, how its figures were measured, and where it fails."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.registry.client import MAX_DESCRIPTION
from pipeline.registry.harm_tag import harm_section
from pipeline.scoring.harm import Harm
from pipeline.scoring.record import MOST_DB, RESTORED, Score, by_image, mean_psnr
from pipeline.tasks.base import Bounds
from pipeline.wording import counted


def registered_name(task: str) -> str:
    """``denoising_color`` -> ``semanir-denoising-color``."""
    return f"semanir-{task.replace('_', '-')}"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything a stranger needs to judge a model. Raises ValueError when it has no finite figures."""

    task: str
    """Name of the task, a key of ``pipeline.tasks.TASKS``."""
    setting: str
    """The degradation, in words: "Gaussian noise, sigma 25"."""
    trained_on: str
    """The training images, in words."""
    protocol: str
    """How the figures were measured: images, setting, channel, border. Only equal protocols are compared."""
    baseline: str
    """The method that ``baseline_psnr`` is of: "input", "bicubic", "bilinear"."""
    scores: tuple[Score, ...]
    """Of every held-out image, the bad ones too: the baseline and the restored image, and what else was measured."""
    steps: int
    """Optimizer steps trained."""
    data_fingerprint: str
    """Digest of the training data's manifest."""
    git_commit: str
    fingerprint: str
    """Of configuration and data: equal fingerprints would train equal models."""
    limits: tuple[str, ...] = ()
    """What it was not trained for, in sentences."""
    owners: tuple[str, ...] = ()
    """Whose the training images are and under which license, in lines, as far as the packer knew."""
    license: str = "Apache-2.0"
    """Of the weights."""
    config_uri: str | None = None
    """Where the full configuration is, when not in the MLflow run itself."""
    extra_metrics: dict[str, float] = field(default_factory=dict)
    """Further figures to log with the version, such as ``ssim_valid``."""

    bounds: Bounds = field(default_factory=dict)
    """Of noise and JPEG quality, as far as the setting has them: restoring warns of pictures outside."""
    tested_on: tuple[str, str] | None = None
    """Name and digest of the held-out set in MLflow, which its figures are linked to."""
    harm: Harm | None = None
    """Change in PSNR over the whole range of strengths, nothing wrong included; None: not measured."""

    def __post_init__(self) -> None:
        images = self.images
        if not images:
            raise ValueError(f"model card of {self.task} has no held-out scores; a model is not registered without")
        for scores in images:
            for method in (self.baseline, RESTORED):
                if method not in scores:
                    key = next(iter(scores.values())).key
                    raise ValueError(f"held-out image {key} has no score of {method!r}")
                if not math.isfinite(scores[method].psnr_db):
                    raise ValueError(f"held-out PSNR of {scores[method].key} is not finite: {scores[method].psnr_db}")

    @property
    def images(self) -> list[dict[str, Score]]:
        """The scores of each held-out image by method, in the order of the set."""
        return by_image(self.scores)

    @property
    def restored_psnr(self) -> float:
        """Mean over the held-out images in dB: what versions are compared by."""
        return mean_psnr(self.scores, RESTORED)

    @property
    def baseline_psnr(self) -> float:
        """Mean over the held-out images in dB."""
        return mean_psnr(self.scores, self.baseline)

    @property
    def worst_first(self) -> list[tuple[Score, Score]]:
        """Each held-out image by the baseline and restored, in the order of what it gained."""
        pairs = [(scores[self.baseline], scores[RESTORED]) for scores in self.images]
        return sorted(pairs, key=lambda pair: pair[1].psnr_db - pair[0].psnr_db)

    def to_markdown(self, k: int, max_rows: int | None = None, picture: str = "") -> str:
        """The card as text; ``max_rows`` leaves out the best images first, and says how many.

        picture: the address of one of the image that gained least.
        """
        gain = self.restored_psnr - self.baseline_psnr
        pairs = self.worst_first
        shown = pairs[:max_rows]
        lines = [
            f"# SemanIR, {self.task}",
            f"Restores: {self.setting}. Keys per token: k = {k} unless the caller asks otherwise.",
            "## Use",
            "```python",
            "import mlflow",
            f'model = mlflow.pyfunc.load_model("models:/{registered_name(self.task)}@champion")  # or /VERSION',
            "restored = model.predict(images)  # uint8, N x H x W x C, any H and W",
            "```",
            "## Figures",
            *((f"![{shown[0][1].key}, the image that gained least]({picture})", "") if picture else ()),
            f"Protocol: {self.protocol}",
            f"Held-out PSNR {self.restored_psnr:.2f} dB, {self.baseline} {self.baseline_psnr:.2f} dB, "
            f"gain {gain:+.2f} dB over {counted(len(pairs), 'image')}. Worst first:",
            f"| image | {self.baseline} (dB) | restored (dB) | gain (dB) |",
            "|---|---|---|---|",
            *(
                f"| {after.key} | {before.psnr_db:.2f} | {after.psnr_db:.2f} | {after.psnr_db - before.psnr_db:+.2f} |"
                for before, after in shown
            ),
        ]
        if any(MOST_DB in (before.psnr_db, after.psnr_db) for before, after in pairs):
            lines.append(f"An image counts {MOST_DB:g} dB at most, also one equal to the truth.")
        if len(shown) < len(pairs):
            lines.append(f"{len(pairs) - len(shown)} better images are in the model's model_card.md.")
        lines += [
            "## Training",
            f"{self.trained_on} {counted(self.steps, 'optimizer step')}. "
            f"Data {self.data_fingerprint}, code {self.git_commit}"
            + (f", configuration {self.config_uri}." if self.config_uri else "."),
            *(() if not self.owners else ("Training images:", *(f"- {owner}" for owner in self.owners))),
            *(() if self.harm is None else harm_section(self.harm)),
            "## Limits",
            *(f"- {limit}" for limit in self.limits or ("None stated.",)),
            "## License",
            self.license,
        ]
        return "\n".join(lines) + "\n"

    def to_description(self, k: int, picture: str = "") -> str:
        """The card within MLflow's 5000 characters: the table is shortened first, then the text, visibly."""
        rows = len(self.images)
        text = self.to_markdown(k, picture=picture)
        while len(text) > MAX_DESCRIPTION and rows > 1:
            rows = max(1, rows // 2)
            text = self.to_markdown(k, max_rows=rows, picture=picture)
        return within_description(text)


def within_description(text: str) -> str:
    """A card's text, cut visibly to what MLflow keeps of a version's description."""
    note = "\n… cut; the whole card is the model's model_card.md.\n"
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - len(note)] + note
