from __future__ import annotations

from pipeline.serving.batch.journal import Journal, fold, journal_rows
from pipeline.serving.batch.outcomes import RECORD_NAME, read_record
from pipeline.storage import open_storage
from tests.pipeline.serving.batch.test_outcomes import row


def test_what_a_worker_finished_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.serving.batch.journal.WRITE_EVERY_S", 0)
    store = open_storage(str(tmp_path))
    first = Journal(store, 3)
    assert not first.cautious
    first.add(row("b"))
    first.add(row("a"))  # it dies here
    second = Journal(store, 3)
    assert second.cautious
    assert [one.source for one in second.rows] == ["a", "b"]
    second.add(row("c"))
    second.finish()
    third = Journal(store, 3)
    assert not third.cautious
    assert [one.source for one in third.rows] == ["a", "b", "c"]


def test_a_file_that_workers_die_of_is_left_alone_and_no_other(tmp_path):
    store = open_storage(str(tmp_path))
    Journal(store, 0).begin("poison")  # the first death: nobody knows of what
    for _ in range(2):  # more than one, or a worker that was killed would cost its file
        journal = Journal(store, 0)
        assert journal.begin("harmless")
        journal.add(row("harmless"))
        assert journal.begin("poison")
    last = Journal(store, 0)
    assert last.begin("harmless")
    assert not last.begin("poison")


def test_folding_merges_journals_into_the_record_and_may_be_repeated(tmp_path):
    store = open_storage(str(tmp_path))
    for number, sources in enumerate((["a", "b"], ["c"])):
        journal = Journal(store, number)
        for source in sources:
            journal.add(row(source, "failed" if source == "b" else "restored"))
        journal.finish()
    assert [one.source for one in journal_rows(store)] == ["a", "b", "c"]
    fold(store)
    fold(store)
    again = Journal(store, 0)
    for one in (row("a", "kept"), row("b", digest="new")):
        again.add(one)
    again.finish()
    fold(store)
    assert [(one.source, one.outcome, one.digest) for one in read_record(store)] == [
        ("a", "restored", "d"),
        ("b", "restored", "new"),
        ("c", "restored", "d"),
    ]
    assert [path.name for path in tmp_path.rglob("*")] == [RECORD_NAME]
