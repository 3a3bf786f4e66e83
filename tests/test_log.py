from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from transload import log
from transload.errors import ConfigError, Unreachable
from transload.log.files import LogFile
from transload.model import Name
from transload.secret import Secret, scrub

CANARY = 'c4n4ry "pw"/+é\u200b&x'


@pytest.fixture
def lines(tmp_path):
    """Set up the log; give a function that reads one of its files."""

    def read(which: str = "monitor") -> list[str]:
        return (tmp_path / f"{which}.log").read_text("utf-8").splitlines()

    log.setup(tmp_path / "monitor.log", tmp_path / "error.log")
    yield read
    log.stop()


def test_everything_is_in_one_file_and_errors_once_more_in_the_other(lines):
    pull = log.get("transload.pull")
    pull.info("fetched", route="acl", files=3)
    pull.error("lost", route="acl")
    first, second = map(json.loads, lines())
    assert ("info", "transload.pull", "fetched", "acl", 3) == tuple(first[key] for key in ("level", "logger", "event", "route", "files"))
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert "lost" == second["event"]
    assert [lines()[1]] == lines("error")


def test_lines_below_the_level_are_left_away(tmp_path):
    log.setup(tmp_path / "m.log", tmp_path / "e.log", level="warning")
    log.get("x").info("not this")
    log.get("x").warning("this")
    log.stop()
    assert ["this"] == [json.loads(line)["event"] for line in (tmp_path / "m.log").read_text().splitlines()]


def test_text_lines_are_for_people(tmp_path):
    log.setup(tmp_path / "m.log", tmp_path / "e.log", form="text")
    log.get("transload.pull").info("fetched", route="acl", name="a b", files=3, nothing=None)
    log.stop()
    (line,) = (tmp_path / "m.log").read_text().splitlines()
    assert line.endswith('Z info    transload.pull: fetched route=acl name="a b" files=3 nothing=null')


def test_plain_lines_go_to_stdout_too_when_asked(tmp_path):
    out = io.StringIO()
    log.setup(tmp_path / "m.log", tmp_path / "e.log", stdout=out)
    log.get("x").info("seen")
    out.close()
    log.get("x").info("a reader that went away harms nothing")
    log.stop()
    assert 2 == len((tmp_path / "m.log").read_text().splitlines())


def test_control_characters_and_broken_text_are_escaped(lines, tmp_path):
    hostile = "a\r\nb\x1b[31m\x7f\x85\u202e\u2028\udcff\U000e0001"
    log.get("x").error(hostile, name=Name(b"\xff\n"), raw=b"\xfe\t", nested=[hostile])
    (line,) = lines()
    assert line.isprintable()
    record = json.loads(line)
    assert (hostile, "%FF%0A", "%FE%09", [hostile]) == (record["event"], record["name"], record["raw"], record["nested"])
    log.setup(tmp_path / "t.log", tmp_path / "e.log", form="text")
    log.get("x").error(hostile, name=hostile)
    log.stop()
    (line,) = (tmp_path / "t.log").read_text().splitlines()
    assert line.isprintable()
    assert r"a\r\nb\x1b[31m\x7f\x85\u202e\u2028\xff\U000e0001" in line


def test_an_error_brings_its_trace_on_the_same_line(lines):
    try:
        raise Unreachable("nobody answers")
    except Unreachable:
        log.get("x").exception("failed")
    (line,) = lines("error")
    record = json.loads(line)
    assert "error" == record["level"]
    assert record["trace"].endswith("transload.errors.Unreachable: nobody answers")


def test_a_very_long_value_is_cut(lines):
    log.get("x").info("0123456789" * 10_000)
    assert len(lines()[0]) < 33_000
    assert json.loads(lines()[0])["event"].endswith("... (100000 characters)")


def test_a_value_that_cannot_be_shown_breaks_nothing(lines):
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    log.get("x").info("odd", value=Odd())
    assert "<Odd>" == json.loads(lines()[0])["value"]


def test_other_libraries_go_the_same_way(lines):
    logging.getLogger("asyncssh").warning("hello %s", "there")
    logging.getLogger("asyncssh").info("too quiet")
    (record,) = map(json.loads, lines())
    assert ("warning", "asyncssh", "hello there") == (record["level"], record["logger"], record["event"])


def test_what_is_bound_to_the_context_is_in_every_line(lines):
    with structlog.contextvars.bound_contextvars(file=12):
        log.get("x").info("seen")
    assert 12 == json.loads(lines()[0])["file"]


def test_without_a_set_up_only_warnings_are_told_on_stderr(capsys):
    log.stop()
    log.get("x").info("quiet")
    log.get("x").warning("loud")
    captured = capsys.readouterr()
    assert "" == captured.out
    assert captured.err.endswith("x: loud\n")


def test_no_revealed_secret_gets_out_however_it_is_spelled(lines, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_CANARY", CANARY)
    value = Secret(env="TEST_CANARY").reveal()
    out = io.StringIO()
    for form in ("json", "text"):
        log.setup(tmp_path / "monitor.log", tmp_path / "error.log", form=form, stdout=out)
        logger = log.get("x")
        said = f"login {value}"
        logger.info(said, user="u", password=value, nested={"deep": [value]}, **{value: 1})
        logger.info("url", url=f"ftp://u:{quote(value, safe='')}@host", shown=repr({"p": value}))
        try:
            raise ValueError(f"bad {value!r}")
        except ValueError:
            logger.exception("failed")
        logging.getLogger("foreign").error("with %s", value)
    text = out.getvalue() + "".join(lines()) + "".join(lines("error"))
    assert "***" in text
    for part in ("c4n4ry", "%2F%2B%C3%A9"):
        assert part not in text


def test_the_parts_of_a_secret_are_secrets_too(monkeypatch):
    monkeypatch.setenv("TEST_URL", "postgresql://transload:p%40rtial-canary@db/transload")
    monkeypatch.setenv("TEST_STRING", "AccountName=dev;AccountKey=abcdefghijklmnopqrstuvwxyz0123==;Endpoint=x")
    Secret(env="TEST_URL").reveal()
    Secret(env="TEST_STRING").reveal()
    assert "for *** and *** with ***" == scrub("for p@rtial-canary and p%40rtial-canary with abcdefghijklmnopqrstuvwxyz0123==")
    assert "AccountName of dev" == scrub("AccountName of dev")


def test_a_secret_of_three_characters_does_not_blacken_the_log(monkeypatch):
    monkeypatch.setenv("TEST_SHORT", "abc")
    Secret(env="TEST_SHORT").reveal()
    assert "abc" == scrub("abc")


def test_a_log_that_cannot_be_written_is_a_fault_of_the_config(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the log .*/file/m\.log cannot be written"):
        LogFile(tmp_path / "file/m.log", 7)


def test_a_line_that_cannot_be_written_goes_to_stderr(tmp_path, capsys):
    file = LogFile(tmp_path / "m.log", 7)
    os.close(file._fd)
    file._fd = os.open("/dev/full", os.O_WRONLY)
    file._looked = float("inf")
    file.write("precious")
    assert "No space left on device): precious" in capsys.readouterr().err
    file.write("later")
    file.close()
    assert "later\n" == (tmp_path / "m.log").read_text()


def yesterday(path: Path, days: int = 1) -> str:
    """Make it look as if the file were from an earlier day."""
    day = str(datetime.now(UTC).date() - timedelta(days=days))
    path.with_name(f".{path.name}.lock").write_text(f"{day}\n")
    return day


def test_the_first_line_of_a_day_begins_a_new_file(tmp_path):
    path = tmp_path / "m.log"
    one, other = LogFile(path, 7), LogFile(path, 7)
    one.write("old")
    day = yesterday(path)
    one._day = other._day = None
    one.write("new")
    other.write("new, too")
    assert "old\n" == (tmp_path / f"m.log.{day}").read_text()
    assert "new\nnew, too\n" == path.read_text()


def test_a_file_of_an_earlier_day_is_put_away_at_the_start(tmp_path):
    path = tmp_path / "m.log"
    path.write_text("old\n")
    os.utime(path, (1_750_000_000, 1_750_000_000))
    LogFile(path, 40_000).close()
    assert "old\n" == (tmp_path / "m.log.2025-06-15").read_text()


def test_old_files_are_removed_and_others_stay(tmp_path):
    path = tmp_path / "m.log"
    today = datetime.now(UTC).date()
    names = [f"m.log.{today - timedelta(days=days)}" for days in (2, 7, 8, 300)]
    for name in (*names, "m.log.txt", "other.log.2020-01-01"):
        (tmp_path / name).write_text("")
    path.write_text("old\n")
    yesterday(path)
    LogFile(path, 7).close()
    left = {file.name for file in tmp_path.iterdir()}
    assert {*names[:2], "m.log.txt", "other.log.2020-01-01"} <= left
    assert not {*names[2:]} & left


def test_a_file_that_somebody_moves_away_is_opened_anew(tmp_path):
    path = tmp_path / "m.log"
    file = LogFile(path, 7)
    file.write("one")
    path.rename(tmp_path / "moved")
    file._looked = 0
    file.write("two")
    file.close()
    assert ("one\n", "two\n") == ((tmp_path / "moved").read_text(), path.read_text())


def test_a_stopped_process_that_holds_the_lock_stops_no_log(tmp_path):
    import fcntl

    path = tmp_path / "m.log"
    file = LogFile(path, 7)
    day = yesterday(path)
    with path.with_name(".m.log.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        file._day = None
        file.write("meanwhile")
    file.write("afterwards")
    file.close()
    assert "meanwhile\n" == (tmp_path / f"m.log.{day}").read_text()
    assert "afterwards\n" == path.read_text()


def test_no_two_processes_tear_a_line_or_lose_one_over_a_rotation(tmp_path):
    code = """
import fcntl
import sys
from pathlib import Path
from transload.log.files import LogFile
me, path = sys.argv[1], Path(sys.argv[2])
file = LogFile(path, 7)
print("ready", flush=True)
sys.stdin.readline()
for number in range(2000):
    if number % 100 == 0:
        file._day = None
    if number == 1000 and me == "0":
        with path.with_name(f".{path.name}.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(sys.argv[3])
    file.write(f"{me} {number} " + me * (number % 700))
"""
    path = tmp_path / "m.log"
    start = [sys.executable, "-c", code]
    day = str(datetime.now(UTC).date() - timedelta(days=1))
    writers = [
        subprocess.Popen([*start, str(me), str(path), day], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for me in range(3)
    ]
    for writer in writers:
        writer.stdout.readline()
    threads = [threading.Thread(target=writer.communicate, args=("go\n",)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert [0, 0, 0] == [writer.returncode for writer in writers]
    logs = [file for file in tmp_path.iterdir() if file.name.startswith("m.log")]
    found = sorted(line for file in logs for line in file.read_text().splitlines())
    assert sorted(f"{me} {number} " + str(me) * (number % 700) for me in range(3) for number in range(2000)) == found
    assert 2 <= len(logs)
