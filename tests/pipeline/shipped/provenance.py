"""Where a model of no use would come from, for tests that ship one."""

from __future__ import annotations

from pipeline.shipped.provenance import HarmPoint, PhotographCredit, Provenance

HARM = (
    HarmPoint(degradation="clean", strength=0, input_db=None, restored_db=44.0, mean_change=None, worst_change=None),
    HarmPoint(degradation="noise", strength=2, input_db=42.0, restored_db=43.0, mean_change=1.0, worst_change=-0.5),
    HarmPoint(degradation="noise", strength=25, input_db=20.0, restored_db=29.0, mean_change=9.0, worst_change=7.0),
    HarmPoint(degradation="jpeg", strength=95, input_db=40.0, restored_db=39.0, mean_change=-1.0, worst_change=-2.0),
)
PROVENANCE = Provenance(
    task="demosaicking", setting="an RGGB mosaic", bounds={}, recipe="jobs/configs/shipped/ushape.yaml",
    command="python jobs/train_all_tasks.py", overrides=("training.steps=10",), steps=10, recipe_steps=100, batch=8,
    patch=48, hours=0.5, machine="one core", git_commit="0" * 40, data_fingerprint="ab",
    photographs=(PhotographCredit(file="a.png", author="A. Nobody", license="CC0-1.0", source="nowhere"),),
    license_reason="All of them allow it.", harm_protocol="Nothing was measured.", harm=HARM, limits=("Young.",),
)  # fmt: skip
