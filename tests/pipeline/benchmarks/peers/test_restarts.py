"""Real consumers are killed and resumed: ours exactly on any allowed world, plain WebDataset as its users do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.benchmark import main
from pipeline.benchmarks.peers.consumers import Program, Run, consumer_environment, read_events
from pipeline.benchmarks.peers.contest import Contest, Contestant
from pipeline.benchmarks.peers.damages import DAMAGES, JPEG_DAMAGES, measure_damages, measure_doubled_key
from pipeline.benchmarks.peers.measure import broken_promises
from pipeline.benchmarks.peers.outcome import Outcome
from pipeline.benchmarks.peers.pictures import make_pictures
from pipeline.benchmarks.peers.restarts import Unusable, check_pixels, measure_restarts
from pipeline.benchmarks.peers.store import CountingStore

SAMPLES = 48
OURS = Contestant("ours", "0", Program(sys.executable, "ours"))
REPLAYED = Contestant("WebDataset, replayed", "1", Program(sys.executable, "webdataset_peer", "replayed"))


@pytest.fixture
def contest(tmp_path: Path) -> Iterator[Contest]:
    truth = make_pictures(tmp_path / "pictures", SAMPLES, 32)
    for name in ("store", "home"):
        (tmp_path / name).mkdir()
    with CountingStore(tmp_path / "store") as store:
        environment = consumer_environment(store.endpoint, tmp_path / "home")
        yield Contest(tmp_path, tmp_path / "pictures", truth, store, environment, 200.0)


def test_pictures_are_all_different_and_the_same_each_time(tmp_path: Path) -> None:
    truth = make_pictures(tmp_path / "a", SAMPLES, 32)
    assert len(set(truth.values())) == SAMPLES
    assert truth == make_pictures(tmp_path / "b", SAMPLES, 32)


@pytest.mark.slow  # a dozen processes, a minute of work
def test_our_stream_killed_and_resumed_on_other_worlds_is_exact(contest: Contest) -> None:
    assert contest.write(OURS, "d") == ""
    rows = list(measure_restarts(contest, OURS, "d", lambda line: None))
    assert [(row["world"], row["resumed"]) for row in rows] == [(2, False), (2, True), (1, True), (3, True)]
    assert [(row["lost"], row["doubled"], row["moved"]) for row in rows] == [(0, 0, 0)] * 4
    assert all(row.get("failure") is None and row["seconds"] > 0 and 0 < row["mib_first"] <= row["mib"] for row in rows)
    assert broken_promises([{"kind": "restart", **row} for row in rows]) == []


@pytest.mark.slow
def test_webdataset_is_exact_only_on_the_world_whose_epoch_it_replays(contest: Contest) -> None:
    assert contest.write(REPLAYED, "d") == ""
    rows = {(row["world"], row["resumed"]): row for row in measure_restarts(contest, REPLAYED, "d", lambda line: None)}
    same, one = rows[2, True], rows[1, True]
    assert (same["lost"], same["doubled"], same["moved"]) == (0, 0, 0)
    assert one["lost"] == one["doubled"] > 0
    assert same["mib"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("contestant", [OURS, REPLAYED], ids=lambda contestant: contestant.name)
def test_damage(contest: Contest, contestant: Contestant) -> None:
    assert contest.write(contestant, "d") == ""
    rows = [
        *measure_damages(contest, contestant, "d", DAMAGES, lambda line: None),
        *measure_doubled_key(contest, contestant, "d-doubled", lambda line: None),
    ]
    found = {row["damage"]: row["outcome"] for row in rows}
    if contestant is OURS:
        assert set(found.values()) == {Outcome.NAMED, Outcome.REFUSED}
        return
    assert found["shard cut between samples"] == Outcome.LOST
    assert found["two samples of one key"] != Outcome.REFUSED


@pytest.mark.slow
@pytest.mark.parametrize("contestant", [OURS, REPLAYED], ids=lambda contestant: contestant.name)
def test_a_flipped_byte_of_a_jpeg_is_seen_by_who_has_checksums(
    contest: Contest, contestant: Contestant, tmp_path: Path
) -> None:
    truth = make_pictures(tmp_path / "jpeg", SAMPLES, 32, jpeg_quality=90)
    of_jpeg = replace(contest, pictures=tmp_path / "jpeg", truth=truth)
    assert of_jpeg.write(contestant, "j") == ""
    whole = of_jpeg.epoch(contestant, "j", "whole", world=1, workers=1)
    assert dict(whole.digests()) == truth  # all decode it as Pillow does
    (row,) = measure_damages(of_jpeg, contestant, "j", JPEG_DAMAGES, lambda line: None)
    assert row["outcome"] == (Outcome.NAMED if contestant is OURS else Outcome.WRONG), row


def test_other_pixels_are_an_error(contest: Contest) -> None:
    event = {"event": "batch", "step": 1, "keys": ["p000000"], "digests": ["0"], "time": 1.0}
    with pytest.raises(Unusable, match="delivers other pixels for 'p000000'"):
        check_pixels(contest, OURS, Run([[event]], 0.0, 1.0, [0]))


def test_the_last_line_of_a_killed_process_may_be_cut(tmp_path: Path) -> None:
    (tmp_path / "events").write_text('{"event": "ready"}\n{"event": "ba')
    assert read_events(tmp_path / "events") == [{"event": "ready"}]
    assert read_events(tmp_path / "none") == []


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["peers", "--samples", "24"]) == 2
    assert "--samples must be at least 120, five to a shard; got 24" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["peers", "--only", "LitData", "--environments", str(tmp_path / "file")]) == 2
    assert "name a folder that can be written" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the peers' installation, on few pictures: all have all their rows, and ours keeps its promises."""
    output = tmp_path / "rows.jsonl"
    arguments = ["peers", "--samples", "120", "--side", "32", "--environments", str(tmp_path / "environments")]
    assert main([*arguments, "--output", str(output)]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert {row["library"] for row in rows if row["kind"] == "restart"} == {
        "ours", "LitData", "mosaicml streaming", "WebDataset, replayed", "WebDataset, resampled",
    }  # fmt: skip
    damage = [row for row in rows if row["kind"] == "damage"]
    assert len(damage) == 5 * 5
    assert {row["outcome"] for row in damage} <= {outcome.value for outcome in Outcome}
    assert sum(row["kind"] == "peer" for row in rows) == 3
    assert "measured in" in capsys.readouterr().out
