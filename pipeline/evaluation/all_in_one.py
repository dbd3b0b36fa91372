"""What models for several degradations at once reach, in their papers' own protocol.

``all_in_one_published.csv`` says of every row where it was printed, and which rows look wrong.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pipeline.evaluation.published import plain

# Sets of other protocols (weather, composite degradations) and the means over sets stand in the file for reading only.
SETTINGS = {"3task": "3", "5task": "5"}
ALIASES = {"cbsd68": "bsd68"}  # these papers say BSD68 and mean its color images
SOURCE = "pipeline/evaluation/all_in_one_published.csv, which names the source of each"


@dataclass(frozen=True)
class AllInOneRow:
    """One printed figure. degradations: "3" (noise, rain, haze) or "5" (and blur, low light) trained together.

    setting: "sigma=25", or empty for sets of real pairs. doubt: "doubtful" where the file has a reason, else empty.
    """

    method: str
    degradations: str
    dataset: str
    setting: str
    psnr_db: float
    ssim: float | None
    params_m: float | None
    doubt: str


def all_in_one_rows(setting: Mapping[str, str], dataset: str, paired: bool) -> list[AllInOneRow]:
    """Rows of the same set and noise, best first. setting: as ``plan.describe_setting`` gives it."""
    wanted = "" if paired else f"sigma={setting.get('sigma', '')}"
    name = ALIASES.get(plain(dataset), plain(dataset))
    found = [row for row in load_all_in_one() if plain(row.dataset) == name and row.setting == wanted]
    return sorted(found, key=lambda row: (row.degradations, -row.psnr_db))


@cache
def load_all_in_one() -> tuple[AllInOneRow, ...]:
    """The committed file's rows in the all-in-one papers' protocol, without means over sets."""
    with files("pipeline.evaluation").joinpath("all_in_one_published.csv").open(encoding="utf-8") as file:
        return tuple(
            AllInOneRow(
                row["method"],
                SETTINGS[row["setting"]],
                row["dataset"].partition("_sigma")[0],
                "sigma=" + row["dataset"].partition("_sigma")[2] if "_sigma" in row["dataset"] else "",
                float(row["psnr"]),
                float(row["ssim"]) if row["ssim"] else None,
                float(row["params_m"]) if row["params_m"] else None,
                "doubtful" if any(word in row["source"] for word in ("DOUBTFUL", "CHECK")) else "",
            )
            for row in csv.DictReader(file)
            if row["setting"] in SETTINGS and row["dataset"] != "average"
        )
