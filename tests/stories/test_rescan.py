"""Story Q, afterwards: the signatures were updated, and what was delivered before is looked at again. With a real clamd."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.commanding import Place
from tests.crash.until import until
from tests.peers.clamd import EICAR, Clamd
from tests.peers.fixtures import running
from tests.stories.outside import objects
from tests.stories.stage import s3

pytestmark = pytest.mark.xdist_group("tests/stories/test_rescan.py")
WORM, FINE = b"a worm that nobody knows yet", b"a fine file, whatever comes"
KEYS = {"S3_KEY": "testing", "S3_SECRET": "testing-secret"}


@pytest.fixture
def clamd():
    clamd = running("clamd of the story rescan", lambda: Clamd({"ConcurrentDatabaseReload": "yes"}))
    clamd.signatures(27001)
    return clamd


class Gate:
    """A route with steps from a folder to another and to a bucket."""

    def __init__(self, place: Place, clamd: Clamd, moto, database: str) -> None:
        self.place, self.clamd, self.moto, self.bucket = place, clamd, moto, moto.bucket()
        place.config(
            f'[transload]\ndata = "data"\nspool = {{ min_free = "1MB" }}\n{database}\n'
            '[remotes.source]\nkind = "folder"\npath = "in"\n[remotes.archive]\nkind = "folder"\npath = "out"\n'
            f'[remotes.lake]\nkind = "s3"\n{s3(moto)}\nbucket = "{self.bucket}"\n'
            'access_key = { env = "S3_KEY" }\nsecret_key = { env = "S3_SECRET" }\n'
            '[[routes]]\nname = "gate"\nfrom = { remote = "source", settle = "0s", every = "100ms" }\n'
            f'steps = [{{ kind = "unpack" }}, {{ kind = "scan", clamd = "unix:{clamd.socket}" }}]\n'
            'to = [{ remote = "archive" }, { remote = "lake", name = "landed/{name}" }]\n'
        )

    def put(self, **files: bytes) -> None:
        for name, data in files.items():
            (self.place.folder / "in" / name.replace("__", ".")).write_bytes(data)


@pytest.fixture(params=["sqlite", "postgresql"])
def gate(request, tmp_path, clamd, moto, monkeypatch):
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    database = ""
    if request.param == "postgresql":
        monkeypatch.setenv("GATE_DATABASE", request.getfixturevalue("emptied")())
        database = 'database = { env = "GATE_DATABASE" }'
    with Place(tmp_path) as place:
        yield Gate(place, clamd, moto, database)


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.csv", data)
    return made.getvalue()


def test_after_an_update_every_destination_of_a_bad_file_is_named_beside_a_running_up(gate):
    place = gate.place
    gate.put(roll__csv=WORM, fine__csv=FINE, good__zip=zipped(one=FINE + b"1", two=WORM + b"2"))
    up = place.begin("up")
    up.until("up routes=")
    landed = {"landed/roll.csv", "landed/fine.csv", "landed/one.csv", "landed/two.csv"}
    until(lambda: landed == set(objects(gate.moto, gate.bucket)) and 4 == len(place.delivered()))
    gate.clamd.signatures(27002, Worm=WORM, Inner=WORM + b"2")
    told = place.give("rescan", "--route", "gate", "--since", "1h", "--json")
    document = told.document
    assert (1, "") == (told.code, told.err)
    by = {one["path"]: one for one in document["infected"]}
    assert {"roll.csv", "good.zip", "good.zip!/good/two.csv"} == by.keys()
    roll, archive, member = by["roll.csv"], by["good.zip"], by["good.zip!/good/two.csv"]
    wanted = [("archive", "roll.csv", "delivered", True), ("lake", "landed/roll.csv", "delivered", True)]
    assert wanted == [(one["remote"], one["name"], one["state"], one["delivered"] > "2026") for one in roll["deliveries"]]
    assert ("Worm.UNOFFICIAL", "gate", 1, len(WORM), "delivered", False, None, []) == tuple(
        roll[key] for key in ("signature", "route", "version", "size", "state", "released", "made_of", "made")
    )
    assert ("Inner.UNOFFICIAL", archive["id"]) == (member["signature"], member["made_of"])
    assert ["good/two.csv", "landed/two.csv"] == [one["name"] for one in member["deliveries"]]
    assert ["good.zip!/good/one.csv", "good.zip!/good/two.csv"] == sorted(one["path"] for one in archive["made"])
    [scanner] = document["scanners"]
    assert scanner["signatures"].startswith("27002/")
    counts = ("route", "files", "contents", "scanned", "verified", "clean", "unscanned", "archives_not_scanned")
    assert ["gate", 4, 5, 5, 0, 2, 0, 0] == [document[key] for key in counts]
    nothing = ("unknown", "away", "gone", "elsewhere", "until")
    assert [[], [], {"files": 0, "last_delivered": None}, [], None] == [document[key] for key in nothing]
    life = place.give("trace", str(roll["id"]))
    assert "infected: rescanned: Worm.UNOFFICIAL; delivered to archive:roll.csv, lake:landed/roll.csv" in life.out
    gate.put(again__csv=WORM)
    until(lambda: "quarantined" in {one["state"] for one in place.give("ls", "--json").document})
    assert 0 == up.stop().code


def test_people_are_told_in_lines_and_what_was_looked_at_is_not_scanned_again(gate):
    place = gate.place
    said = place.give("rescan")
    assert (0, "0 delivered files, 0 distinct contents: 0 scanned now, 0 found clean before with the same signatures") == (
        said.code,
        said.out.splitlines()[0],
    )
    gate.put(roll__csv=WORM, fine__csv=FINE)
    assert 0 == place.give("run").code
    said = place.give("rescan")
    assert (0, "nothing bad was found") == (said.code, said.out.splitlines()[-1])
    assert "0 scanned now, 2 found clean before" in said.out
    gate.clamd.signatures(27002, Worm=WORM)
    said = place.give("rescan")
    assert (1, "") == (said.code, said.err)
    lines = said.out.splitlines()
    assert "infected: Worm.UNOFFICIAL: roll.csv (arrival " in lines[0]
    assert "  delivered to archive: roll.csv, 20" in lines[1]
    assert "  delivered to lake: landed/roll.csv, 20" in lines[2]
    assert "looked at by ClamAV 1." in lines[3]
    assert [
        "2 delivered files, 2 distinct contents: 2 scanned now, 0 found clean before with the same signatures",
        "1 file infected",
    ] == lines[4:]
    for path in (place.folder / "data" / "spool").glob("??/*"):
        path.unlink()
    gate.clamd.signatures(27003)
    said = place.give("rescan")
    assert 1 == said.code
    assert "not scanned: the bytes of 1 file, delivered until 20" in said.err
    assert "are gone: the spool keeps them for 7d (spool.keep)" in said.err
    assert (2, 2) == (place.give("rescan", "--route", "gat").code, place.give("rescan", "--since", "yesterday").code)


def test_what_is_kept_apart_is_looked_at_again_on_demand(gate):
    place = gate.place
    gate.clamd.signatures(27002, Worm=WORM)
    gate.put(roll__csv=WORM, virus__csv=EICAR)
    assert 1 == place.give("run").code
    gate.clamd.signatures(27003)
    told = place.give("quarantine", "rescan", "--json")
    by = {one["path"]: one for one in told.document}
    number = str(by["roll.csv"]["arrival"])
    assert 1 == told.code
    assert ("clean", None, "Worm.UNOFFICIAL", "held") == tuple(by["roll.csv"][key] for key in ("found", "told", "before", "state"))
    assert ("infected", "Eicar-Test-Signature.UNOFFICIAL") == (by["virus.csv"]["found"], by["virus.csv"]["told"])
    one = place.give("quarantine", "rescan", number)
    assert 0 == one.code
    assert f"{number}: now clean: transload quarantine release {number} --why" in one.out
    assert "the same bytes that come again stay infected: Worm.UNOFFICIAL" in one.out
    assert {} == place.delivered()
    assert 0 == place.give("quarantine", "release", number, "--why", "a false alarm").code
    assert 2 == place.give("quarantine", "rescan", number).code
    place.give("run")
    assert {"roll.csv": WORM.decode()} == place.delivered()
