"""kill -9 at every named point on a file's way, then one more run: nothing lost, nothing doubled, nothing half done."""

from __future__ import annotations

import itertools
import random
from typing import NamedTuple

import pytest

from tests.crash.scene import Scene, some_files
from transload.disk import BLOCK

KINDS = ("folder", "ftp", "sftp", "s3", "azure")
AFTERS = ("keep", "delete", "move")
DATABASES = ("sqlite", "postgresql")
# In the order in which a file comes by them; with how often it is passed before the process dies there.
POINTS = (
    "list",
    "seen",
    "moved:3",
    "fetched:1",
    "fetched:7",
    "spool-synced",
    "spool-placed:5",
    "spooled",
    "committed",
    "put",
    "sending:1",
    "sending:6",
    "uploading",
    "staging:4",
    "staged",
    "noted",
    "renamed:1",
    "renamed:5",
    "published",
    "marking",
    "marked",
    "delivered",
    "settling:1",
    "settling:5",
    "settled:1",
    "settled:5",
)
FILES = 12


class Case(NamedTuple):
    point: str
    kind: str
    after: str
    database: str
    source: str
    seed: int

    @property
    def possible(self) -> bool:
        return self.after != "keep" or not self.point.startswith("settl")

    def __str__(self) -> str:
        return f"{self.point}-{self.kind}-{self.after}-{self.database}-from-{self.source}-{self.seed}"


def sample(seed: int) -> list[Case]:
    """Every point once, with all else dealt so that each comes up as often as any other."""
    dice = random.Random(seed)
    decks = {
        name: _deck(dice, cards) for name, cards in (("kind", KINDS), ("after", AFTERS), ("database", DATABASES), ("source", KINDS[:3]))
    }
    cases = []
    for point in POINTS:
        dealt = {name: next(deck) for name, deck in decks.items()}
        if point.startswith("settl"):
            dealt["after"] = dice.choice(AFTERS[1:])
        if point == "uploading":
            dealt["source"] = "folder"
        cases.append(Case(point, seed=seed, **dealt))
    return cases


def _deck(dice, cards):
    while True:
        yield from dice.sample(cards, len(cards))


def everything() -> list[Case]:
    dice = random.Random(1)
    chosen = itertools.product(POINTS, KINDS, AFTERS, DATABASES, range(2))
    cases = (Case(point, kind, after, database, dice.choice(KINDS[:3]), seed) for point, kind, after, database, seed in chosen)
    return [case._replace(source="folder") if case.point == "uploading" else case for case in cases if case.possible]


def _dies_then_runs(case: Case, folder, place, database) -> None:
    scene = Scene(
        folder,
        place(case.source),
        {"target": place(case.kind)},
        after=case.after,
        database=database() if case.database == "postgresql" else None,
        marker=case.point == "marking" or case.seed % 2 == 1,
    )
    files = some_files(FILES, case.seed)
    scene.plant(files)
    # A folder is read in blocks; the bytes that move when all of them have are those of an upload.
    blocks = sum(max(1, -(-len(data) // BLOCK)) for data in files.values())
    scene.run_dies(f"moved:{blocks + 3}" if case.point == "uploading" else case.point)
    scene.run_well()
    assert [] == scene.faults()


@pytest.mark.parametrize("case", sample(0), ids=str)
def test_a_run_killed_at_a_named_point_is_finished_by_the_next(case, folder, place, database):
    _dies_then_runs(case, folder, place, database)


@pytest.mark.prove
@pytest.mark.parametrize("case", everything(), ids=str)
def test_a_run_killed_anywhere_on_the_way_to_anywhere_is_finished_by_the_next(case, folder, place, database):
    _dies_then_runs(case, folder, place, database)
