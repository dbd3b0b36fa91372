"""Runs whose process was killed: MLflow would show them as running for ever."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pipeline.registry.client import connect
from pipeline.registry.tracking import FOLDER_TAG, RUN_NAME_TAG

MOST_RUNS = 1000


def close_lost_runs(experiment_id: str, but: Collection[str], is_alive: Callable[[str], bool]) -> list[str]:
    """Mark the RUNNING runs of an experiment as KILLED whose folder nobody writes to; returns their names.

    but: identities (RUN_NAME_TAG) that are not looked at, because their driver has just begun. is_alive: whether a
    folder has a living writer; a run takes its folder before it is RUNNING, and gives it up after.
    """
    client = connect()
    alive: dict[str, bool] = {}
    closed = []
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=MOST_RUNS):
        folder = run.data.tags.get(FOLDER_TAG)
        if folder is None or run.data.tags.get(RUN_NAME_TAG) in but:
            continue
        if folder not in alive:
            alive[folder] = is_alive(folder)
        if not alive[folder]:
            client.set_terminated(run.info.run_id, "KILLED")
            closed.append(str(run.info.run_name))
    return closed
