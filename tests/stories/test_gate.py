"""Story Q: a partner's SFTP folder, by clamd, to two S3 buckets; Slack hears of what is bad; the ledger on SQLite or PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.crash.until import until
from tests.peers import moto as moto_peer
from tests.peers.clamd import EICAR, Clamd
from tests.peers.receiver import Receiver
from tests.peers.relay import Relay
from tests.stories.outside import objects
from tests.stories.stage import PASSWORD, QUICK, s3, sftp

LONG_AGO = 1_700_000_000.0
EXAMPLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJSmFAYypHLcgh0mKphMoXOu5q/p6kGXYhFMKi5UwMhl"
ROLL = "ACL_HomeOfficeRoll3_20260101.csv"
LOUD_ROLL = "xHOMEOFFICEROLL12_20260102.CSV"
MESSAGE = "[-PRMD=EG-ADMD=ICAO-C=XX-;MTA-EGGG-1-MTCU_0123456789ABCDEF].json"


class Gate:
    """examples/gate.toml with a folder `out` of sshd, clamd, two buckets of moto, and something that speaks like Slack."""

    def __init__(self, stage, sshd, there, moto, clamd, slack) -> None:
        self.stage, self.sshd, self.there, self.moto, self.clamd, self.slack = stage, sshd, there, moto, clamd, slack
        self.lake, self.vault = moto.bucket(), moto.bucket()
        stage.secrets |= {"CARRIER_PASSWORD": PASSWORD, "LAKE_KEY": "lake-key-0001", "LAKE_SECRET": "lake-canary-0001"}
        stage.secrets["SLACK_URL"] = f"mmost://{slack.at}/slackcanary0004"
        stage.secrets |= {"VAULT_KEY": "vault-key-0002", "VAULT_SECRET": "vault-canary-0002"}

    def example(self, **more: str) -> None:
        """Write the config; `more` is replaced in it."""
        changes = {
            'host = "sftp.carrier.example"\nuser = "acl"': f'{sftp(self.sshd)}user = "{self.sshd.user}"',
            EXAMPLE_KEY: self.sshd.host_key,
            'path = "out"': f'path = "{self.there.name}/out"',
            'region = "eu-west-2"': s3(self.moto),
            'bucket = "landing"': f'bucket = "{self.lake}"',
            'bucket = "vault"': f'bucket = "{self.vault}"',
            "/run/clamav/clamd.ctl": str(self.clamd.socket),
        }
        self.stage.example("gate", changes | more)

    def put(self, name: str, data: bytes = b'"data"', modified: float = LONG_AGO) -> None:
        self.there.plant(b"out/" + name.encode(), data, modified)

    @property
    def left(self) -> set[str]:
        """What is still at the partner's."""
        return {name.decode().removeprefix("out/") for name in self.there.files()}

    @property
    def landed(self) -> dict[str, bytes]:
        """What the lake has, without its folders of date and time."""
        return {re.sub(r"^\d{4}-\d\d-\d\d/\d\d:\d\d:\d\d\.\d{6}/", "", name): data for name, data in objects(self.moto, self.lake).items()}


@pytest.fixture(scope="module")
def clamd():
    with Clamd() as clamd:
        yield clamd


@pytest.fixture
def slack():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def gate(stage, sshd, disk, moto, clamd, slack):
    there = disk(sshd)
    (there.path / "out").mkdir()
    return Gate(stage, sshd, there, moto, clamd, slack)


KEPT = {'after = "delete"': 'after = "keep"'}


def test_q1_a_folder_is_looked_at_at_the_start_every_so_often_and_on_demand(gate):
    gate.put(ROLL)
    gate.example(**KEPT, **{'every = "15m"': 'every = "300ms"'})
    up = gate.stage.begin("up")
    up.until("up routes=")
    until(lambda: set(gate.landed) == {ROLL, f"{ROLL}.done"})
    gate.put(MESSAGE)
    until(lambda: MESSAGE in gate.landed)
    ended = up.stop()
    assert (0, "") == (ended.code, ended.err)
    gate.stage.change('every = "300ms"', 'every = "1h"')
    up = gate.stage.begin("up")
    up.until("up routes=")
    gate.put(LOUD_ROLL)
    gate.stage.run("acl")
    assert LOUD_ROLL in gate.landed
    assert 0 == up.stop().code


def test_q1_names_are_matched_whole_and_in_capitals_or_not(gate):
    for name in (ROLL, LOUD_ROLL, MESSAGE, "homeofficeroll_20260101.csv", "homeofficeroll1_20260101.csv.bak", "roll.csv", "x.json"):
        gate.put(name)
    gate.example()
    assert 3 == gate.stage.run()["acl"]["fetched"]
    assert {ROLL, LOUD_ROLL, MESSAGE} == {name for name in gate.landed if not name.endswith(".done")}
    assert {"homeofficeroll_20260101.csv", "homeofficeroll1_20260101.csv.bak", "roll.csv", "x.json"} == gate.left


def use_database(gate, kind, request) -> None:
    if kind == "postgresql":
        url = request.getfixturevalue("postgres").url().replace("postgresql://postgres@", "postgresql://postgres:database-canary-0003@")
        gate.stage.secrets["GATE_DATABASE"] = url
        gate.stage.secrets["UNUSED"] = "database-canary-0003"
        gate.stage.change("# database", "database")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_q2_what_is_in_the_ledger_is_not_fetched_again_and_what_was_begun_is_finished(gate, request, kind):
    gate.put(ROLL)
    gate.put(MESSAGE)
    gate.example(**KEPT)
    use_database(gate, kind, request)
    gate.stage.run_dies("seen")
    assert ["seen", "seen"] == [one["state"] for one in gate.stage.ls()]
    gate.stage.run_dies("committed")
    assert 3 == gate.stage.run()["acl"]["delivered"], "one of the two goes to both buckets"
    assert {ROLL: b'"data"', MESSAGE: b'"data"'} == {name: data for name, data in gate.landed.items() if not name.endswith(".done")}
    again = gate.stage.run()["acl"]
    assert (2, 0, 0) == (again["seen"], again["fetched"], again["delivered"])
    if kind == "postgresql":
        postgres = request.getfixturevalue("postgres")
        database = gate.stage.secrets["GATE_DATABASE"].rpartition("/")[2]
        tables = postgres.run("select string_agg(quote_ident(tablename), ',') from pg_tables where schemaname = 'public'", database)
        everything = "".join(postgres.run(f"select t::text from {table} t", database) for table in tables.strip().split(","))
        assert ROLL in everything
        assert [] == [name for name, secret in gate.stage.secrets.items() if secret in everything]


@pytest.mark.parametrize(
    ("changed", "delivered", "code", "states"),
    [("version", 2, 0, ["delivered", "delivered"]), ("skip", 1, 0, ["skipped", "delivered"]), ("fail", 1, 1, ["failed", "delivered"])],
)
def test_q2_the_same_name_with_new_content_is_a_version_or_skipped_or_an_error(gate, changed, delivered, code, states):
    gate.put(ROLL, b"first")
    gate.example(**KEPT, **{'changed = "version"': f'changed = "{changed}"'})
    gate.stage.run()
    gate.put(ROLL, b"second", LONG_AGO + 60)
    told = gate.stage.give("run", "--json")
    assert code == told.code
    assert states == [one["state"] for one in gate.stage.ls()]
    wanted = [b"first", b"second"][:delivered]
    assert wanted == sorted(data for name, data in objects(gate.moto, gate.lake).items() if not name.endswith(".done"))


class Ear(Relay):
    """A relay that remembers what was sent to the server."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.heard = b""

    def _carry(self, source, sink, left: str) -> None:
        ear = self

        class Sink:
            def sendall(self, data: bytes) -> None:
                ear.heard += data if left == "up_left" else b""
                sink.sendall(data)

            def shutdown(self, how: int) -> None:
                sink.shutdown(how)

        super()._carry(source, Sink(), left)


def test_q4_each_bucket_has_its_own_login_names_filter_and_encryption_and_a_marker_follows(gate):
    gate.put(ROLL, b"a roll")
    gate.put(MESSAGE, b'"a message"')
    before = datetime.now(UTC)
    with Ear(gate.moto.port) as lake, Ear(gate.moto.port) as vault:
        gate.example()
        text = (gate.stage.folder / "transload.toml").read_text()
        for ear in (lake, vault):
            text = text.replace(gate.moto.url, f"http://{ear.host}:{ear.port}", 1)
        gate.stage.config(text)
        gate.stage.run()
    assert b"Credential=lake-key-0001/" in lake.heard
    assert b"vault-key-0002" not in lake.heard
    assert b"Credential=vault-key-0002/" in vault.heard
    assert b"lake-key-0001" not in vault.heard
    assert {ROLL: b"a roll", f"{ROLL}.done": b"", MESSAGE: b'"a message"', f"{MESSAGE}.done": b""} == gate.landed
    times = {name.rpartition("/")[0] for name in objects(gate.moto, gate.lake)}
    assert all(before <= datetime.strptime(f"{one}Z", "%Y-%m-%d/%H:%M:%S.%f%z") <= datetime.now(UTC) for one in times)
    assert {f"2023/11/14/{ROLL}": b"a roll"} == objects(gate.moto, gate.vault)
    head = gate.moto.client().head_object(Bucket=gate.vault, Key=f"2023/11/14/{ROLL}")
    assert "aws:kms" == head["ServerSideEncryption"]
    assert set() == gate.left


def test_q4_q5_a_file_is_done_only_when_every_required_destination_has_it_until_then_it_stays_and_is_tried_again(gate):
    gate.put(ROLL)
    gate.example(**{'after = "delete"': f'after = "delete"\n{QUICK}', f'bucket = "{gate.vault}"': 'bucket = "not-there-yet"'})
    done = gate.stage.run_badly()["acl"]
    assert (1, [f"{gate.there.name}/out/{ROLL}"]) == (done["delivered"], [one["path"] for one in done["failures"]])
    assert "delivered" not in {one["state"] for one in gate.stage.ls()}
    assert "not-there-yet" in done["failures"][0]["reason"]
    assert {ROLL} == gate.left
    assert [ROLL] == [name for name in gate.landed if not name.endswith(".done")]
    gate.moto.client().create_bucket(Bucket="not-there-yet", CreateBucketConfiguration={"LocationConstraint": moto_peer.REGION})
    assert 1 == gate.stage.run()["acl"]["delivered"]
    assert set() == gate.left
    assert [f"2023/11/14/{ROLL}"] == list(objects(gate.moto, "not-there-yet"))
    assert [ROLL] == [name for name in gate.landed if not name.endswith(".done")], "the one that had it got it once"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_q3_q6_q7_what_is_infected_or_no_json_is_kept_apart_and_slack_hears_of_it_once(gate, request, kind):
    gate.put(ROLL, EICAR)
    gate.put(LOUD_ROLL)
    gate.put(MESSAGE, b"{ no json")
    gate.example()
    use_database(gate, kind, request)
    done = gate.stage.run_badly()["acl"]
    assert (2, 2) == (done["delivered"], done["quarantined"]), "the good one goes to both buckets"
    assert {LOUD_ROLL, f"{LOUD_ROLL}.done"} == gate.landed.keys()
    assert [LOUD_ROLL] == [name.rpartition("/")[2] for name in objects(gate.moto, gate.vault)]
    assert {ROLL, MESSAGE} == gate.left, "only what was delivered is deleted"
    gate.stage.run_badly()
    [(path, _, body)] = gate.slack.got
    assert path.startswith("/hooks/")
    text = json.loads(body)["text"]
    assert "Transload: acl: quarantined (2)" in text
    for word in (ROLL, MESSAGE, "infected: ", "carrier"):
        assert word in text


def spooled(gate) -> list[int]:
    """The sizes of what lies in the spool."""
    return [path.stat().st_size for path in (gate.stage.folder / "gate/spool").rglob("*") if path.is_file() and len(path.name) == 64]


@pytest.mark.parametrize(("after", "left"), [('"keep"', {ROLL}), ('"delete"', set()), ('{ move = "done/" }', {f"done/{ROLL}"})])
def test_q5_after_success_the_source_is_kept_deleted_or_moved_and_the_local_copy_goes_when_its_time_is_over(gate, after, left):
    gate.put(ROLL, b"eleven byte")
    gate.example(**{'after = "delete"': f"after = {after}", 'data = "gate"': 'data = "gate"\nspool = { keep = "1h", min_free = "1MB" }'})
    gate.stage.run()
    assert left == gate.left
    assert [11] == spooled(gate)
    again = gate.stage.run()["acl"]
    assert (0, 0) == (again["fetched"], again["delivered"])


def test_q5_a_run_takes_so_many_at_most_and_the_oldest_first(gate):
    for number in range(5):
        gate.put(f"homeofficeroll{number}_20260101.csv", b"%d" % number, LONG_AGO - number * 3600)
    gate.example(**{"limit = 5000": "limit = 2"})
    for taken in ({b"4", b"3"}, {b"4", b"3", b"2", b"1"}, {b"4", b"3", b"2", b"1", b"0"}):
        gate.stage.run()
        assert taken == {data for name, data in gate.landed.items() if not name.endswith(".done")}


def test_q8_the_log_rotates_keeps_seven_days_and_goes_to_standard_output_too(gate):
    gate.put(ROLL)
    gate.example(**{'every = "15m"': 'every = "1h"'})
    folder = gate.stage.folder / "gate/log"
    folder.mkdir(parents=True)
    today = datetime.now(UTC).date()
    for days in (3, 7, 8, 30):
        (folder / f"monitor.log.{today - timedelta(days=days)}").write_text("old\n")
    (folder / "monitor.log").write_text("yesterday's\n")
    os.utime(folder / "monitor.log", (time.time() - 86400,) * 2)
    up = gate.stage.begin("up")
    up.until("delivered")
    ended = up.stop()
    assert (0, "") == (ended.code, ended.err)
    kept = {path.name.removeprefix("monitor.log.") for path in folder.glob("monitor.log.*")}
    assert {str(today - timedelta(days=days)) for days in (1, 3, 7)} == kept
    assert "yesterday's\n" == (folder / f"monitor.log.{today - timedelta(days=1)}").read_text()
    logged = [line["event"] for line in gate.stage.log("gate/log/monitor.log")]
    assert "delivered" in logged
    assert [] == [event for event in logged if event not in ended.out]
    assert "" == (folder / "error.log").read_text()
