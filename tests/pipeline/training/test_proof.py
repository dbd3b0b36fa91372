"""A checkpoint is whole when all ranks' lists are there, of one saving, and every file is what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.proof import LARGEST_LIST, Damaged, Saving, agreed_files, list_name, proof_of, prove, worlds_of


def saved(folder: Path, world_size: int, step: int = 4, attempts: list[int] | None = None) -> dict[str, bytes]:
    """A checkpoint of ``world_size`` ranks in ``folder``; its lists by name."""
    for rank in range(world_size):
        own = folder / f"rank{rank}"
        (own / "engine").mkdir(parents=True)
        (own / "engine" / f"{rank}.safetensors").write_bytes(bytes([rank]) * (10 + rank))
        prove(own, Saving(rank, world_size, step, (attempts or [7] * world_size)[rank]))
    names = [list_name(rank, world_size) for rank in range(world_size)]
    return {name: (folder / f"rank{rank}" / name).read_bytes() for rank, name in enumerate(names)}


@pytest.mark.parametrize("world_size", [1, 3])
def test_the_lists_of_all_ranks_name_all_files(world_size: int, tmp_path: Path) -> None:
    files = agreed_files(saved(tmp_path, world_size), world_size, 4)
    assert sorted(files) == [f"engine/{rank}.safetensors" for rank in range(world_size)]
    for rank in range(world_size):
        assert files[f"engine/{rank}.safetensors"] == proof_of(
            tmp_path / f"rank{rank}" / "engine" / f"{rank}.safetensors"
        )
    assert files["engine/0.safetensors"].length == 10


def test_parts_of_two_savings_make_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="different savings"):
        agreed_files(saved(tmp_path, 2, attempts=[1, 2]), 2, 4)


def test_another_steps_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="another checkpoint's"):
        agreed_files(saved(tmp_path, 1, step=4), 1, 6)


def test_any_changed_byte_of_a_list_is_seen(tmp_path: Path) -> None:
    (name, content), *_ = saved(tmp_path, 1).items()
    for place in range(len(content)):
        for bit in (0, 2, 5):
            altered = bytearray(content)
            altered[place] ^= 1 << bit
            try:
                files = agreed_files({name: bytes(altered)}, 1, 4)
            except Damaged:
                continue
            # White space between the values is no content.
            assert files == agreed_files({name: content}, 1, 4)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"null", b'{"sha256": 1}', b"[" * 100_000, b"\xff", b" " * (LARGEST_LIST + 1),
        json.dumps({"files": {"../outside": {"length": 1, "sha256": ""}}, "sha256": ""}).encode(),
    ],
    ids=["empty", "list", "object", "null", "number", "nested", "bytes", "large", "outside"],
)  # fmt: skip
def test_what_is_no_list_is_damage(content: bytes) -> None:
    with pytest.raises(Damaged):
        agreed_files({list_name(0, 1): content}, 1, 4)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=12))
def test_a_world_counts_when_none_of_its_ranks_is_missing(present: list[tuple[int, int]]) -> None:
    names = [list_name(rank, world) for rank, world in present]
    for world in range(1, 5):
        complete = all((rank, world) in present for rank in range(world))
        assert (world in worlds_of([*names, "state.json", "parts/x.json"])) == complete
