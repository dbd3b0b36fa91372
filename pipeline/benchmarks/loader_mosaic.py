"""mosaicml-streaming in another Python: the child that reads, and the handle that asks it for rounds.

    python -m pipeline.benchmarks.loader_mosaic OUR_SHARDS MDS_FOLDER PATCH_SIZE

The child writes its own format from our shards, says "ready", then answers each number of samples on a line with
the CPU and the wall seconds that they took, and "probe" with the digests of an epoch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class MosaicChild:
    """A running child process."""

    def __init__(self, python: str, shards: str, folder: Path, patch_size: int) -> None:
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            [python, "-m", "pipeline.benchmarks.loader_mosaic", shards, str(folder), str(patch_size)],
            cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.version = self._answer()["ready"]

    def seconds(self, samples: int) -> tuple[float, float]:
        """(CPU, wall) seconds of the next samples."""
        answer = self.ask(str(samples))
        return answer["cpu"], answer["wall"]

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line, await the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the mosaicml-streaming process ended with status {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def child(shards: str, folder: str, patch_size: int) -> None:
    """Serve rounds on standard input and output."""
    import numpy as np
    import streaming
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader

    from pipeline.benchmarks.loader_probe import Probe
    from pipeline.benchmarks.loaders import MICRO_BATCH, _Positions
    from pipeline.data.manifest import load_manifest
    from pipeline.data.patches import make_patch_sampler
    from pipeline.data.reader import DatasetReader
    from pipeline.tasks import TASKS

    torch.set_num_threads(1)
    manifest = load_manifest(shards)
    reader = DatasetReader(manifest)
    with streaming.MDSWriter(out=folder, columns={"key": "str", "clean": "png"}) as writer:
        for shard, entry in enumerate(manifest.shards):
            for row in range(entry.samples):
                pair = reader.decode((shard, row), reader.fetch([(shard, row)])[shard, row])
                writer.write({"key": pair.key, "clean": Image.fromarray(pair.clean)})

    def open_batches(make_sample: Any, epochs: int) -> Any:
        make = _Positions(make_sample)

        class Patches(streaming.StreamingDataset):
            def __getitem__(self, index: int) -> Any:
                sample = super().__getitem__(index)
                return make(sample["key"], np.asarray(sample["clean"]))

        dataset = Patches(local=folder, shuffle=True, batch_size=MICRO_BATCH)
        for _ in range(epochs):
            yield from DataLoader(dataset, batch_size=MICRO_BATCH)

    task = TASKS["denoising_color"]
    batches = open_batches(make_patch_sampler(task, task.settings(), patch_size), 10**6)
    next(batches)
    print(json.dumps({"ready": streaming.__version__}), flush=True)
    for line in sys.stdin:
        if line.strip() == "probe":
            probe = Probe()
            for _ in open_batches(probe, 1):
                pass
            print(json.dumps(probe.digests), flush=True)
            continue
        cpu, wall, left = time.process_time(), time.perf_counter(), int(line)
        while left > 0:
            left -= len(next(batches)["gt"])
        print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}), flush=True)


if __name__ == "__main__":
    child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
