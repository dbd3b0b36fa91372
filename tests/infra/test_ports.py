"""Ports are chosen free, remembered, and renewed part by part."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import ports

ALL_NAMES = [name for names in ports.NAMES.values() for name in names]


@given(seed=st.integers(0, 2**32), taken=st.sets(st.integers(ports.FIRST_PORT, ports.LAST_PORT), max_size=50))
def test_chosen_ports_are_distinct_and_keep_clear_of_those_taken(seed: int, taken: set[int]) -> None:
    chosen = ports.choose(["a", "b", "c"], taken, random.Random(seed))
    assert len(set(chosen.values())) == 3
    assert not taken & set(chosen.values())


def test_ports_keep_clear_of_rays_workers_and_of_outgoing_connections() -> None:
    assert ports.FIRST_PORT > 19999
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if not ephemeral.exists():
        pytest.skip("this system does not tell its ephemeral ports")
    low = int(ephemeral.read_text().split()[0])
    assert low > ports.LAST_PORT


def test_remembered_ports_stay(tmp_path: Path) -> None:
    first = ports.settle({}, running=[])
    assert sorted(first) == sorted(ALL_NAMES)
    (tmp_path / "ports.json").write_text(ports.dump(first))
    assert ports.settle(ports.load(tmp_path / "ports.json"), running=[]) == first


def test_a_port_that_somebody_took_renews_its_part_only() -> None:
    first = ports.settle({}, running=[])
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["mlflow"]))
        other.listen()
        second = ports.settle(first, running=[])
        held_by_us = ports.settle(first, running=["mlflow"])
    assert second["mlflow"] != first["mlflow"]
    assert {n: p for n, p in second.items() if n != "mlflow"} == {n: p for n, p in first.items() if n != "mlflow"}
    assert held_by_us == first


@pytest.mark.parametrize("text", ["", '{"s3": 20', "[1, 2]", '{"s3": "twenty"}'])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    assert ports.load(tmp_path / "ports.json") == {}


def test_running_out_of_ports_is_an_error() -> None:
    with pytest.raises(OSError, match="no free port"):
        ports.choose(["a"], taken=range(ports.FIRST_PORT, ports.LAST_PORT + 1))
