"""Source and output on a real S3 server, which goes away in the middle; packed sources; memory over a long run.

Figures are printed: pytest -s.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from statistics import median

import psutil
import pytest

from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.restoring.read import read_picture
from pipeline.restoring.restorer import Restorer
from pipeline.restoring.write import encode
from pipeline.storage import open_storage
from tests.pipeline.seaweed import Seaweed
from tests.pipeline.serving.batch.driver import IMAGES, Driver, results, rows_by_source, running
from tests.pipeline.serving.conftest import make_images

AWAY_S = 20.0
MIB = 2**20
# A leak of one 16 x 16 picture an image would be 3 MiB per 1,000 as the model's floats; of a line of the record, less.
MOST_MIB_PER_THOUSAND = 2.0

pytestmark = pytest.mark.slow


def upload(folder: Path, uri: str, names: list[str]) -> None:
    store = open_storage(uri)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write(name, (folder / name).read_bytes()), names))


class Memory:
    """What the driver and each worker had for themselves (USS: not what they share), by the count of images done."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._seen: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)

    def look(self, done: int) -> None:
        for who, process in [("driver", self._driver.process), *(("worker", one) for one in self._driver.workers())]:
            try:
                self._seen[who, process.pid].append((done, process.memory_full_info().uss / MIB))
            except psutil.Error:
                continue  # it has just ended

    def slopes(self, since: int) -> list[tuple[str, float, float, int]]:
        """Of each process that was seen often enough: who, MiB per 1,000 images, its most MiB, and how many looks.

        The slope is Theil and Sen's, the median of those of all pairs: a page more or less at one moment is none.
        """
        found = []
        for (who, _), looks in self._seen.items():
            warm = [(done, uss) for done, uss in looks if done >= since]
            each = [
                (after - before) / (late - early) * 1000
                for (early, before), (late, after) in combinations(warm, 2)
                if late > early
            ]
            if len(warm) >= 10 and each:
                found.append((who, median(each), max(uss for _, uss in looks), len(warm)))
        return found


def test_s3_away_for_twenty_seconds_costs_no_image_and_memory_stays_flat(
    seaweed: Seaweed, tiny_model: Path, tmp_path: Path
) -> None:
    names = make_images(tmp_path / "in", IMAGES)
    source, output = "s3://tests/restored-from", "s3://tests/restored-to"
    upload(tmp_path / "in", source, names)
    with running(source, output, tiny_model, tmp_path / "log") as driver:
        memory = Memory(driver)
        driver.reach(IMAGES * 6 // 10, memory.look)
        assert driver.alive(), driver.printed()
        before = results(output)
        assert 0 < len(before) < IMAGES
        seaweed.stop()
        with pytest.raises(psutil.TimeoutExpired):  # it waits for the store all the while
            driver.process.wait(AWAY_S)
        seaweed.start()
        seaweed.wait()
        assert set(before) <= set(results(output))
        driver.reach(IMAGES + 1, memory.look)
        assert driver.end() == 0, driver.printed()
    assert results(output) == names
    rows = rows_by_source(output)
    assert sorted(rows) == names
    assert {row.outcome for row in rows.values()} == {"restored"}, driver.printed()
    assert f"{IMAGES} restored, 0 done before, 0 failed" in driver.printed()
    assert not any(entry.key for entry in open_storage(output).list("_restoring/"))
    restorer = Restorer(tiny_model, k=3, device="cpu")
    for name in names[:: IMAGES // 8]:
        assert open_storage(output).read(name) == encode(restorer.restore(read_picture(tmp_path / "in" / name)))
    slopes = memory.slopes(since=IMAGES // 5)
    for who, slope, most, looks in slopes:
        sys.stdout.write(f"\n{who}: {slope:+.2f} MiB per 1,000 images over {looks} looks, {most:.0f} MiB at most")
    assert [who for who, *_ in slopes] == ["driver", "worker", "worker"]
    assert max(slope for _, slope, *_ in slopes) < MOST_MIB_PER_THOUSAND


def test_a_packed_data_set_on_s3_becomes_a_file_for_each_key_on_s3(
    seaweed: Seaweed, tiny_model: Path, tmp_path: Path
) -> None:
    images, output = tmp_path / "in", "s3://tests/unpacked-to"
    names = make_images(images, 24)
    pack_dataset(folder_sources(str(images)), "s3://tests/packed-from", PackSettings(shard_bytes=20_000))
    with running("s3://tests/packed-from", output, tiny_model, tmp_path / "log") as driver:
        assert driver.end() == 0, driver.printed()
    assert results(output) == sorted(f"{name.rpartition('.')[0]}.png" for name in names)
    rows = rows_by_source(output)
    assert len({source.rpartition(".tar/")[0] for source in rows}) > 1  # shards
    assert len(rows) == len(names)
    assert {row.outcome for row in rows.values()} == {"restored"}
