"""`up`: signals, reloads, faults inside, remotes that are away, tables of queues that are gone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.crash.scene import Scene, held, some_files, table
from tests.crash.until import until
from tests.peers.fake_ftp import Cut
from transload.remotes.ftp import FtpRemote
from transload.secret import Secret

pytestmark = pytest.mark.xdist_group("tests/engine/test_up.py")


@pytest.fixture
def scene(folder, place):
    return Scene(folder, place("folder"), {"target": place("folder")}, every="0.2s", quick=True)


def _done(scene: Scene) -> bool:
    return [] == scene.faults()


def _log(scene: Scene) -> str:
    path = scene.folder / "log" / "monitor.log"
    return path.read_text() if path.exists() else ""


def test_what_comes_while_it_is_up_is_taken_and_sigterm_ends_it_well(scene):
    with scene.running("up") as up:
        for turn in range(3):
            scene.plant(some_files(4, turn))
            until(lambda: _done(scene))
        up.terminate()
        assert 0 == up.wait(15)
    assert [] == scene.asks("select * from claims")
    assert [] == scene.asks("select * from workers")


@pytest.mark.slow
def test_where_nothing_is_due_next_to_no_processor_is_used_and_what_comes_is_taken_soon(scene):
    scene.every = "1h"
    scene.write()
    with scene.running("up") as up:
        until(lambda: "up" in _log(scene))
        until(lambda: _used(up.pid, 2.0) < 0.1, 40)
        scene.plant(some_files(4))
        begun = time.monotonic()
        scene.run_well()
        until(lambda: _done(scene))
        assert time.monotonic() - begun < 5
        until(lambda: _used(up.pid, 2.0) < 0.1, 40)
        up.terminate()
        assert 0 == up.wait(15)


def _used(process: int, seconds: float) -> float:
    """Seconds of processor that it uses in the next so many seconds."""
    before = _ticks(process)
    time.sleep(seconds)
    return (_ticks(process) - before) / os.sysconf("SC_CLK_TCK")


def _ticks(process: int) -> int:
    return sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))


def test_sigterm_in_the_middle_ends_soon_and_leaves_the_rest_to_the_next(scene):
    scene.source_settings = {"rate": "200KB/s"}
    scene.after = "delete"
    scene.write()
    scene.plant(some_files(40, sizes=(30_000,)))
    with scene.running("up") as up:
        until(lambda: "moved" in _log(scene) or held(scene.targets["target"]) or scene.asks("select 1 from claims where kind = 'fetch'"))
        up.terminate()
        assert 0 == up.wait(15)
    assert [] == scene.asks("select * from claims")
    assert len(held(scene.targets["target"])) < 40
    scene.source_settings = {}
    scene.write()
    scene.run_well()
    assert [] == scene.faults()


def test_sigterm_does_not_wait_for_a_file_that_takes_for_ever(scene):
    scene.source_settings = {"rate": "100KB/s"}
    scene.write()
    scene.plant(some_files(1, sizes=(5_000_000,)))
    with scene.running("up", TRANSLOAD_TEST_GRACE="0.5") as up:
        until(lambda: scene.asks("select 1 from claims where kind = 'fetch'"))
        up.terminate()
        assert 0 == up.wait(10)
    scene.source_settings = {}
    scene.write()
    scene.run_well()
    assert [] == scene.faults()


HANGS = """
import threading
from transload import step


@step("hangs")
def hangs(file, work):
    threading.Event().wait()
    yield work.keep(file)
"""


@pytest.mark.slow
def test_sigterm_does_not_wait_for_a_step_that_never_returns(scene):
    (scene.folder / "hangs_of_test.py").write_text(HANGS)
    scene.more, scene.route = 'modules = ["hangs_of_test"]\n', 'steps = [{ kind = "hangs" }]\n'
    scene.write()
    scene.plant(some_files(1, sizes=(10,)))
    with scene.running("up", TRANSLOAD_TEST_GRACE="0.1") as up:
        until(lambda: scene.asks("select 1 from claims where kind = 'process'"))
        up.terminate()
        assert 0 == up.wait(20)
    assert ["received"] == [row[0] for row in scene.asks("select state from arrivals")]


def test_a_reload_takes_the_new_config_whole_or_not_at_all(scene):
    with scene.running("up") as up:
        until(lambda: "up" in _log(scene))
        whole = scene.config.read_text()
        scene.config.write_text(whole.replace('after = "keep"', 'after = "kepe"'))
        up.send_signal(signal.SIGHUP)
        until(lambda: "the new config was refused whole" in _log(scene))
        scene.plant(some_files(3))
        until(lambda: _done(scene))
        scene.config.write_text(whole.replace('after = "keep"', 'after = "delete"'))
        up.send_signal(signal.SIGHUP)
        until(lambda: "the new config is in force" in _log(scene))
        scene.plant({b"later.csv": b"later"})
        until(lambda: b"later.csv" not in held(scene.source))
        assert b"later" == held(scene.targets["target"])[b"later.csv"]


def test_a_route_that_left_the_config_with_work_in_flight_goes_on_when_it_is_back(scene):
    scene.plant(some_files(6))
    scene.run_dies("spooled")
    whole = scene.config.read_text()
    scene.config.write_text(whole.replace('name = "r"', 'name = "other"').replace('remote = "source"', 'remote = "source", match = "none"'))
    code, _ = scene.run()
    assert 0 == code, scene.said()
    assert {} == held(scene.targets["target"])
    scene.config.write_text(whole)
    scene.run_well()
    assert [] == scene.faults()


@pytest.mark.parametrize("at", [0, 3], ids=["first", "in-the-middle"])
def test_a_file_that_raises_inside_fails_alone_while_the_others_flow(scene, at):
    files = some_files(8, sizes=(100,))
    scene.plant(files)
    bad = sorted(files)[at]
    scene.route = "attempts = 2\n"
    scene.write()
    with scene.running("up", TRANSLOAD_TEST_POISON=bad.rpartition(b"/")[2].decode(), TRANSLOAD_TEST_POISON_HOW="raise") as up:
        until(lambda: scene.asks("select 1 from arrivals where state = 'failed'"))
        until(lambda: len(held(scene.targets["target"])) == 7)
        up.terminate()
        assert 0 == up.wait(15)
    [(path, reason)] = scene.asks("select path, reason from arrivals where state = 'failed'")
    assert bad == path
    assert "with this file in hand" in reason


def test_a_file_that_raises_inside_first_of_all_holds_up_no_other_of_the_same_run(scene):
    files = some_files(8, sizes=(100,))
    scene.plant(files)
    bad = min(files)
    code, _ = scene.run(TRANSLOAD_TEST_POISON=bad.rpartition(b"/")[2].decode(), TRANSLOAD_TEST_POISON_HOW="raise")
    assert (1, files.keys() - {bad}) == (code, held(scene.targets["target"]).keys())
    assert [(bad, "failed")] == scene.asks("select path, state from arrivals where state != 'delivered'")


def test_a_file_that_kills_the_process_fails_alone_while_the_others_flow(scene):
    files = some_files(8, sizes=(100,))
    scene.plant(files)
    bad = sorted(files)[4]
    codes = []
    while not codes or (codes[-1] < 0 and len(codes) < 8):
        codes.append(scene.run(TRANSLOAD_TEST_POISON=bad.rpartition(b"/")[2].decode())[0])
    assert [-signal.SIGKILL] * 4 + [1] == codes
    assert files.keys() - {bad} == held(scene.targets["target"]).keys()
    assert [(bad, "failed")] == scene.asks("select path, state from arrivals where state != 'delivered'")


def test_a_remote_that_is_away_holds_its_route_with_a_clear_line_and_the_others_go_on(scene, fake_ftp):
    fake_ftp.files |= {b"f%d" % number: b"x" for number in range(5)}
    settings = {
        "host": "127.0.0.1",
        "port": fake_ftp.port,
        "user": "partner",
        "password": Secret(env="TRANSLOAD_TEST_PASSWORD"),
        "tls": "off",
    }
    more = table("gone", FtpRemote(**settings, timeout=5))
    more += '[[routes]]\nname = "away"\nfrom = { remote = "gone" }\nto = [{ remote = "target" }]\nattempts = 1\n'
    fake_ftp.__exit__()
    scene.plant(some_files(4))
    scene.config.write_text(scene.config.read_text() + more)
    code, _ = scene.run()
    assert 1 == code
    assert [] == scene.faults()
    [(error,)] = scene.asks("select error from passes where route = 'away'")
    assert "127.0.0.1" in error
    assert "refused" in error
    code, summary = scene.run()
    assert 0 == summary["fetched"]


def test_a_server_that_hangs_up_at_one_file_holds_that_one_and_no_other(scene, fake_ftp):
    fake_ftp.files |= {b"f%d" % number: b"x" * 100 for number in range(6)}
    fake_ftp.cuts["f2"] = Cut(10, end="reset", reply="close")
    settings = {
        "host": "127.0.0.1",
        "port": fake_ftp.port,
        "user": "partner",
        "password": Secret(env="TRANSLOAD_TEST_PASSWORD"),
        "tls": "off",
    }
    remote = FtpRemote(**settings, timeout=5, connections=1)
    text = scene.config.read_text().replace('from = { remote = "source", settle = "0.2s"', 'from = { remote = "far", settle = "0s"')
    scene.config.write_text(table("far", remote) + text + "attempts = 2\n")
    code, _ = scene.run()
    assert 1 == code
    assert {b"f%d" % number for number in (0, 1, 3, 4, 5)} == held(scene.targets["target"]).keys()
    fake_ftp.cuts.clear()
    code, _ = scene.run()
    assert 0 == code
    assert 6 == len(held(scene.targets["target"]))


def test_a_run_ends_though_the_next_look_of_an_up_is_overdue(scene):
    with scene.running("up") as up:
        until(lambda: scene.asks("select 1 from passes where ended is not null"))
        up.terminate()
        assert 0 == up.wait(15)
    scene.plant(some_files(2))
    assert 2 == scene.run_well()["delivered"]


def test_the_file_of_the_queues_may_be_thrown_away_between_runs(scene):
    scene.plant(some_files(6))
    scene.run_dies("committed")
    for path in (scene.folder / "data").glob("engine.db*"):
        path.unlink()
    scene.run_well()
    assert [] == scene.faults()
