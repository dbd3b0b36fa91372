"""The results of a run as a sequence of sources that lies on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.packing.sources import fingerprint
from pipeline.errors import UserError
from pipeline.serving.batch.names import Name
from pipeline.serving.batch.shard_sources import ShardSources
from tests.pipeline.serving.batch.test_outcomes import row


def test_it_is_a_sequence_of_what_was_restored(tmp_path: Path) -> None:
    sources = ShardSources(str(tmp_path))
    assert not sources
    sources.fill([row("a.png"), row("b.png", "failed"), row("c/d.e.png", "kept"), row("f.png", "begun"), row("g.png")])
    assert [source.key for source in sources] == ["a", "c/d_e", "g"]
    assert [source.clean.key for source in sources] == ["a.png", "c/d.e.png", "g.png"]
    assert (len(sources), sources[1].key, sources[-1].key) == (3, "c/d_e", "g")
    assert [source.key for source in sources[1:]] == ["c/d_e", "g"]
    assert [source.key for source in sources[:2][1:]] == ["c/d_e"]
    with pytest.raises(IndexError):
        _ = sources[3]


def test_a_later_run_that_kept_all_has_the_same_fingerprint_and_other_pictures_another() -> None:
    def mark(outcome: str, digest: str) -> str:
        sources = ShardSources("out")
        sources.fill([row("a.png", outcome, digest=digest)])
        return fingerprint(sources, "")

    assert mark("restored", "d") == mark("kept", "d") != mark("restored", "e")


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (["a.jpg", "a.m/x.png", "a.png", "a/b.png"], "a"),
        (["a.b.png", "a0.png", "aZ.png", "a_b.png"], "a_b"),
        (["x/a.JPG", "x/a.jpg"], "x/a"),
    ],
)
def test_two_names_of_one_key_are_named_both(names: list[str], key: str) -> None:
    with pytest.raises(UserError, match=f"{names[0]} and {names[-1 if key != 'a' else 2]} would share the key '{key}'"):
        list(ShardSources("out").checked(Name(name, name) for name in names))


def test_names_of_their_own_pass_in_order() -> None:
    names = [Name("a.png", "a.png"), Name("a/", "a/"), Name("a/b.png", "a/b.png"), Name("ab.png", "ab.png")]
    names += [Name("s.tar/k", "s.tar", 0, 5), Name("t.tar/l", "t.tar", 0, 5)]
    assert list(ShardSources("out").checked(names)) == names
    with pytest.raises(UserError, match=r"s\.tar/k and t\.tar/k would share the key 'k'"):
        list(ShardSources("out").checked([names[-2], Name("t.tar/k", "t.tar", 0, 5)]))
