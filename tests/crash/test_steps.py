"""kill -9 while files go through their steps: the next run finishes the work, each file once."""

from __future__ import annotations

import io
import itertools
import json
import zipfile

import pytest

from tests.crash.scene import Scene, held, some_files

POINTS = ("committed", "processed:1", "processed:5", "spool-synced:2", "owed")
STEPS = 'steps = [{ kind = "limits", min_size = "0B" }]\n'
SPLIT = 'steps = [{ kind = "unpack" }, { kind = "limits", max_size = "1MB" }]\n'
CASES = list(zip(POINTS, itertools.cycle(("sqlite", "postgresql")), strict=False))


def _scene(folder, place, database, kind: str, route: str, after: str = "keep") -> Scene:
    url = database() if kind == "postgresql" else None
    return Scene(folder, place("folder"), {"target": place("folder")}, after=after, database=url, route=route)


@pytest.mark.parametrize(("point", "kind"), [case for case in CASES if "spool" not in case[0]], ids=str)
def test_a_run_killed_among_the_steps_is_finished_by_the_next(point, kind, folder, place, database):
    scene = _scene(folder, place, database, kind, STEPS, after="delete")
    scene.plant(some_files(12, 1))
    scene.run_dies(point)
    scene.run_well()
    assert [] == scene.faults()


@pytest.mark.parametrize(("point", "kind"), CASES, ids=str)
def test_members_of_an_archive_are_owed_all_or_none_whatever_dies(point, kind, folder, place, database):
    scene = _scene(folder, place, database, kind, SPLIT, after="delete")
    wanted = {}
    for number in range(6):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for member in range(3):
                wanted[b"%d/%d.csv" % (number, member)] = b"%d of %d" % (member, number)
                archive.writestr(f"{member}.csv", wanted[b"%d/%d.csv" % (number, member)])
        scene.source.plant(b"%d.zip" % number, out.getvalue())
    scene.run_dies(point)
    scene.run_well()
    assert wanted == held(scene.targets["target"])
    assert {} == held(scene.source)
    assert [] == list((scene.folder / "data" / "scratch").glob("*/*"))


def test_what_is_bad_is_kept_apart_once_though_it_dies_in_between(folder, place, database):
    scene = _scene(folder, place, database, "sqlite", 'steps = [{ kind = "limits", max_size = "10B" }]\n')
    scene.source.plant(b"large.csv", b"x" * 100)
    scene.source.plant(b"small.csv", b"x")
    scene.run_dies("kept apart")
    assert 1 == scene.run()[0]
    assert {b"small.csv": b"x"} == held(scene.targets["target"])
    [one] = json.loads(scene._told("quarantine", "ls", "--json"))
    assert ("large.csv", 100) == (one["path"], one["size"])
