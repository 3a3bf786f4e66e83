from __future__ import annotations

import os
import sys
import time

import pytest
from pydantic import ValidationError

from transload.errors import Busy, ConfigError, Rejected, Unreachable
from transload.model import Name
from transload.steps.command import Command

DATA = b"a;b\n1;2\n" * 100_000


def _shell(script, **more):
    """A shell as the program that an operator chose; the step itself uses none."""
    return Command(run=("sh", "-c", script, "sh", "{input}", "{output}", "{name}"), **more)


def _gone(pid):
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat") as told:
                if told.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_program_that_ends_well_lets_the_file_on_as_it_is(bench):
    assert {"in/a.csv": DATA} == bench.does(Command(run=["grep", "-q", "1;2", "{input}"]), DATA, "in/a.csv")
    assert bench.outputs[0].path is None


def test_what_a_program_writes_takes_the_place_of_the_file(bench):
    step = Command(run=["sort", "-u", "--output={output}", "{input}"])
    assert {"in/a.csv": b"1;2\na;b\n"} == bench.does(step, DATA, "in/a.csv", modified=5)
    assert 5 == bench.outputs[0].modified
    assert b"" == next(iter(bench.does(_shell('cat /dev/null > "$2"'), DATA).values()))


def test_a_program_that_refuses_the_file_gives_the_reason(bench):
    with pytest.raises(Rejected, match=r"^sh refuses it: line 7 is%0B crooked%1B$"):
        bench.does(_shell("echo not this >&2; printf 'line 7 is\\013 crooked\\033\\n\\n' >&2; exit 1"), DATA)
    with pytest.raises(Rejected, match="refuses it: exit code 4"):
        bench.does(_shell("exit 4", reject=[3, 4]), DATA)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 2", "^sh ended with exit code 2$"),
        ("echo no licence >&2; exit 3", "^sh ended with exit code 3: no licence$"),
        ("kill -9 $$", "^sh was killed by signal 9$"),
        ("nonsense_program", "ended with exit code 127"),
        ("exit 0", "ended well, but there is no file at {output}: No such file"),
        ('ln -s /etc/passwd "$2"', "ended well, but there is no file at {output}"),
        ('mkdir "$2"', "ended well, but what is at {output} is no file"),
        ('mkfifo "$2"', "ended well, but what is at {output} is no file"),
    ],
)
def test_any_other_end_is_no_answer(bench, script, reason):
    with pytest.raises(Busy, match=reason):
        bench.does(_shell(script), DATA)
    assert [] == bench.outputs


def test_an_exit_code_that_is_not_in_the_list_is_no_answer(bench):
    with pytest.raises(Busy, match="exit code 1"):
        bench.does(_shell("exit 1", reject=[3]), DATA)


def test_the_spooled_bytes_cannot_be_changed(bench):
    file = bench.file(DATA)
    script = 'chmod 600 "$1"; echo changed > "$1"; cp "$1" "$2"'
    assert {"a.csv": b"changed\n"} == bench.does(_shell(script), file)
    assert DATA == file.path.read_bytes()
    assert 1 == file.path.stat().st_nlink


def test_it_runs_in_its_own_folder_with_nothing_of_our_environment(bench, monkeypatch):
    monkeypatch.setenv("TRANSLOAD_PASSWORD", "hunter2")
    monkeypatch.setenv("LANG", "C.UTF-8")
    (text,) = bench.does(_shell('{ pwd; echo "$HOME"; umask; ls; env | cut -d= -f1 | sort; } > "$2"'), b"x", "a.csv").values()
    first, second, umask, *rest = text.decode().splitlines()
    assert first.startswith(f"{bench.folder}/")
    assert (first, "0077") == (second, umask)
    assert {"input.csv", "output.csv"} == set(rest[:2])
    assert {"HOME", "LANG", "PATH", "PWD", "TMPDIR"} == set(rest[2:]) - {"_", "SHLVL", "OLDPWD"}


@pytest.mark.parametrize(
    ("name", "shown", "suffix"),
    [
        ("in/a b.csv", "a b.csv", ".csv"),
        ("-rf", "%2Drf", ""),
        ("$(touch x); `id`", "$(touch x); `id`", ""),
        ("new\nline.x;y", "new%0Aline.x;y", ""),
        (b"\xff.TAR", "%FF.TAR", ".TAR"),
        ("{output}.txt", "{output}.txt", ".txt"),
        ("a." + "x" * 100, "a." + "x" * 100, ""),
    ],
)
def test_a_hostile_name_is_one_harmless_argument(bench, name, shown, suffix):
    (text,) = bench.does(_shell('printf "%s|%s|%s" "$1" "$2" "$3" > "$2"'), b"x", name).values()
    given, made, *rest = text.decode().split("|")
    assert ([f"input{suffix}", f"output{suffix}"], [shown]) == ([given.rpartition("/")[2], made.rpartition("/")[2]], rest)
    assert given.startswith(f"{bench.folder}/")
    assert Name(name) == bench.outputs[0].name


def test_after_its_time_it_is_killed_with_all_that_it_started(bench, tmp_path):
    start = time.monotonic()
    script = f"echo thinking >&2; trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; sleep 60"
    with pytest.raises(Busy, match=r"^sh did not end within 0\.3s and was killed: thinking$"):
        bench.does(_shell(script, timeout="300ms"), b"x")
    assert 3 > time.monotonic() - start
    assert _gone(int((tmp_path / "pid").read_text()))


def test_what_it_leaves_running_is_killed_when_it_ends(bench, tmp_path):
    start = time.monotonic()
    assert 1 == len(bench.does(_shell(f'sleep 60 & echo $! > {tmp_path}/pid; cp "$1" "$2"'), b"x"))
    assert 3 > time.monotonic() - start
    assert _gone(int((tmp_path / "pid").read_text()))


def test_it_is_killed_when_the_work_is_put_back(bench, tmp_path):
    def go_on():
        raise Unreachable("put back")

    bench.go_on = go_on
    with pytest.raises(Unreachable):
        bench.does(_shell(f"echo $$ > {tmp_path}/pid; echo x >&2; sleep 60"), b"x")
    pid = tmp_path / "pid"
    assert not pid.exists() or _gone(int(pid.read_text()))


def test_a_program_that_talks_without_end_is_heard_to_the_last_line(bench):
    with pytest.raises(Rejected, match=r"^sh refuses it: the end$"):
        bench.does(_shell("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 1"), b"x")
    with pytest.raises(Rejected) as told:
        bench.does(_shell("head -c 5000000 /dev/zero | tr '\\0' x >&2; exit 1"), b"x")
    assert 400 > len(str(told.value))


def test_one_that_is_left_talking_does_not_hold_us_up(bench):
    start = time.monotonic()
    assert 1 == len(bench.does(_shell('(while :; do echo x; done) >&2 & cp "$1" "$2"', timeout="20s"), b"x"))
    assert 5 > time.monotonic() - start


def test_its_memory_has_a_limit(bench):
    hungry = "import sys\ntry:\n    bytearray(10**9)\nexcept MemoryError:\n    sys.exit(9)"
    with pytest.raises(Busy, match="exit code 9"):
        bench.does(Command(run=[sys.executable, "-c", hungry], memory="500MB"), b"x")
    assert 1 == len(bench.does(Command(run=[sys.executable, "-c", hungry], memory="2GB"), b"x"))
    assert 1 == len(bench.does(Command(run=["test", "-s", "{input}"], memory="500MB"), b"x"))


@pytest.mark.parametrize("memory", [None, "500MB"])
def test_a_program_that_is_not_there_is_told_to_the_operator(bench, tmp_path, memory):
    with pytest.raises(ConfigError, match="there is no program 'no-such-thing' that can be run"):
        bench.does(Command(run=["no-such-thing"], memory=memory), b"x")
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(ConfigError):
        bench.does(Command(run=[str(plain)], memory=memory), b"x")
    plain.chmod(0o700)
    with pytest.raises(ConfigError if memory is None else Busy, match="Exec format error"):
        bench.does(Command(run=[str(plain)], memory=memory), b"x")


def test_a_file_that_is_not_all_there_is_no_answer(bench):
    file = bench.file(DATA)
    os.truncate(file.path, 10)
    with pytest.raises(Busy, match="the copy for the program has 10 bytes, the file has 800000"):
        bench.does(Command(run=["true"]), file)
    file.path.unlink()
    with pytest.raises(Busy, match="cannot be made: No such file"):
        bench.does(Command(run=["true"]), file)


@pytest.mark.parametrize("wrong", [{"run": []}, {}, {"run": "ls -l"}, {"run": ["x"], "reject": [0]}, {"run": ["x"], "timeout": 0}])
def test_settings_that_cannot_be_are_said(wrong):
    with pytest.raises(ValidationError):
        Command(**wrong)
