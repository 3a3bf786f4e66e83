"""`run`: once, beside others, after others."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.crash.scene import PROGRAM, Scene, some_files
from tests.crash.until import until


@pytest.fixture
def scene(folder, place):
    return Scene(folder, place("folder"), {"target": place("folder")}, every="1h")


def _command(scene: Scene, *words: str) -> None:
    subprocess.run([PROGRAM, *words, "-c", str(scene.config)], env=scene.environment, check=True, capture_output=True, timeout=30)


def test_a_run_by_hand_does_the_work_of_a_paused_route(scene):
    scene.run_well()
    _command(scene, "pause", "r")
    scene.plant(some_files(3))
    assert 3 == scene.run_well()["delivered"]
    assert [] == scene.faults()


def test_a_run_beside_up_hands_over_and_follows(scene):
    scene.plant({b"first": b"1"})
    with scene.running("up") as up:
        until(scene.targets["target"].files)
        scene.plant(some_files(12))
        assert 12 == scene.run_well()["delivered"]
        assert [] == scene.faults()
        workers = _workers(scene)
        assert [up.pid] == [worker["pid"] for worker in workers]
        up.terminate()
        assert 0 == up.wait(20)


def _workers(scene: Scene) -> list[dict]:
    done = subprocess.run([PROGRAM, "status", "--json", "-c", str(scene.config)], env=scene.environment, check=False, capture_output=True)
    return json.loads(done.stdout)["workers"]


def test_a_run_that_follows_takes_over_when_the_other_is_killed(scene):
    scene.source_settings = {"rate": "400KB/s"}
    scene.write()
    scene.plant(some_files(8, sizes=(200_000,)))
    with scene.running("up") as up:
        until(lambda: len(scene.targets["target"].files()) >= 1)
        with scene.running() as run:
            until(lambda: scene.asks("select asked from passes where asked > started"))
            up.send_signal(signal.SIGKILL)
            said, _ = run.communicate(timeout=40)
    assert 0 == run.returncode, said + scene.said().encode()
    assert [] == scene.faults()


def test_two_runs_at_once_do_no_harm(scene):
    scene.after = "delete"
    scene.write()
    scene.plant(some_files(20))
    with scene.running() as one, scene.running() as other:
        for run in (one, other):
            run.communicate(timeout=40)
            assert 0 == run.returncode, scene.said()
    assert [] == scene.faults()
