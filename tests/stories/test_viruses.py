"""A virus in every wrapping, and every answer that a scanner may give: what a real run does, with real destinations."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import sqlite3
import subprocess
import tarfile
import zipfile
from contextlib import ExitStack, closing

import pytest

from tests.peers.clamd import EICAR, Clamd
from tests.peers.fixtures import running
from tests.steps.mutated import rar4, rar5
from tests.steps.test_scan import CLEAN, INFECTED, UNKNOWN, service
from tests.stories.outside import objects
from tests.stories.stage import s3
from transload.steps.clamd import BLOCK

PASSWORD = "open-sesame"
TO = """to = [{ remote = "archive", name = "%s{folder}/{name}" }, { remote = "lake", name = "%s{folder}/{name}" }]
attempts = 2
backoff = { first = "50ms", cap = "1m" }"""


class Gate:
    """A route from a folder through `steps` to another and to a bucket."""

    def __init__(self, stage, moto) -> None:
        self.stage, self.moto, self.lake = stage, moto, moto.bucket()
        (stage.folder / "in").mkdir()
        stage.secrets |= {"LAKE_KEY": "lake-key-0001", "LAKE_SECRET": "lake-canary-0001", "ZIP": PASSWORD}

    def steps(self, *steps: str) -> None:
        """One route, of what lies in the folder."""
        self.routes({"": steps})

    def routes(self, routes) -> None:
        """A route for each folder, with its steps."""
        tables = "".join(
            f'[[routes]]\nname = "gate{name}"\nfrom = {{ remote = "source", path = "{name}", settle = "0s" }}\n'
            f"steps = [{', '.join(steps)}]\n{TO.replace('%s', name and name + '/')}\n"
            for name, steps in routes.items()
        )
        self.stage.config(
            '[remotes.source]\nkind = "folder"\npath = "in"\n[remotes.archive]\nkind = "folder"\npath = "out"\n'
            f'[remotes.lake]\nkind = "s3"\nbucket = "{self.lake}"\n{s3(self.moto)}\n'
            'access_key = { env = "LAKE_KEY" }\nsecret_key = { env = "LAKE_SECRET" }\n'
            f"{tables}"
        )

    def put(self, name: str, data: bytes) -> None:
        path = self.stage.folder / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    def landed(self) -> dict[str, bytes]:
        """What both destinations have, and that is the same."""
        out = self.stage.folder / "out"
        here = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert here == objects(self.moto, self.lake)
        return here

    def states(self) -> dict[str, str]:
        return {one["path"]: one["state"] for one in self.stage.ls("--limit", "1000")}

    def quarantined(self) -> list[tuple[str, str]]:
        return [(one["path"], one["reason"]) for one in self.stage.give("quarantine", "ls", "--json").document]

    def asked(self, sql: str) -> list[str]:
        """The first column of what the ledger answers."""
        with closing(sqlite3.connect(self.stage.folder / "data/ledger.db")) as ledger:
            return [row[0] for row in ledger.execute(sql)]


@pytest.fixture
def gate(stage, moto):
    return Gate(stage, moto)


def clamd() -> Clamd:
    return running("clamd", Clamd)


def scan(way: str) -> str:
    peer = clamd()
    place = f"unix:{peer.socket}" if way == "unix" else f"{peer.host}:{peer.port}"
    return f'{{ kind = "scan", clamd = "{place}", timeout = "20s" }}'


UNPACK = '{ kind = "unpack", password = { env = "ZIP" } }'


def zipped(data: bytes, name: str = "a.csv") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def tar_gz(data: bytes, name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        facts = tarfile.TarInfo(name)
        facts.size = len(data)
        archive.addfile(facts, io.BytesIO(data))
    return out.getvalue()


def by(folder, command: str, data: bytes) -> bytes:
    """What a program makes of a.csv; it is called as `out` begins."""
    place = folder / "wrapping"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "a.csv").write_bytes(data)
    if shutil.which(command.split(maxsplit=1)[0]) is None:
        pytest.skip(f"{command.split(maxsplit=1)[0]} is not installed")
    subprocess.run(command, shell=True, cwd=place, check=True, capture_output=True)
    return next(place.glob("out*")).read_bytes()


def wrapped(folder, data: bytes) -> dict[str, bytes]:
    """The data in every wrapping, by the file's name."""
    return {
        "bare.csv": data,
        "renamed.pdf": data,
        "over-the-edge.bin": bytes(BLOCK - 30) + data,
        "over-64k.bin": bytes(65536 - 30) + data,
        "edge-within.zip": zipped(bytes(BLOCK - 30) + data),
        "one.zip": zipped(data),
        "two.zip": zipped(zipped(data, "in.csv"), "b.zip"),
        "deep.tar.gz": tar_gz(zipped(data, "in.csv"), "in/b.zip"),
        "renamed-zip.csv": zipped(data),
        "one.csv.gz": gzip.compress(data),
        "two.csv.bz2": bz2.compress(data),
        "three.csv.xz": lzma.compress(data),
        "four.csv.zst": pytest.importorskip("backports.zstd").compress(data),
        "old.rar": rar4(b"a.csv", data),
        "new.rar": rar5(b"a.csv", data),
        "seven.7z": by(folder, "7z a out.7z a.csv", data),
        "disc.iso": by(folder, "bsdtar -cf out --format iso9660 a.csv", data),
        "cabinet.cab": by(folder, "gcab -c out a.csv", data),
        "locked.zip": by(folder, f"zip -P {PASSWORD} out.zip a.csv", data),
        "locked-aes.zip": by(folder, f"7z a -tzip -mem=AES256 -p{PASSWORD} out.zip a.csv", data),
    }


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_a_virus_in_every_wrapping_is_kept_apart_once_and_was_never_owed_to_a_destination(gate, tmp_path, way):
    gate.steps(UNPACK, scan(way))
    good = {f"good-{name}": data for name, data in wrapped(tmp_path, b"1,2\n").items()}
    bad = {f"bad-{name}": data for name, data in wrapped(tmp_path, EICAR).items()}
    for name, data in (good | bad).items():
        gate.put(name, data)
    gate.stage.run_badly()
    landed = gate.landed()
    assert [] == [one for one in gate.stage.ls("--limit", "1000") if one["path"].startswith("good") and one["reason"]]
    assert len(good) == len(landed)
    assert {b"1,2\n"} == {data.lstrip(b"\0") for data in landed.values()}
    for _ in range(2):
        assert sorted((name, "infected: Eicar-Test-Signature.UNOFFICIAL") for name in bad) == sorted(gate.quarantined())
        gate.stage.run_badly()
    assert landed == gate.landed()
    assert [] == gate.asked("select text from deliveries where text like '%bad%'")
    assert bad.keys() == {name for name, state in gate.states().items() if state == "quarantined"}


@pytest.mark.parametrize(("steps", "reason"), [(["unpack"], "no password is set"), ([], "unpack it with its password")], ids=str)
def test_an_encrypted_zip_without_its_password_is_held_and_not_delivered(gate, tmp_path, steps, reason):
    gate.steps(*(f'{{ kind = "{one}" }}' for one in steps), scan("unix"))
    for name, command in (
        ("old.zip", f"zip -P {PASSWORD} out.zip a.csv"),
        ("aes.zip", f"7z a -tzip -mem=AES256 -p{PASSWORD} out.zip a.csv"),
    ):
        gate.put(name, by(tmp_path, command, EICAR))
    for _ in range(2):
        gate.stage.run_badly()
        assert ({}, []) == (gate.landed(), gate.quarantined())
        assert {"old.zip": "received", "aes.zip": "received"} == gate.states()
        assert all(reason in one["reason"] for one in gate.stage.ls()), gate.stage.ls()


def test_what_waited_for_its_password_goes_on_when_it_is_the_right_one(gate, tmp_path):
    gate.steps(UNPACK, scan("unix"))
    gate.put("good.zip", by(tmp_path, f"7z a -tzip -mem=AES256 -p{PASSWORD} out.zip a.csv", b"1,2\n"))
    gate.put("bad.zip", by(tmp_path, f"7z a -tzip -mem=AES256 -p{PASSWORD} out.zip a.csv", EICAR))
    gate.stage.secrets["ZIP"] = "open-barley"
    gate.stage.run_badly()
    assert {"good.zip": "received", "bad.zip": "received"} == gate.states()
    gate.stage.secrets["ZIP"] = PASSWORD
    gate.stage.run_badly()
    assert {"good/a.csv": b"1,2\n"} == gate.landed()
    assert [("bad.zip", "infected: Eicar-Test-Signature.UNOFFICIAL")] == gate.quarantined()


def test_what_came_before_the_password_was_set_goes_on_with_a_retry(gate, tmp_path):
    gate.steps('{ kind = "unpack" }', scan("unix"))
    gate.put("good.zip", by(tmp_path, f"7z a -tzip -mem=AES256 -p{PASSWORD} out.zip a.csv", b"1,2\n"))
    gate.stage.run_badly()
    gate.stage.secrets["ZIP"] = PASSWORD
    gate.steps(UNPACK, scan("unix"))
    gate.stage.run_badly()
    assert {"good.zip": "received"} == gate.states(), "it keeps the steps that it was received under"
    [number] = [str(one["id"]) for one in gate.stage.ls()]
    assert 0 == gate.stage.give("retry", number).code
    gate.stage.run()
    assert {"good/a.csv": b"1,2\n"} == gate.landed()


# ---------------------------------------------------------------- scanners over HTTP, and what they may say


def test_nothing_is_delivered_but_what_a_service_plainly_called_clean(gate):
    answers = {"clean": CLEAN, "infected": INFECTED, "unknown": {name: case[:2] for name, case in UNKNOWN.items()}}
    cases = {f"{said}-{number}": case for said, all_ in answers.items() for number, case in enumerate(all_.values())}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(service(case[1])) for name, case in cases.items()}
        gate.routes({name: [_asking(server, *cases[name][:2])] for name, server in servers.items()})
        data = {f"{name}/{one}.csv": _bytes(cases[name][1], name, one) for name in cases for one in "ab"}
        for name, one in data.items():
            gate.put(name, one)
        gate.stage.run_badly()
        clean = {name: one for name, one in data.items() if name.startswith("clean")}
        assert clean == gate.landed()
        assert all(len(server.forms) == 2 for name, server in servers.items() if name.startswith("clean"))
        assert sorted(name for name in data if name.startswith("infected")) == sorted(name for name, _ in gate.quarantined())
        assert {"received"} == {state for name, state in gate.states().items() if name.startswith("unknown")}
        assert [] == gate.asked("select text from verdicts join arrivals on arrivals.id = verdicts.arrival where text like 'unknown%'")
        for name, server in servers.items():
            server.reply = next(answer for dialect, answer in CLEAN.values() if dialect == cases[name][0])
            server.over.set()
        gate.stage.run_badly()
    assert {name: one for name, one in data.items() if not name.startswith("infected")} == gate.landed()


def _asking(server, dialect: str, reply) -> str:
    return f'{{ kind = "scan", url = "{server.url}", dialect = "{dialect}", timeout = "{"300ms" if reply.hang else "20s"}" }}'


def _bytes(reply, *name: str) -> bytes:
    """Of its own, and so many that a service which does not read them is noticed."""
    return (b"x" * 9_000_000 if reply.unread else b"") + " ".join(name).encode()
