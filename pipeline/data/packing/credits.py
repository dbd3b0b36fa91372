"""Whose the images of a packed set are, and under which license, as far as the packer knew."""

from __future__ import annotations

from pipeline.data.manifest import Manifest
from pipeline.data.packing.importers import DATASETS

MOST = 12  # lines: a set whose images all have credits of their own would fill a card


def owners(manifest: Manifest) -> tuple[str, ...]:
    """A line for each credit of the set; empty where the packer was told of none.

    The built-in photographs' credits end with their license. Those of a public set name whom to cite; its license is
    its importer's, as its publishers state it.
    """
    licenses = {dataset.credit: dataset.license for dataset in DATASETS.values()}
    lines = [
        f"{whose}: {credit}" + (f"; license: {licenses[credit]}" if credit in licenses else "")
        for whose, credit in manifest.summary.credits
    ]
    left = len(lines) - MOST
    return tuple(lines) if left <= 0 else (*lines[:MOST], f"and {left} more, in the footer of {manifest.uri}")
