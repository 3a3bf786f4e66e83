"""Story S, its first half: loggers upload to our own FTP server, a function is called once, raw files go to a folder of their site."""

from __future__ import annotations

import ftplib
import hashlib
import io
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.peers.base import free_port
from tests.stories.stage import EXAMPLES, Stage

WORD = "a logger's word"
NAMES = b"TimeStamp,Temp C,pH\n"
UNITS = b"dd-mm-yyyy hh:mm:ss,C,pH\n"
READINGS = NAMES + UNITS + b"".join(b"26-01-2026 %02d:00:00,4.%d,7.1\n" % (hour, hour % 10) for hour in range(24))


class Sensors:
    """examples/sensors.toml on a free port, with the function of examples/my_hooks.py."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.folder, self.port = stage, stage.folder, free_port()
        stage.secrets["LOGGER_PASSWORD"] = WORD
        shutil.copy(EXAMPLES / "my_hooks.py", stage.folder)
        self.example()

    def example(self, **changes: str) -> None:
        # The range of the example may be another test's.
        ours = {'"0.0.0.0:2121"': f'"127.0.0.1:{self.port}"', 'passive_ports = "30000-30010"\n': "", '"500MB"': '"1MB"'}
        self.stage.example("sensors", ours | changes)

    def up(self):
        begun = self.stage.begin("up")
        begun.until("transload: up")
        return begun

    def logger(self) -> ftplib.FTP:
        """A client as the loggers have it: plain FTP, passive."""
        ftp = ftplib.FTP()
        ftp.connect("127.0.0.1", self.port, timeout=20)
        ftp.login("observator", WORD)
        return ftp

    def noted(self) -> list[list[str]]:
        """What the function noted: id, name, size, hash, user, client, readings."""
        path = self.folder / "received.txt"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def at(self, site: str) -> dict[str, bytes]:
        """What has its name there: files come to lie beside it first."""
        return {path.name: path.read_bytes() for path in (self.folder / "sites" / site / "raw").glob("[!.]*")}

    @property
    def home(self) -> Path:
        return self.folder / "sensors" / "inbox" / "observator"


@pytest.fixture
def sensors(stage):
    return Sensors(stage)


def until(true, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def store(ftp: ftplib.FTP, name: str, data: bytes = READINGS) -> None:
    assert ftp.storbinary(f"STOR {name}", io.BytesIO(data)).startswith("226")


def test_s4_a_temporary_name_and_a_rename_are_one_file_under_its_final_name_over_a_kill(sensors):
    begun = sensors.up()
    ftp = sensors.logger()
    store(ftp, "Tartu_26012026_155959.$$$")
    begun.kill()
    ftp.close()
    assert [] == sensors.noted()
    sensors.up()
    ftp = sensors.logger()
    assert ["Tartu_26012026_155959.$$$"] == ftp.nlst()
    ftp.rename("Tartu_26012026_155959.$$$", "Tartu_26012026_155959.csv")
    until(sensors.noted)
    until(lambda: sensors.at("Tartu"))
    assert {"Tartu_26012026_155959.csv": READINGS} == sensors.at("Tartu")
    store(ftp, "raw_data_Observator_20251108_to_20251214.csv")
    until(lambda: 2 == len(sensors.noted()))
    digest = hashlib.sha256(READINGS).hexdigest()
    told = [line[1:] for line in sensors.noted()]
    assert ["Tartu_26012026_155959.csv", str(len(READINGS)), digest, "observator", "127.0.0.1", "24"] == told[0]
    until(lambda: sensors.at("Observator"))
    assert {"raw_data_Observator_20251108_to_20251214.csv": READINGS} == sensors.at("Observator")
    until(lambda: {"delivered"} == {one["state"] for one in sensors.stage.ls()})
    assert 2 == len(sensors.noted()) == len(sensors.stage.ls())
    ftp.quit()


def test_s4_an_upload_that_is_cut_never_counts_and_can_be_resumed(sensors):
    sensors.up()
    ftp = sensors.logger()
    ftp.voidcmd("TYPE I")
    data = ftp.transfercmd("STOR Tartu_26012026_165959.csv")
    data.sendall(READINGS[:500])
    until(lambda: any(path.stat().st_size for path in (sensors.folder / "sensors/spool/parts").rglob("*") if path.is_file()))
    ftp.close()
    data.close()
    other = sensors.logger()
    until(lambda: ["Tartu_26012026_165959.csv"] == other.nlst())
    other.voidcmd("TYPE I")
    # All of it may have come, so a byte less is kept: a client that compares sizes goes on.
    assert 499 == other.size("Tartu_26012026_165959.csv")
    assert [] == sensors.noted()
    assert other.storbinary("STOR Tartu_26012026_165959.csv", io.BytesIO(READINGS[499:]), rest=499).startswith("226")
    until(sensors.noted)
    assert [["Tartu_26012026_165959.csv", str(len(READINGS)), hashlib.sha256(READINGS).hexdigest()]] == [
        line[1:4] for line in sensors.noted()
    ]
    other.quit()


def test_s5_files_never_overwrite_one_another(sensors):
    sensors.up()
    with sensors.logger() as ftp:
        store(ftp, "Tartu_26012026_155959.csv")
        store(ftp, "Tartu_26012026_155959.csv", READINGS + b"26-01-2026 23:55:00,5.0,7.2\n")
        store(ftp, "Tartu_26012026_155959.csv", READINGS + b"26-01-2026 23:55:00,5.0,7.2\n")
    until(lambda: 2 == len(sensors.noted()))
    until(lambda: 2 == len(sensors.at("Tartu")))
    assert {"Tartu_26012026_155959.csv", "Tartu_26012026_155959.v2.csv"} == sensors.at("Tartu").keys()
    assert {READINGS, READINGS + b"26-01-2026 23:55:00,5.0,7.2\n"} == set(sensors.at("Tartu").values())
    assert 2 == len([path for path in sensors.home.iterdir() if not path.name.startswith(".")])


def test_s1_s2_curl_and_lftp_upload_and_wrong_words_are_refused_and_dropped(sensors):
    sensors.up()
    local = sensors.folder / "Narva_26012026_155959.csv"
    local.write_bytes(READINGS)
    sent = []
    if shutil.which("curl"):
        config = f'user = "observator:{WORD}"\n'
        subprocess.run(
            ["curl", "-sS", "--fail", "-K", "-", "-T", local, f"ftp://127.0.0.1:{sensors.port}/"],
            input=config.encode(), check=True, timeout=30,
        )  # fmt: skip
        sent.append("Narva_26012026_155959.csv")
    if shutil.which("lftp"):
        script = f'open -p {sensors.port} -u observator,"{WORD}" 127.0.0.1\nput {local} -o Narva_26012026_165959.$$$\n'
        script += "mv Narva_26012026_165959.$$$ Narva_26012026_165959.csv\n"
        script = f"set ssl:verify-certificate no\nset cmd:fail-exit yes\n{script}"
        subprocess.run(["lftp", "-f", "/dev/stdin"], input=script.encode(), check=True, timeout=30)
        sent.append("Narva_26012026_165959.csv")
    until(lambda: sorted(sent) == sorted(line[1] for line in sensors.noted()))
    for user in ("observator", "nobody", "anonymous"):
        ftp = ftplib.FTP()
        ftp.connect("127.0.0.1", sensors.port, timeout=20)
        tries = 0
        with suppress(EOFError, OSError):
            while tries < 5:
                with pytest.raises((ftplib.error_perm, EOFError, OSError, ftplib.error_temp)) as told:
                    ftp.login(user, "wrong")
                if not isinstance(told.value, ftplib.error_perm):
                    break
                tries += 1
        assert 1 <= tries <= 3, user
        ftp.close()


HOOK = """
from pathlib import Path
import time
from transload import on_received

@on_received("sensors")
def told(file):
    with Path(__file__).with_name("received.txt").open("a") as noted:
        noted.write(f"{file.id} {file.name}\\n")
    if file.name.startswith("Bad"):
        raise ValueError("no such reading")
    if file.name.startswith("Slow"):
        while not Path(__file__).with_name("go").exists():
            time.sleep(0.01)
"""


def test_s3_a_slow_function_stalls_nobody_and_one_that_raises_is_retried_and_parked(sensors):
    (sensors.folder / "my_hooks.py").write_text(HOOK)
    sensors.example(**{'name = "sensors"\n': 'name = "sensors"\nattempts = 3\nbackoff = { first = "50ms", cap = "50ms" }\n'})
    sensors.up()
    with sensors.logger() as ftp:
        for site in ("Slow", "Bad", "Good"):
            store(ftp, f"{site}_26012026_155959.csv", READINGS + site.encode())
    until(lambda: sensors.at("Good") and any(line[1].startswith("Good") for line in sensors.noted()))
    until(lambda: 3 == sum(line[1].startswith("Bad") for line in sensors.noted()))
    until(lambda: ["Bad_26012026_155959.csv"] == [Path(one["path"]).name for one in sensors.stage.ls("--state", "failed")])
    assert 1 == len({line[0] for line in sensors.noted() if line[1].startswith("Bad")})
    assert "no such reading" in sensors.stage.ls("--state", "failed")[0]["reason"]
    (sensors.folder / "go").touch()
    until(lambda: 2 == len(sensors.stage.ls("--state", "delivered")))
