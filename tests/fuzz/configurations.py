"""What people write: configurations, sweeps, and what follows ``--set``."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import read_config, resolve
from pipeline.tuning.space import corner_values, read_sweep, trial_config
from tests.fuzz.case import Case

ROOT = Path(__file__).resolve().parents[2]


def configuration_cases(scratch: Path) -> list[Case]:
    """Below ``scratch``, which is made."""
    scratch.mkdir()
    first_run = ROOT / "jobs/configs/first_run.yaml"
    path, sweep = scratch / "config.yaml", scratch / "sweep.yaml"
    document = read_config(first_run)

    def configuration(data: bytes) -> object:
        path.write_bytes(data)
        return resolve(read_config(path), "denoising_gray")

    def sweeping(data: bytes) -> object:
        sweep.write_bytes(data)
        found = read_sweep(sweep)
        return trial_config(document, found, next(corner_values(found)))

    def override(data: bytes) -> object:
        return resolve(document, "sr_x2", [data.decode("utf-8", "surrogateescape")])

    return [
        Case("configuration", first_run.read_bytes(), configuration),
        Case("sweep", (ROOT / "jobs/configs/sweeps/k_and_depths.yaml").read_bytes(), sweeping),
        Case("--set", b"training={steps: 20, betas: [0.9, 0.99], schedule: {kind: cosine}}", override),
    ]
