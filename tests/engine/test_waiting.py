"""What waits, and what does not wait for it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.scene import Scene, held, some_files, table
from tests.crash.until import until
from transload.remotes.ftp import FtpRemote
from transload.secret import Secret

pytestmark = pytest.mark.xdist_group("tests/engine/test_waiting.py")


@pytest.fixture
def scene(folder, place):
    return Scene(folder, place("folder"), {"target": place("folder")}, every="0.2s", quick=True)


def test_a_run_does_not_wait_for_a_file_that_is_too_young_by_the_routes_own_word(scene):
    text = scene.config.read_text()
    scene.config.write_text(text.replace('from = { remote = "source"', 'from = { remote = "source", min_age = "10m"'))
    scene.plant(some_files(3))
    scene.source.plant(b"young.csv", b"young", time.time() - 60)
    began = time.monotonic()
    code, summary = scene.run()
    assert time.monotonic() - began < 20
    assert 3 == summary["delivered"]
    assert b"young.csv" not in held(scene.targets["target"])
    assert 1 == code


def test_a_run_does_not_stay_for_a_checksum_that_is_still_to_come(scene):
    scene.route = 'steps = [{ kind = "checksum" }]\n'
    scene.write()
    files = some_files(3)
    name, data = next(iter(files.items()))
    scene.plant(files)
    began = time.monotonic()
    code, summary = scene.run()
    assert time.monotonic() - began < 20
    assert (1, 0, 3) == (code, summary["delivered"], summary["held"])
    scene.source.plant(name + b".sha256", hashlib.sha256(data).hexdigest().encode(), time.time() - 60)
    code, summary = scene.run()
    assert (1, 1, 2) == (code, summary["delivered"], summary["held"])
    assert {name: data} == held(scene.targets["target"])


def test_a_run_waits_once_for_a_file_that_may_still_be_written(scene):
    text = scene.config.read_text()
    scene.config.write_text(text.replace('settle = "0.2s"', 'settle = "1s"'))
    scene.source.plant(b"new.csv", b"new", time.time())
    code, _ = scene.run()
    assert 0 == code
    assert {b"new.csv": b"new"} == held(scene.targets["target"])


def test_a_destination_that_left_the_config_before_its_delivery_is_told_and_waits_for_its_return(scene, place):
    here = scene.targets
    away = place("sftp")
    scene.targets = {**here, "away": away}
    scene.write()
    scene.plant({b"one.csv": b"1"})
    scene.run_dies("committed")
    scene.targets = here
    scene.write()
    scene.plant({b"two.csv": b"2"})
    began = time.monotonic()
    code, summary = scene.run()
    assert time.monotonic() - began < 20
    assert 1 == code
    assert {b"one.csv": b"1", b"two.csv": b"2"} == held(here["target"])
    [failure] = summary["failures"]
    assert ("one.csv", True) == (failure["path"], "no longer has this destination" in failure["reason"])
    scene.targets = {**here, "away": away}
    scene.write()
    code, _ = scene.run()
    assert 0 == code
    assert {b"one.csv": b"1"} == away.files()


def test_a_batch_in_back_off_holds_no_slot(scene, fake_ftp):
    """One connection; one file fails again and again: the others pass it by."""
    fake_ftp.files |= {b"f%d" % number: b"x" * 10 for number in range(5)}
    fake_ftp.replies["RETR"] = lambda name: "450 busy" if name.endswith("f0") else None
    settings = {
        "host": "127.0.0.1",
        "port": fake_ftp.port,
        "user": "partner",
        "password": Secret(env="TRANSLOAD_TEST_PASSWORD"),
        "tls": "off",
    }
    text = scene.config.read_text().replace('from = { remote = "source", settle = "0.2s"', 'from = { remote = "far", settle = "0s"')
    text = text.replace('first = "0.2s"', 'first = "3s", cap = "60s"')
    scene.config.write_text(table("far", FtpRemote(**settings, timeout=5, connections=1)) + text)
    with scene.running("up") as up:
        until(lambda: len(held(scene.targets["target"])) == 4)
        fake_ftp.files[b"later"] = b"y"
        until(lambda: b"later" in held(scene.targets["target"]), 10)
        assert b"f0" not in held(scene.targets["target"])
        fake_ftp.replies.clear()
        until(lambda: b"f0" in held(scene.targets["target"]))
        up.terminate()
        assert 0 == up.wait(15)


def test_back_off_doubles_with_jitter_up_to_the_cap(scene):
    from transload.config import Config
    from transload.workplace import pause

    scene.config.write_text(scene.config.read_text().replace('first = "0.2s"', 'first = "2s", cap = "60s"'))
    route = Config.load(scene.config).route("r")
    waits = [[pause(route.backoff, attempts) for _ in range(200)] for attempts in range(12)]
    for attempts, some in enumerate(waits):
        whole = min(60, 2 * 2**attempts)
        assert whole * 0.74 < min(some) < max(some) < whole * 1.26
        assert max(some) - min(some) > whole * 0.2


def test_the_spool_of_a_dead_run_is_cleaned_by_and_by(scene):
    scene.plant(some_files(4, sizes=(200_000,)))
    scene.run_dies("fetched:2")
    scene.run_well()
    parts = os.listdir(scene.folder / "data" / "spool" / "parts")
    assert len(parts) <= 4, parts


CHANGED_SOURCE = """
[transload]
spool = {{ min_free = "1MB" }}
[remotes]
old = {{ kind = "folder", path = "old" }}
new = {{ kind = "folder", path = "new" }}
target = {{ kind = "folder", path = "target" }}
[[routes]]
name = "orders"
from = {{ remote = "{source}", settle = "0s" }}
to = [{{ remote = "target" }}]
after = "delete"
"""


def test_what_was_seen_at_the_old_source_is_not_removed_at_the_new_one(tmp_path):
    for place, data in (("old", b"old"), ("new", b"new")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "one.csv").write_bytes(data)
        os.utime(tmp_path / place / "one.csv", (1.7e9, 1.7e9))
    command = [Path(sys.executable).with_name("transload"), "run"]
    config = tmp_path / "transload.toml"
    config.write_text(CHANGED_SOURCE.format(source="old"))
    killed = subprocess.run(command, cwd=tmp_path, env=os.environ | {"TRANSLOAD_CRASH_AT": "settling"}, capture_output=True, check=False)
    assert -9 == killed.returncode
    config.write_text(CHANGED_SOURCE.format(source="new"))
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert b"old" == (tmp_path / "target/one.csv").read_bytes()
    assert b"new" == (tmp_path / "target/one.v2.csv").read_bytes()
    assert (tmp_path / "old/one.csv").exists()
    assert not (tmp_path / "new/one.csv").exists()
    config.write_text(CHANGED_SOURCE.format(source="old"))
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert not (tmp_path / "old/one.csv").exists()
