from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import transload
from tests.peers.base import REPOSITORY, free_port
from transload.servers import keys

NOBODY = 65534
SCRIPT = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro /
for other in $(findmnt -rno TARGET -t ext4,xfs,btrfs,overlay,tmpfs); do
  case "$other" in "$1"|/|/dev*|/proc*|/sys*) ;; *) mount -o remount,bind,ro "$other" 2>/dev/null || true ;; esac
done
cd "$1"; shift
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
MAIN = "from transload.cli import main; main()"


def python() -> str:
    """A Python that everybody may start, of our version."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        ways = [Path(path), *Path(path).parents]
        if os.path.exists(path) and all(way.stat().st_mode & 0o001 for way in ways):
            return path
    pytest.skip("there is no Python here that everybody may start")


@pytest.fixture
def contained():
    """Starts a command as a container would: nobody, without capabilities, on a root that cannot be written, but for one folder."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("wants root, unshare and setpriv")
    # pytest's own folders are for their owner alone.
    made = Path(tempfile.mkdtemp(prefix="contained-"))
    made.chmod(0o755)
    place = made / "volume"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    paths = [path for path in sys.path if path.endswith("site-packages")] + [str(REPOSITORY / "src")]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
    begun = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = ["unshare", "-m", "bash", "-c", SCRIPT, "bash", str(place), python(), "-c", MAIN, *words]
        begun.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return begun[-1]

    yield place, start
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()
    shutil.rmtree(made)


@pytest.mark.slow
def test_s11_it_receives_as_nobody_without_capabilities_on_a_root_that_cannot_be_written(contained, tmp_path):
    place, start = contained
    told, _ = (first := start("init", ".")).communicate(timeout=40)
    if first.returncode != 0 and "mount" in told:
        pytest.skip("mounting is not allowed here")
    assert 0 == first.returncode, told
    word = re.search(r"password (\S+)", told)[1]
    port = free_port()
    config = (place / "transload.toml").read_text().replace(":2121", f":{free_port()}").replace(":2022", f":{port}")
    (place / "transload.toml").write_text(
        config.replace('passive_ports = "30000-30010"', "").replace(
            '# spool = { keep = "7d", min_free = "2GB" }', 'spool = { min_free = "1MB" }'
        )
    )
    process = start("up")
    for line in process.stdout:
        if "transload: up" in line:
            break
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    assert "CapBnd:\t0000000000000000\n" in status
    local = tmp_path / "a.csv"
    local.write_bytes(b"a reading\n")
    line = keys.public_line(place / "data/keys/host_ed25519")
    with transload.connect(f"sftp://sender@127.0.0.1:{port}", password=word, host_key=line) as remote:
        remote.put(local, "a.csv")
    end = time.monotonic() + 30
    while not (found := [*(place / "archive").rglob("a.csv")]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert b"a reading\n" == found[0].read_bytes()
    process.terminate()
    process.communicate(timeout=60)
    assert 0 == process.returncode
