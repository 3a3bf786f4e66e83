from __future__ import annotations

import ftplib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import paramiko
import pytest

import transload
from tests.commanding import Place
from tests.crash.until import until
from tests.peers.base import free_port
from tests.servers.site import WORD, Site, certificate_at
from transload.servers import keys


@pytest.fixture
def site(tmp_path: Path):
    with Site(tmp_path) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes(os.urandom(200_000))
    return path


def shown(site: Site) -> tuple[bytes, str]:
    """The certificate and the host key that the servers show now."""
    scan = ["ssh-keyscan", "-T", "20", "-p", str(site.ports["sftp"]), "127.0.0.1"]
    told = subprocess.run(scan, capture_output=True, text=True, check=True).stdout
    return certificate_at(site.ports["ftp"]), " ".join(told.split()[1:3])


def test_up_makes_keys_serves_both_and_what_lands_is_delivered_at_once(site, local):
    begun = site.up()
    for number, line in enumerate((site.client("sftp"), site.client("ftps"))):
        with line as remote:
            remote.put(local, f"{number}.csv")
            until(lambda: ["first"] == [one["user"] for one in site.give("status", "--json").document["servers"]["sessions"]])
            assert site.ports == site.give("status", "--json").document["servers"]["doors"]
    until(lambda: {"0.csv", "1.csv"} <= {path.name for path in (site.folder / "out").glob("*.csv")})
    assert local.read_bytes() == (site.folder / "out/1.csv").read_bytes()
    done = begun.stop()
    assert (0, "") == (done.code, done.err)
    assert site.give("status", "--json").document["servers"] is None
    assert WORD not in done.out


def test_a_port_that_is_taken_is_one_line_and_code_2(site):
    with socket.create_server(("127.0.0.1", site.ports["ftp"])):
        done = site.give("up")
    assert (2, 1) == (done.code, len(done.err.splitlines()))
    assert f"servers.ftp.listen: 127.0.0.1:{site.ports['ftp']}: Address already in use" in done.err


def test_a_private_key_that_everybody_can_read_is_one_line_and_code_2(site):
    keys.host_key(site.folder / "data/keys").chmod(0o644)
    done = site.give("up")
    assert (2, 1) == (done.code, len(done.err.splitlines()))
    assert "is a private key that everybody on this machine can get at: chmod o-rwx" in done.err


def test_nothing_to_serve_is_one_line_and_code_2(site):
    site.config((site.folder / "transload.toml").read_text().partition("[servers.ftp]")[0])
    done = site.give("up", "--only", "servers")
    assert (2, 1) == (done.code, len(done.err.splitlines()))
    assert "there is no server" in done.err


def test_servers_and_worker_may_be_two_processes(site, local):
    site.up("--only", "servers")
    with site.client("sftp") as remote:
        remote.put(local, "before.csv")
    assert [] == list((site.folder / "out").glob("*.csv"))
    worker = site.up("--only", "worker")
    until((site.folder / "out/before.csv").exists)
    with site.client("ftps") as remote:
        remote.put(local, "after.csv")
    until((site.folder / "out/after.csv").exists)
    assert 0 == worker.stop().code


def test_sighup_brings_users_routes_and_settings_or_nothing_at_all(site, local):
    begun = site.up()
    staying = site.client("sftp").__enter__()
    site.write(to=', name = "new/{name}"', doors={"ftp": 'idle = "10m"'})
    (site.folder / "word").write_text("another word")
    begun.process.send_signal(signal.SIGHUP)
    begun.until("the new config is in force")
    with site.client("ftps", word="another word") as remote:
        remote.put(local, "one.csv")
    until((site.folder / "out/new/one.csv").exists)
    with pytest.raises(transload.Denied):
        site.client("ftps").__enter__()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        old = site.ports["ftp"]
        site.ports["ftp"] = taken.getsockname()[1]
        site.write(to=', name = "never/{name}"')
        begun.process.send_signal(signal.SIGHUP)
        assert "Address already in use" in begun.until("refused whole")
        site.ports["ftp"] = old
    with site.client("ftps", word="another word") as remote:
        remote.put(local, "two.csv")
    until((site.folder / "out/new/two.csv").exists)
    site.ports["ftp"] = free_port()
    site.write()
    begun.process.send_signal(signal.SIGHUP)
    begun.until("the new config is in force")
    with site.client("ftps", word="another word") as remote:
        remote.put(local, "three.csv")
    until((site.folder / "out/three.csv").exists)
    staying.close()


def test_sighup_with_other_users_and_limits_leaves_who_is_in_where_they_are(site, local):
    begun = site.up()
    with ftplib.FTP(timeout=20) as ftp, paramiko.Transport(("127.0.0.1", site.ports["sftp"])) as line:
        ftp.connect("127.0.0.1", site.ports["ftp"])
        ftp.login("first", WORD)
        line.connect(username="first", password=WORD)
        sftp = paramiko.SFTPClient.from_transport(line)
        limits = 'idle = "10m"\nsessions = 9\nbanner = "Other"'
        site.write(doors={"ftp": limits, "sftp": limits}, user='permissions = "elr"\n[users.second]\npassword = { file = "word" }')
        begun.process.send_signal(signal.SIGHUP)
        begun.until("the new config is in force")
        assert "200" == ftp.sendcmd("NOOP")[:3]
        assert [] == sftp.listdir()
        # The same sessions feel what their user may no longer do.
        until(lambda: _is_refused(ftp), 20)
        with pytest.raises(PermissionError):
            sftp.put(local, "no.csv")
        with ftplib.FTP() as other:
            assert "220 Other" == other.connect("127.0.0.1", site.ports["ftp"], 20)
    line.join(10)


def _is_refused(ftp):
    try:
        ftp.mkd("made")
        ftp.rmd("made")
    except ftplib.error_perm:  # the new rights may come between the two
        return True
    return False


def test_a_new_certificate_and_a_new_host_key_are_shown_without_a_restart_and_bad_ones_are_not(site, local):
    begun = site.up()
    folder = site.folder / "data/keys"
    before = shown(site)
    fresh = keys.certificate(site.folder / "fresh"), keys.host_key(site.folder / "fresh")
    with site.client("sftp") as staying:
        for path in (*fresh[0], fresh[1]):
            os.replace(path, folder / path.name)
        begun.process.send_signal(signal.SIGHUP)
        begun.until("the new config is in force")
        after = shown(site)
        assert before[0] != after[0]
        assert before[1] != after[1] == keys.public_line(folder / "host_ed25519")
        staying.put(local, "still-here.csv")
    (folder / "server.key").write_text("nonsense")
    begun.process.send_signal(signal.SIGHUP)
    begun.until("refused whole")
    assert after == shown(site)


PROMPT = re.compile(rb"[Pp]assword[^\n]*: ?$")


def typed(command: str, folder: Path, word: str, lines: list[str]) -> bytes:
    """What a shell says for `command`, pasted into a terminal, when the password and then `lines` are typed."""
    pid, line = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["TERM"] = "dumb"
        os.execv("/bin/bash", ["bash", "-c", command])
    said, asked, end = b"", False, time.monotonic() + 40
    while time.monotonic() < end:
        if select.select([line], [], [], 0.2)[0]:
            try:
                got = os.read(line, 4096)
            except OSError:
                break
            if not got:
                break
            said += got
        if not asked and PROMPT.search(said):
            os.write(line, word.encode() + b"\n")
            asked, said = True, said + b"\n"
        elif asked and lines and re.search(rb"> ?$", said):
            os.write(line, lines.pop(0).encode() + b"\n")
            said += b"\n"
    os.close(line)
    _, code = os.waitpid(pid, 0)
    return said + f"\nexit {os.waitstatus_to_exitcode(code)}".encode()


@pytest.mark.slow
def test_the_client_lines_of_init_work_when_they_are_pasted(tmp_path):
    place = Place(tmp_path)
    told = place.give("init")
    assert 0 == told.code, told.err
    word = re.search(r"password (\S+)", told.out)[1]
    assert word not in (tmp_path / "transload.toml").read_text()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]
    assert 0o600 == (tmp_path / "data/keys/server.key").stat().st_mode & 0o777
    ports = {"2121": str(free_port()), "2022": str(free_port()), '"30000-30010"': f'"{free_port()}-{free_port()}"'}
    config = (tmp_path / "transload.toml").read_text().replace('passive_ports = "30000-30010"', "").replace('"2GB"', '"1MB"')
    lines = [one.strip() for one in told.out.splitlines() if re.match(r"  (curl|lftp|sftp) ", one)]
    known = (tmp_path / "data/keys/known_hosts").read_text()
    for old, new in list(ports.items())[:2]:
        config, known = config.replace(f":{old}", f":{new}"), known.replace(old, new)
        lines = [one.replace(old, new) for one in lines]
    (tmp_path / "transload.toml").write_text(config)
    (tmp_path / "data/keys/known_hosts").write_text(known)
    (tmp_path / "FILE").write_text("by curl\n")
    (tmp_path / "other").write_text("by another\n")
    begun = place.begin("up")
    begun.until("transload: up")
    try:
        assert ["curl", "lftp", "sftp"] == [one.split()[0] for one in lines]
        for command, more, name in zip(
            lines, ([], ["put other -o by-lftp", "exit"], ["put other by-sftp", "exit"]), ("FILE", "by-lftp", "by-sftp"), strict=True
        ):
            if shutil.which(command.split()[0]) is None:
                continue
            said = typed(command, tmp_path, word, more)
            until(lambda name=name: any(name == path.name for path in (tmp_path / "data/inbox/sender").iterdir()), 10)
            assert b"exit 0" in said, said
    finally:
        place.__exit__()
    assert json.loads(place.give("ls", "--json").out)
