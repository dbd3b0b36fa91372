"""Where the aliases end, for any history of registrations and rollbacks, and when another writer comes in between.

The registry here is a table in memory with MLflow's five calls; the same rule against MLflow itself, with racing
processes, is in test_register.py and test_server.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.registry import promotion
from pipeline.registry.promotion import CHALLENGER, CHAMPION, METRIC_TAG, PROTOCOL_TAG, settle
from pipeline.registry.versions import all_versions

NAME = "semanir-sr-x2"


class Page(list[Any]):
    """A page of versions, and where the next one begins."""

    token: str | None = None


@dataclass
class Table:
    """Versions and aliases of one model; pages of two. ``meanwhile`` is called once, after the first alias is set."""

    figures: list[float]
    aliases: dict[str, str] = field(default_factory=dict)
    meanwhile: Any = None
    writes: int = 0

    def get_registered_model(self, name: str) -> SimpleNamespace:
        assert name == NAME
        return SimpleNamespace(aliases=dict(self.aliases))

    def search_model_versions(self, query: str, max_results: int, page_token: str | None) -> Page:
        assert query == f"name='{NAME}'"
        assert max_results >= 2
        assert page_token is None or page_token.isdigit()
        start = int(page_token or 0)
        newest_first = list(enumerate(self.figures, start=1))[::-1]
        page = Page(
            SimpleNamespace(version=str(number), tags={METRIC_TAG: str(figure), PROTOCOL_TAG: "one"})
            for number, figure in newest_first[start : start + 2]
        )
        page.token = str(start + 2) if start + 2 < len(newest_first) else None
        return page

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        assert name == NAME
        self.aliases[alias] = version
        self.writes += 1
        if self.meanwhile:
            then, self.meanwhile = self.meanwhile, None
            then(self)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        assert name == NAME
        del self.aliases[alias]
        self.writes += 1


def best(figures: list[float]) -> int:
    return 1 + figures.index(max(figures))


@given(st.lists(st.integers(10, 50).map(float), min_size=1, max_size=7))
def test_each_registration_ends_as_champion_or_challenger(figures: list[float]) -> None:
    table = Table([])
    for number in range(1, len(figures) + 1):
        table.figures = figures[:number]
        became = settle(table, NAME, number)  # type: ignore[arg-type]
        assert table.aliases[CHAMPION] == str(best(table.figures))
        if number == best(table.figures):
            assert became == CHAMPION
        else:
            assert became == CHALLENGER
            assert table.aliases[CHALLENGER] == str(number)
        assert table.aliases.get(CHALLENGER) != table.aliases[CHAMPION]


def test_settling_again_writes_nothing() -> None:
    table = Table([20.0, 30.0, 25.0])
    assert settle(table, NAME, 3) == CHALLENGER  # type: ignore[arg-type]
    writes = table.writes
    assert settle(table, NAME, 3) == CHALLENGER  # type: ignore[arg-type]
    assert settle(table, NAME, 2) == CHAMPION  # type: ignore[arg-type]
    assert settle(table, NAME, 1) == ""  # type: ignore[arg-type]
    assert table.writes == writes


def test_a_registration_that_comes_in_between_is_seen() -> None:
    """A better version appears, and its writer is overtaken, just after this one set its alias."""
    table = Table([20.0, 30.0])

    def other(table: Table) -> None:
        table.figures.append(40.0)
        table.aliases[CHAMPION] = "1"  # what a third, late writer left

    table.meanwhile = other
    assert settle(table, NAME, 2) == CHALLENGER  # type: ignore[arg-type]
    assert table.aliases == {CHAMPION: "3", CHALLENGER: "2"}


def test_a_challenger_that_became_champion_is_challenger_no_more() -> None:
    table = Table([20.0, 30.0], {CHAMPION: "1", CHALLENGER: "2"})
    assert settle(table, NAME, 2) == CHAMPION  # type: ignore[arg-type]
    assert table.aliases == {CHAMPION: "2"}


def test_a_champion_stays_while_nobody_is_better_and_may_stand_by_hand() -> None:
    for champion, newest in (("1", 2), ("2", 1)):
        table = Table([30.0, 30.0], {CHAMPION: champion, CHALLENGER: str(newest)})
        assert settle(table, NAME, newest) == CHALLENGER  # type: ignore[arg-type]
        assert (table.aliases[CHAMPION], table.writes) == (champion, 0)
    table = Table([20.0, 30.0], {CHAMPION: "9"})  # a version without figures, placed by hand
    assert settle(table, NAME, 2) == CHALLENGER  # type: ignore[arg-type]
    assert table.aliases == {CHAMPION: "9", CHALLENGER: "2"}


def test_aliases_that_never_settle_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table([20.0, 30.0])

    def forget(name: str, alias: str, version: str) -> None:
        table.writes += 1

    monkeypatch.setattr(table, "set_registered_model_alias", forget)
    with pytest.raises(RuntimeError, match=f"the aliases of {NAME} did not settle in {promotion.MAX_ROUNDS} rounds"):
        settle(table, NAME, 2)  # type: ignore[arg-type]
    assert table.writes == promotion.MAX_ROUNDS


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_every_page_of_versions_is_read_and_the_oldest_comes_first(count: int) -> None:
    versions = all_versions(Table([20.0] * count), NAME)  # type: ignore[arg-type]
    assert [int(version.version) for version in versions] == list(range(1, count + 1))
