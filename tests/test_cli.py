from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commanding import FOLDERS, ROUTE, Place
from tests.peers.base import PASSWORD, USER
from tests.roomy import roomy
from transload.config import Config

COMMANDS = ["init", "check", "test", "plan", "run", "up", "adopt", "pause", "resume", "skip", "ls", "trace", "explain", "retry", "status"]
COMMANDS += ["schema"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as made:
        made.config(FOLDERS + ROUTE)
        yield made


def audit(place: Place) -> list[tuple[str, str, str | None]]:
    with sqlite3.connect(place.folder / "data" / "ledger.db") as ledger:
        return list(ledger.execute("select what, subject, reason from audit order by id"))


def test_the_version_is_told(place):
    from importlib.metadata import version

    assert (0, f"transload {version('transload')}\n") == place.give("--version")[:2]


def test_help_names_every_command(place):
    told = place.give("--help")
    assert 0 == told.code
    assert [] == [one for one in COMMANDS if f"\n  {one} " not in told.out]
    assert "..." not in told.out.partition("Commands:")[2], "each command's first sentence fits on its line"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(place, command):
    told = place.give(command, "--help")
    assert (0, "") == (told.code, told.err)
    assert told.out.startswith(f"Usage: transload {command}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lss"], "transload: No such command 'lss'. Did you mean 'ls'?; see transload --help\n"),
        (["ls", "--foo"], "transload ls: No such option: --foo; see transload ls --help\n"),
        (["trace"], "transload trace: Missing argument 'ID_or_PATH'; see transload trace --help\n"),
        (["run", "fils"], 'there is no route "fils"; did you mean "files"?\n'),
        (["ls", "--since", "gestern"], '--since gestern: wants a time such as 2026-01-31, 2026-01-31T12:00Z, or "2h" for two hours ago\n'),
        (["test", "nowhere"], 'there is no remote, route or target "nowhere"; there are source, archive, files\n'),
        (["explain", "a.csv"], "a.csv: wants REMOTE:PATH, such as source:in/report.csv\n"),
        (["up", "--only", "portal"], '--only: there is no part "portal"; this version has servers, worker\n'),
        (["skip", "7", "--why", "old"], "there is no arrival 7; transload ls shows the numbers\n"),
        (["retry", "7"], "there is no arrival 7; transload ls shows the numbers\n"),
    ],
)
def test_a_call_that_is_wrong_gets_one_line_and_code_2(place, words, told):
    assert (2, "", told) == place.give(*words)


def test_init_writes_a_config_that_works_and_overwrites_nothing(tmp_path):
    place = Place(tmp_path)
    assert 0 == place.give("init", "new").code
    config = tmp_path / "new" / "transload.toml"
    written = config.read_text()
    assert (2, "", "new/transload.toml is there already: nothing was written; edit it, or name another folder\n") == place.give(
        "init", "new"
    )
    assert written == config.read_text()
    config.write_text(roomy(written))
    assert 0 == place.give("check", "-c", "new/transload.toml").code
    (tmp_path / "new" / "inbox" / "a.csv").write_text("a")
    os.utime(tmp_path / "new" / "inbox" / "a.csv", (1e9, 1e9))
    done = place.give("run", "-c", "new/transload.toml", "--json")
    assert (0, {"received": 0, "files": 1}) == (done.code, {one["route"]: one["delivered"] for one in done.document["routes"]})


def test_the_examples_of_init_are_sound_too(tmp_path, monkeypatch):
    text = (Path(__file__).parents[1] / "src/transload/cli/starter.toml").read_text()
    head, _, rest = text.partition("# [remotes.carrier]")
    # Below its first example every line that is a comment is one to be taken in.
    whole = head + "\n".join(line.removeprefix("# ") for line in f"# [remotes.carrier]{rest}".splitlines() if not line.startswith("# ---"))
    host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFmcTCKxSyPeyFcSJLKVDPVTRCWSfjSkWEXRaEEt9wnJ"
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "carrier").write_text("a key")
    (tmp_path / "keys" / "carrier").chmod(0o600)
    (tmp_path / "transload.toml").write_text(whole.replace("ssh-ed25519 AAAA...", host_key))
    for name in ("WAREHOUSE_PASSWORD", "S3_KEY", "S3_SECRET"):
        monkeypatch.setenv(name, "x")
    found = Config.load(tmp_path / "transload.toml")
    assert ["archive", "carrier", "inbox", "lake", "treasury", "warehouse"] == sorted(found.remotes)
    assert ["received", "files", "orders"] == [route.name for route in found.routes]


def test_plan_tells_what_would_be_done_and_why_not_the_rest_and_changes_nothing(place):
    place.file("new.csv", "12345")
    place.file("half.part")
    place.file("hot.csv")
    place.config(FOLDERS + ROUTE.replace('settle = "0s"', 'exclude = "hot*"'))
    place.file("young.csv", age=-60)
    told = place.give("plan", "--json")
    assert (0, "") == (told.code, told.err)
    assert [
        ("new.csv", "fetch", "new", [{"remote": "archive", "name": "new.csv"}], 5),
        ("young.csv", "wait", "it may still be being written", [], 2),
        ("half.part", "skip", "its name is one of the temporary ones", [], 2),
        ("hot.csv", "skip", "its name is excluded", [], 2),
    ] == [(one["path"], one["action"], one["reason"].split(":")[0], one["to"], one["size"]) for one in told.document]
    assert ["in", "transload.toml"] == sorted(os.listdir(place.folder))


def test_a_run_does_what_the_plan_said_and_a_second_one_nothing(place):
    place.file("sub/a.csv", "a,b\n")
    os.rename(place.file("b"), os.fsencode(place.folder) + b"/in/caf\xe9")
    done = place.give("run")
    assert (0, "") == (done.code, done.err)
    assert done.out.startswith("files: 2 files seen, 2 fetched (6 B), 2 delivered to archive\n")
    again = place.give("run", "--json")
    assert {"seen": 2, "fetched": 0, "delivered": 0, "failures": []}.items() <= again.document["routes"][0].items()
    plan = place.give("plan", "--json").document
    assert ["known as arrival 1: delivered", "known as arrival 2: delivered"] == sorted(one["reason"] for one in plan)
    listed = {one["path"]: one for one in place.give("ls", "--json").document}
    assert {"caf%E9", "sub/a.csv"} == listed.keys()
    assert "Y2Fm6Q==" == listed["caf%E9"]["path_raw"]
    assert {"id", "route", "path", "version", "size", "sha256", "state", "reason", "first_seen", "updated"} <= listed["sub/a.csv"].keys()


def test_the_log_has_the_run_and_standard_output_only_the_document(place):
    place.file("a.csv")
    assert 0 == place.give("run", "--json").code
    lines = (place.folder / "log" / "monitor.log").read_text().splitlines()
    assert [] == [line for line in lines if json.loads(line)["level"] == "error"]
    assert "" == (place.folder / "log" / "error.log").read_text()


def test_trace_tells_the_whole_life_by_number_and_by_path(place):
    place.file("sub/a.csv")
    place.give("run")
    by_path = place.give("trace", "a.csv", "--json")
    assert by_path.document == place.give("trace", "1", "--json").document
    life = by_path.document[0]
    events = [event["what"] for event in life["events"]]
    assert (["seen", "received"], "delivered") == (events[:2], events[-1])
    assert ("archive", "sub/a.csv", "delivered", "size") == tuple(
        life["deliveries"][0][key] for key in ("remote", "name", "state", "verified")
    )
    told = place.give("trace", "sub/a.csv")
    assert f"sha256 {life['sha256']}" in told.out
    lost = place.give("trace", "b.csv")
    assert (1, "", "b.csv: no arrival has this number or path; transload ls --name '*b.csv*' may find it\n") == lost


def test_explain_says_why(place):
    place.file("a.csv")
    place.file("b.tmp")
    assert "would be fetched now: new; to archive:a.csv" in place.give("explain", "source:a.csv").out
    assert not (place.folder / "data").exists()
    assert "is not taken: its name is one of the temporary ones" in place.give("explain", "source:b.tmp").out
    place.give("run")
    known = place.give("explain", "source:a.csv", "--json").document
    assert (True, "skip", "known as arrival 1: delivered") == (known["there"], *(known["routes"][0][key] for key in ("action", "reason")))
    (place.folder / "in" / "a.csv").write_text("changed")
    assert "would be fetched now: it changed: version 2" in place.give("explain", "source:a.csv").out
    assert (1, "source:c.csv: is not there now\n") == place.give("explain", "source:c.csv")[:2]
    assert "no route takes files from this remote" in place.give("explain", "archive:a.csv").out


def test_a_failed_file_makes_the_code_1_until_it_is_skipped(place):
    place.file("a.csv")
    (place.folder / "out").mkdir()
    (place.folder / "out" / "a.csv").write_text("another")
    place.config(FOLDERS + ROUTE.replace('remote = "archive"', 'remote = "archive", conflict = "fail"'))
    failed = place.give("run")
    assert 1 == failed.code
    assert failed.err == "files: a.csv: another file already has the name a.csv at archive\n"
    plan = place.give("plan", "--json").document[0]
    assert ("skip", True) == (plan["action"], "transload retry 1 tries again" in plan["reason"])
    assert (1, False) == ((sick := place.give("status", "--json")).code, sick.document["healthy"])
    assert "files: 1 failed: transload ls --route files --state failed\n" == place.give("status").err
    assert (0, "1: will be tried again: a.csv\n", "") == place.give("retry", "1")
    assert 1 == place.give("run").code
    assert (0, "1: skipped: a.csv\n", "") == place.give("skip", "1", "--why", "theirs is newer")
    assert 0 == place.give("run").code
    assert 0 == place.give("status").code
    assert [("retry", "1", None), ("skip", "1", "theirs is newer")] == audit(place)
    assert (1, "", "1: nothing to skip, it is skipped: a.csv\n") == place.give("skip", "1", "--why", "again")


def test_adopt_takes_what_is_there_for_known(place):
    place.file("old.csv")
    place.file("x.tmp")
    dry = place.give("adopt", "--dry-run")
    assert (0, "files: old.csv\nfiles: 1 file would be marked as known; 0 known before, 1 not the route's\n") == dry[:2]
    assert not (place.folder / "data").exists()
    assert (0, "files: 1 file marked as known; 0 known before, 1 not the route's\n") == place.give("adopt")[:2]
    assert [{"route": "files", "adopted": [], "known": 1, "unwanted": 1}] == place.give("adopt", "--json").document
    place.file("new.csv")
    assert 1 == place.give("run", "--json").document["routes"][0]["delivered"]
    assert {"new.csv": "x\n"} == place.delivered()
    assert ("adopt", "files", "1 files") == audit(place)[0]


def test_pause_and_resume_are_remembered_and_audited(place):
    assert (0, "files: paused\n", "") == place.give("pause", "files")
    assert (0, "files: was paused already\n", "") == place.give("pause", "files")
    assert place.give("status", "--json").document["routes"][0]["paused"]
    assert "files: it is paused: only a run by hand looks\n" in place.give("plan").out
    assert (0, "files: going on\n", "") == place.give("resume", "files")
    assert [("pause", "files", None), ("resume", "files", None)] == audit(place)


def test_test_tries_reading_and_writing_and_leaves_nothing_behind(place):
    place.file("a.csv")
    source, archive = place.give("test", "source"), place.give("test", "archive", "--json")
    assert 0 == source.code
    assert "source: list the base folder: 1 files in" in source.out
    assert [("connect", True), ("list the base folder", True), ("write the base folder", True), ("read back", True), ("remove", True)] == [
        (one["what"], one["well"]) for one in archive.document["tried"]
    ]
    assert {} == place.delivered()


def test_test_says_what_failed(place):
    (place.folder / "out").write_text("a file, where a folder should be")
    told = place.give("test", "archive")
    assert 1 == told.code
    assert "archive: write the base folder: failed: " in told.err


def test_an_sftp_server_is_tried_pinned_and_fetched_from(place, asyncssh_server):
    (asyncssh_server.root / "cli" / "out").mkdir(parents=True)
    (asyncssh_server.root / "cli" / "out" / "a.csv").write_text("from afar")
    os.utime(asyncssh_server.root / "cli" / "out" / "a.csv", (1e9, 1e9))
    carrier = f'[remotes.carrier]\nkind = "sftp"\nhost = "{asyncssh_server.host}"\nport = {asyncssh_server.port}\nuser = "{USER}"\n'
    carrier += 'path = "cli"\npassword = { env = "WORD" }\n'
    routes = """
[[routes]]
name = "fetch"
from = { remote = "carrier", path = "out" }
to = [{ remote = "archive" }]
[[routes]]
name = "send"
from = { remote = "archive" }
to = [{ remote = "carrier", name = "in/{name}" }]
"""
    env = {"WORD": PASSWORD, "HOME": str(place.folder)}
    place.config(FOLDERS + carrier + routes)
    unknown = place.give("test", "carrier", env=env)
    assert (1, 1) == (unknown.code, len(unknown.err.splitlines()))
    assert "--pin" in unknown.err
    pinned = place.give("test", "carrier", "--pin", env=env).out.splitlines()[-1]
    assert f'host_key = "{asyncssh_server.host_key}"' == pinned
    place.config(FOLDERS + carrier + pinned + "\n" + routes)
    tried = place.give("test", "carrier", env=env)
    assert (0, "") == (tried.code, tried.err)
    assert "carrier: list out: 1 files in" in tried.out
    assert "carrier: write in: " in tried.out
    assert [] == os.listdir(asyncssh_server.root / "cli" / "in")
    assert 0 == place.give("run", "fetch", env=env).code
    assert {"a.csv": "from afar"} == place.delivered()
    assert "would be fetched now: new; to carrier:in/a.csv" in place.give("explain", "archive:a.csv", env=env).out


def test_schema_is_one_that_the_example_keeps(place):
    told = place.give("schema")
    assert 0 == told.code
    assert {"transload", "quarantine", "remotes", "servers", "users", "notify", "routes"} == told.document["properties"].keys()


def test_ls_filters(place):
    place.file("a.csv")
    place.file("b.txt", "other")
    place.give("run")
    assert ["b.txt"] == [one["path"] for one in place.give("ls", "--json", "--name", "*.txt").document]
    assert [2] == [one["size"] for one in place.give("ls", "--json", "--hash", hashlib.sha256(b"x\n").hexdigest()).document]
    assert 2 == len(place.give("ls", "--json", "--since", "1h", "--state", "delivered", "--route", "files").document)
    assert [] == place.give("ls", "--json", "--until", "1h").document
    assert (0, "no such arrivals\n", "") == place.give("ls", "--state", "held")


def test_ls_goes_on_page_by_page(place):
    for name in ("a.csv", "b.csv", "c.csv"):
        place.file(name)
    place.give("run")
    everything = [one["id"] for one in place.give("ls", "--json").document]
    first = place.give("ls", "--limit", "2")
    assert f"the next page, if there is more: --after {everything[1]}\n" == first.err
    assert everything[2:] == [one["id"] for one in place.give("ls", "--json", "--limit", "2", "--after", str(everything[1])).document]
    assert "" == place.give("ls").err


def test_commands_that_only_read_make_no_ledger(place):
    for words in (["ls"], ["status"], ["trace", "1"], ["plan"], ["explain", "source:a"], ["adopt", "--dry-run"], ["check"]):
        place.give(*words)
    assert ["in", "transload.toml"] == sorted(os.listdir(place.folder))
