"""Killed, stopped or frozen at any time, again and again: the last run finishes the work, each file once."""

from __future__ import annotations

import random
import signal
import subprocess
from contextlib import suppress

import pytest

from tests.crash.scene import Scene, some_files
from tests.crash.until import until

KINDS = ("folder", "ftp", "sftp", "s3", "azure")


def _killed_again_and_again(scene: Scene, kills: int, dice: random.Random) -> None:
    for number in range(kills):
        scene.plant(some_files(8, number))
        with scene.running() as process, suppress(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0.5, 2.5))
    # A file that was in hand each time when the process died counts as the cause; a person lets it go on.
    code, summary = scene.run()
    while code:
        assert all("with this file in hand" in one["reason"] for one in summary["failures"]), scene.said()
        scene.retry()
        code, summary = scene.run()
    assert [] == scene.faults()


@pytest.mark.parametrize("kind", ["sftp", "folder"])
def test_five_kills_at_random_times_lose_nothing_and_double_nothing(folder, place, kind):
    scene = Scene(folder, place("folder"), {"target": place(kind)}, after="delete", marker=True)
    _killed_again_and_again(scene, 5, random.Random(kind))


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", KINDS)
def test_kills_at_random_times_lose_nothing_and_double_nothing(folder, place, database, kind, seed):
    dice = random.Random(f"{kind} {seed}")
    after = dice.choice(("keep", "delete", "move"))
    scene = Scene(folder, place("sftp"), {"target": place(kind)}, after=after, database=database() if seed % 2 else None)
    _killed_again_and_again(scene, 20, dice)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_a_run_that_is_told_to_stop_ends_soon_and_the_next_one_finishes(folder, place, number):
    slow = {"rate": "200KB/s"}
    scene = Scene(folder, place("folder"), {"target": place("sftp")}, after="delete", source_settings=slow)
    scene.plant(some_files(30, sizes=(30_000,)))
    with scene.running() as process:
        until(lambda: scene.asks("select 1 from claims where kind = 'fetch'"))
        process.send_signal(number)
        assert 128 + number == process.wait(15)
    assert [] == scene.asks("select * from claims")
    scene.source_settings = {}
    scene.write()
    scene.run_well()
    assert [] == scene.faults()
