from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.serving.batch.names import Name
from pipeline.serving.batch.outcomes import (
    RECORD_NAME,
    SCHEMA,
    UNKNOWN_SIZE,
    Outcome,
    Row,
    merge,
    read_record,
    write_rows,
)
from pipeline.serving.batch.parts import part_key, read_part, with_known, write_plan
from pipeline.serving.batch.rows_file import ROW_GROUP
from pipeline.storage import open_storage

SOURCES = st.sets(st.text("abc/é\ud7ff", min_size=1, max_size=4), max_size=12)


def row(source: str, outcome: str = "restored", settings: str = "s", digest: str = "d") -> Row:
    return Row(
        source=source,
        target=source,
        digest=digest,
        model="m",
        settings=settings,
        k=4,
        seconds=0.5,
        outcome=outcome,
    )


@given(SOURCES, st.dictionaries(st.text("abc/é", min_size=1, max_size=4), st.sampled_from(list(Outcome)), max_size=12))
def test_a_later_row_replaces_an_earlier_one_unless_it_kept_it(earlier, later):
    merged = list(
        merge(
            (row(source, digest="old") for source in sorted(earlier)),
            (row(source, later[source], digest="new") for source in sorted(later)),
        )
    )
    # A folder that could not be read, or a name that is not UTF-8, is told of by its own run alone.
    gone = {source for source in earlier - set(later) if source.endswith("/") or "\ud7ff" in source}
    assert [one.source for one in merged] == sorted((earlier | set(later)) - gone)
    for one in merged:
        stays = one.source in earlier and later.get(one.source, Outcome.KEPT) == Outcome.KEPT
        assert one.digest == ("old" if stays else "new")


@given(SOURCES, SOURCES)
def test_a_name_knows_what_was_restored_with_the_same_settings_only(listed, recorded):
    outcomes = {source: ("restored", "failed")[number % 3 == 2] for number, source in enumerate(sorted(recorded))}
    settings = {source: ("s", "other")[number % 4 == 3] for number, source in enumerate(sorted(recorded))}
    record = [row(source, outcomes[source], settings[source], f"digest of {source}") for source in sorted(recorded)]
    planned = list(with_known((Name(source, source) for source in sorted(listed)), record, "s"))
    assert [one.source for one in planned] == sorted(listed)
    for one in planned:
        done = outcomes.get(one.source) == "restored" and settings[one.source] == "s"
        assert one.known_digest == (f"digest of {one.source}" if done else "")


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"]])
def test_a_listing_out_of_order_is_refused(names):
    with pytest.raises(UserError, match="out of order"):
        list(with_known((Name(name, name) for name in names), [], "s"))


def test_records_are_written_and_read_in_groups(tmp_path):
    store = open_storage(str(tmp_path))
    rows = [row(f"{number:06d}") for number in range(ROW_GROUP + 7)]
    write_rows(store, RECORD_NAME, rows)
    assert list(read_record(store)) == rows
    assert [path.name for path in tmp_path.iterdir()] == [RECORD_NAME]


def test_a_record_that_is_not_ours_or_damaged_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    store = open_storage(str(tmp_path))
    assert list(read_record(store)) == []
    pq.write_table(pa.table({"x": [1]}), tmp_path / RECORD_NAME)
    with pytest.raises(UserError, match="another record"):
        list(read_record(store))
    (tmp_path / RECORD_NAME).write_bytes(b"PAR1" * 10)
    with pytest.raises(UserError, match="damaged"):
        list(read_record(store))


def test_the_plan_is_cut_into_parts_that_hold_every_name_once(tmp_path):
    store = open_storage(str(tmp_path))
    names = [Name(f"{number:03d}", f"key{number}", number, None if number % 2 else 5, b"x") for number in range(11)]
    assert write_plan(store, with_known(names, [], "s"), per_part=4) == (3, 11)
    rows = [one for part in range(3) for one in read_part(store, part)]
    assert [(one.source, one.key, one.start, one.length) for one in rows] == [
        (name.source, name.key, name.start, name.length) for name in names
    ]
    assert part_key(9) < part_key(10)


def test_a_record_of_an_earlier_program_is_read(tmp_path):
    """Its rows have no size; its failures name a place where the file may be anybody's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    store = open_storage(str(tmp_path))
    table = pa.Table.from_pylist([asdict(row("a")), asdict(row("b", "failed"))], schema=SCHEMA)
    pq.write_table(table.drop_columns(["size"]), tmp_path / RECORD_NAME)
    assert list(read_record(store)) == [row("a"), row("b", "failed")]
    assert [one.made() for one in read_record(store)] == ["a", ""]
    (planned, _) = with_known((Name(name, name) for name in "ab"), read_record(store), "s")
    assert (planned.known_digest, planned.known_target, planned.known_size) == ("d", "a", UNKNOWN_SIZE)
    (planned,) = with_known([Name("a", "a")], read_record(store), "s", anew=True)
    assert (planned.known_digest, planned.known_target) == ("", "a")
