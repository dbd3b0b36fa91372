"""The tests' own S3 server: ports that never meet, and an end that may have come by itself."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.seaweed import Seaweed, free_ports


def test_no_port_is_what_another_adds_to_its_own() -> None:
    for _ in range(200):
        ports = free_ports(4)
        assert len({*ports, *(port + 10_000 for port in ports)}) == 8
        assert not set(ports) & {port + 10_000 for port in ports}
        assert all(10_000 <= port < 20_000 for port in ports)


def test_a_server_that_has_ended_by_itself_is_stopped_in_silence(tmp_path: Path) -> None:
    server = Seaweed(tmp_path)
    server.ports = [1, 1, 1, 1]  # on which it cannot start
    server.start()
    assert server.process is not None
    server.process.wait(60)
    server.stop()
    assert server.process is None
