"""Several workers on one PostgreSQL ledger: work of the dead is taken over, limits hold over all, the frozen do no harm."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.scene import Scene, held, some_files
from tests.crash.until import until

pytestmark = pytest.mark.xdist_group("tests/engine/test_fleet.py")
WITHIN = 60


@pytest.fixture
def scene(folder, place, database):
    """A slow source, so that there is time to kill."""
    return Scene(
        folder,
        place("sftp"),
        {"target": place("folder")},
        after="delete",
        every="1h",
        quick=True,
        database=database(),
        source_settings={"rate": "200KB/s"},
        route="batch = { files = 8 }\n",
    )


def _count(scene: Scene) -> int:
    return sum(not name.startswith(b".transload") for name in held(scene.targets["target"]))


def _done(scene: Scene) -> bool:
    return [] == scene.faults()


def test_a_worker_that_is_killed_with_all_the_slots_is_succeeded_by_the_other(scene):
    scene.plant(some_files(80, sizes=(10_000,)))
    other = scene.another("other")
    with scene.running("up") as one:
        until(lambda: _count(scene) > 8)
        with other.running("up") as two:
            until(lambda: len(_workers(scene)) == 2)
            one.kill()
            began = time.monotonic()
            until(lambda: _done(scene), WITHIN)
            print("taken over and finished within", round(time.monotonic() - began, 1))
            two.terminate()
            assert 0 == two.wait(30)


def _workers(scene: Scene) -> list[str]:
    return _ask(scene, "select id from workers")


def _ask(scene: Scene, query: str) -> list[str]:
    from sqlalchemy import create_engine, text

    engine = create_engine(scene.database.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            found = connection.execute(text(query))
            return list(found.scalars()) if found.returns_rows else []
    finally:
        engine.dispose()


def test_the_limit_of_a_remote_holds_over_two_workers(scene):
    scene.source_settings = {"rate": "100KB/s"}
    scene.route = "batch = { files = 4 }\n"
    scene.write()
    scene.plant(some_files(60, sizes=(10_000,)))
    other = scene.another("other")
    share = {"TRANSLOAD_TEST_SHARE": "0.5"}
    with _watched(scene.source.port) as most, scene.running("up", **share) as one, other.running("up", **share) as two:
        until(lambda: _done(scene))
        for worker in (one, two):
            worker.terminate()
            assert 0 == worker.wait(30)
    assert 2 == len(set(_ask(scene, "select node from arrivals")))
    assert 2 == max(most)


@contextmanager
def _watched(port: int) -> Iterator[list[int]]:
    """How many connections the server at `port` had, time and again, as the kernel tells."""
    over = threading.Event()
    counts = [0]
    table = Path("/proc/net/tcp")

    def watch() -> None:
        while not over.wait(0.005):
            counts.append(
                sum(f":{port:04X}" == line.split()[1][8:] and "01" == line.split()[3] for line in table.read_text().splitlines()[1:])
            )

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join()


@pytest.mark.timeout(120)  # frozen inside a transaction, it is the database that ends it
def test_a_worker_that_is_frozen_for_too_long_is_fenced_off(scene):
    scene.plant(some_files(60, sizes=(10_000,)))
    silence = {"TRANSLOAD_TEST_SILENCE": "1.5"}
    with scene.running("up", **silence) as one:
        until(lambda: _count(scene) > 8)
        one.send_signal(signal.SIGSTOP)
        with scene.another("other").running("up", **silence) as two:
            until(lambda: _count(scene) >= len(scene.planted), WITHIN)
            one.send_signal(signal.SIGCONT)
            until(lambda: len(_workers(scene)) == 2)
            until(lambda: _done(scene))
            for worker in (one, two):
                worker.terminate()
                assert 0 == worker.wait(30)
    assert [] == scene.faults()
    assert [] == _ask(scene, "select id from claims")


def test_the_tables_of_the_queues_may_be_dropped_while_workers_are_up(scene):
    scene.plant(some_files(40, sizes=(10_000,)))
    with scene.running("up") as one:
        until(lambda: _count(scene) > 8)
        _ask(scene, "drop schema dbos cascade")
        until(lambda: _done(scene) or one.poll() is not None, WITHIN)
        one.terminate()
        one.wait(30)
    if not _done(scene):
        scene.run_well()
    assert [] == scene.faults()


def test_work_is_shared_by_two_workers_each_file_once(scene):
    scene.plant(some_files(40, sizes=(10_000,)))
    other = scene.another("other")
    with scene.running("up"), other.running("up"):
        until(lambda: _done(scene))
    taken = _ask(scene, "select count(*) from events where what = 'received' group by arrival")
    assert {1} == set(map(int, taken))
    assert os.path.isdir(other.folder / "data")
