"""Files that were altered at random: read, or refused by an exception of ours in one line – in bounded time and memory.

The seeds are kept: mutation n of a kind is the same on every machine. ``make test-slow`` runs many more of them.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import semanir
from pipeline.config import read_config, resolve
from pipeline.data.images import encode_image
from pipeline.data.manifest import MANIFEST_NAME, load_manifest
from pipeline.data.packing.encode import PackSettings
from pipeline.data.packing.pack import pack_dataset
from pipeline.data.packing.sources import folder_sources
from pipeline.errors import UserError
from pipeline.registry import AlteredModelError, sealed
from pipeline.restoring.restorer import Restorer
from pipeline.storage import open_storage
from pipeline.storage.lease import _UNREADABLE, FOLDER, _died_here, _numbers, _read

ROOT = Path(__file__).resolve().parents[2]
SHORT, LONG = 150, 40_000
MOST_SECONDS = 20.0
MOST_GROWTH = 1 << 20  # KiB of memory over all mutations of a kind
TOKENS = [
    *(b"[", b"]", b"{", b"}", b":", b",", b"- ", b"&a ", b"*a", b"<<: ", b"!!", b"'", b'"', b"\n", b"\n  ", b"0"),
    *(b"-1", b"1e999", b".nan", b"9" * 21, b"null", b"true", b"\xff", b"\x00", b"../", b"%", b"|", b"~", b"#", b"?"),
    b"\\ud800",
]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to eight changes: bits, bytes, tokens, pieces cut, doubled, moved or put in many times."""
    content = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(content) + 1)
        end = min(len(content), at + chance.choice((1, 2, 8, 64, 1024)))
        kind = chance.randrange(7)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[at:end] = chance.randbytes(end - at)
        elif kind == 2:
            content[at:at] = chance.choice(TOKENS)
        elif kind == 3:
            del content[at:end]
        elif kind == 4:
            content[at:at] = content[at:end]
        elif kind == 5:
            content[at:at] = chance.choice(TOKENS) * chance.choice((2, 40, 2000))
        else:
            del content[at:]
    return bytes(content)


Reader = Callable[[bytes], object]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


def configuration(place: Path) -> tuple[bytes, Reader]:
    path = place / "config.yaml"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return resolve(read_config(path), "denoising_gray")

    return (ROOT / "jobs/configs/first_run.yaml").read_bytes(), read


def manifest(place: Path) -> tuple[bytes, Reader]:
    folder, output = place / "images", place / "packed"
    folder.mkdir()
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(encode_image(image, "png"))
    pack_dataset(folder_sources(str(folder)), str(output), PackSettings(shard_bytes=3000))
    path = output / MANIFEST_NAME

    def read(data: bytes) -> object:
        path.write_bytes(data)
        found = load_manifest(str(output))
        return [found.rows(number) for number in range(len(found.shards))]

    return path.read_bytes(), read


def model_configuration(place: Path) -> tuple[bytes, Reader]:
    torch.manual_seed(0)
    folder = semanir.save(semanir.create_model("ushape_tiny", in_channels=1, out_channels=1), place / "model")
    path = folder / "config.json"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return Restorer(folder, device="cpu")

    return path.read_bytes(), read


def digests(place: Path) -> tuple[bytes, Reader]:
    folder = place / "sealed"
    folder.mkdir()
    for name in (sealed.WEIGHTS_FILE, sealed.CONFIG_FILE, sealed.PROBE_FILE, sealed.TASK_FILE):
        (folder / name).write_bytes(name.encode())
    sealed.write_digests(folder)
    path = folder / sealed.DIGESTS_FILE

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return sealed.verify_digests(folder)

    return path.read_bytes(), read


def lease(place: Path) -> tuple[bytes, Reader]:
    store = open_storage(str(place / "leased"))

    def read(data: bytes) -> object:
        store.write(f"{FOLDER}000001.json", data)
        owners = [owner for number in _numbers(store) if (owner := _read(store, number))]
        if any(_died_here(owner) or owner == _UNREADABLE for owner in owners):
            raise UserError("nobody holds this")
        return owners

    return b'{"name": "a", "since": "b", "nonce": "c", "process": "d/e/1/2", "beat": 3, "released": false}', read


KINDS = [configuration, manifest, model_configuration, digests, lease]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("count", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_no_exception_but_ours(kind: Callable[[Path], tuple[bytes, Reader]], count: int, place: Path) -> None:
    scratch = place / f"{kind.__name__}-{count}"
    scratch.mkdir()
    sound, read = kind(scratch)
    read(sound)
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for number in range(count):
        data = mutate(sound, random.Random(f"{kind.__name__} {number}"))
        started = time.process_time()
        try:
            read(data)
        except (UserError, AlteredModelError) as error:
            refused += 1
            if "\n" in str(error):
                raise AssertionError(f"mutation {number} of {kind.__name__} is refused in several lines") from error
        except Exception as error:
            raise AssertionError(f"mutation {number} of {kind.__name__}: {type(error).__name__}: {error}") from error
        assert time.process_time() - started < MOST_SECONDS, number
    assert refused > count // 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH
