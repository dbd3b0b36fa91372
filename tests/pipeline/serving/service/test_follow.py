from __future__ import annotations

import asyncio
from pathlib import Path

from pipeline.errors import UserError
from pipeline.serving.service.follow import RETRY_S, Follower
from pipeline.serving.service.replica import Vetted
from pipeline.serving.service.versions import Version

ONE, TWO, THREE = (Version(f"models:/m/{number}", str(number)) for number in (1, 2, 3))


class World:
    """A registry and replicas that say what a test wants."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.points_at: dict[str, Version | Exception] = {}
        self.bad: dict[Version, str] = {}
        self.held: Version | None = None
        self.vetted: list[Version] = []
        self.now = 0.0
        self.follower = Follower(addresses, self.vet, self.resolve, lambda: self.now)

    def resolve(self, address: str) -> tuple[Version, Path]:
        found = self.points_at[address]
        if isinstance(found, Exception):
            raise found
        return found, Path()

    async def vet(self, name: str, version: Version) -> Vetted:
        self.vetted.append(version)
        return Vetted(self.bad.get(version, ""), self.held)

    def look(self) -> list[str]:
        return asyncio.run(self.follower.look())


def test_what_has_proven_itself_takes_over_and_what_has_not_never_serves() -> None:
    world = World({"m": "models:/m@champion", "fixed": "models:/f/1"})
    world.points_at = {"models:/m@champion": ONE, "models:/f/1": THREE}
    assert sorted(world.look()) == ["fixed", "m"]
    assert world.look() == []
    assert world.vetted == [ONE, THREE]  # nothing is vetted twice, and a fixed version is not asked for again

    world.points_at["models:/m@champion"], world.bad[TWO] = TWO, "its probe is off by 90 of 255 levels"
    assert world.look() == []
    assert world.follower.current["m"] == ONE
    assert "models:/m/2 does not serve: its probe is off" in world.follower.problems["m"]
    tried = len(world.vetted)
    world.look()
    assert len(world.vetted) == tried  # not at every look
    world.now += RETRY_S
    world.look()
    assert len(world.vetted) == tried + 1

    world.points_at["models:/m@champion"] = THREE
    assert world.look() == ["m"]
    assert world.follower.current["m"] == THREE
    assert world.follower.problems == {}


def test_a_silent_registry_changes_nothing() -> None:
    world = World({"m": "models:/m@champion"})
    world.points_at = {"models:/m@champion": ONE}
    world.look()
    world.points_at = {"models:/m@champion": UserError("no MLflow server answers")}
    assert world.look() == []
    assert world.follower.current["m"] == ONE
    assert world.follower.problems["m"] == "no MLflow server answers"
    world.points_at = {"models:/m@champion": ONE}
    world.look()
    assert world.follower.problems == {}


def test_a_new_front_learns_from_the_replicas_what_served_before() -> None:
    world = World({"m": "models:/m@champion"})
    world.points_at, world.bad[TWO], world.held = {"models:/m@champion": TWO}, "altered", ONE
    assert world.look() == ["m"]
    assert world.follower.current["m"] == ONE
    assert "altered" in world.follower.problems["m"]
    world.held = None
    fresh = Follower({"m": "models:/m@champion"}, world.vet, world.resolve)
    assert asyncio.run(fresh.look()) == []
    assert fresh.current == {}
