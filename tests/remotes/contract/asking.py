"""What the tests of the contract share: hostile names, and sessions asked in a way that looks at every answer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace

import pytest

from transload.model import Entry, Fetched, Name, Parcel, Receipt, Staged, Verify

KIB = 1024
BIG = 9 * KIB * KIB
OLD = 1700000000.0

# Every name that a Unix disk can hold, and somebody once had.
HOSTILE = [
    b"#hash", b"what?", b"100%", b"star*", b"co:lon", b"pi|pe", b'dou"ble', b"sin'gle", b"<angle>", b"semi;colon",
    b"back\\slash", b"a&b=c+d",
    b"new\nline", b"carriage\rreturn", b"ta\tb", b"-dash", b" leading space", b".leading dot", b"trailing space ", b"trailing dot.",
    b"latin-\xfc", b"\xff\xfe\x80", b"emoji \xf0\x9f\x92\xa9", b"rtl \xe2\x80\xaefdp.exe", b"nfc \xc3\xbc", b"nfd u\xcc\x88",
    b"%46", b"%", b"%2F", b"C:\\x", b"..\\x", b"CON", b"nul.txt", b"Case.csv", b"case.csv", b"~tilde", b"$var", b"`tick`",
    b"[1]", b"{a,b}", b"{name}", b"a  b", b"-rw-r--r-- 1 u g 3 Jan 1 2024 x", b"\x01\x1b[31mred", b"\xc2\x85next line", b"x" * 255,
]  # fmt: skip
LINE_ENDS = (b"\n", b"\r")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def listed(session, folder: str = "", *, recursive: bool = True) -> dict[bytes, Entry]:
    """What a listing tells, by name; no name twice."""
    entries = list(session.list(folder, recursive=recursive))
    by_name = {entry.name.raw: entry for entry in entries}
    assert len(entries) == len(by_name)
    return by_name


def fetched(session, entries: Iterable[Entry], spool) -> dict[bytes, Fetched]:
    """One outcome for each entry, by path."""
    entries = list(entries)
    outcomes = list(session.fetch(entries, spool))
    assert len(entries) == len(outcomes)
    return {outcome.entry.path: outcome for outcome in outcomes}


def content(outcome: Fetched) -> bytes:
    """The bytes that were spooled, after a look at what was told of them."""
    assert outcome.error is None
    with open(outcome.spooled.part, "rb") as file:
        data = file.read()
    assert (len(data), sha256(data)) == (outcome.spooled.size, outcome.spooled.sha256)
    return data


class Counting:
    """A spool that counts what a session writes to it."""

    def __init__(self, spool) -> None:
        self.spool, self.written = spool, 0

    def put(self, entry, data):
        self.written += len(data)
        return self.spool.put(entry, data)

    def part(self, entry):
        return _CountingPart(self, self.spool.part(entry))


class _CountingPart:
    def __init__(self, counting: Counting, part) -> None:
        self.counting, self.part = counting, part

    def __getattr__(self, name):
        return getattr(self.part, name)

    def write(self, data) -> None:
        self.counting.written += len(data)
        self.part.write(data)


@pytest.fixture
def parcel(tmp_path):
    """Makes parcels: of a name, its bytes, and whatever else."""
    folder = tmp_path / "parcels"
    folder.mkdir()

    def make(name: bytes | str, data: bytes = b"data", **more) -> Parcel:
        number = len(os.listdir(folder)) + 1
        file = folder / str(number)
        file.write_bytes(data)
        made = Parcel(number, f"d{number}-1", Name(name), str(file), len(data), sha256(data), **more)
        return replace(made, verify=more.get("verify", Verify.SIZE))

    return make


def staged(session, parcels: Iterable[Parcel]) -> list[Staged]:
    """One outcome per parcel, each without a fault."""
    parcels = list(parcels)
    outcomes = list(session.stage(parcels))
    assert [None] * len(parcels) == [outcome.error for outcome in outcomes]
    assert sorted(parcel.delivery for parcel in parcels) == sorted(outcome.parcel.delivery for outcome in outcomes)
    return outcomes


def published(session, outcomes: Iterable[Staged]) -> list[Receipt]:
    outcomes = list(outcomes)
    receipts = list(session.publish(outcomes))
    assert len(outcomes) == len(receipts)
    return receipts


def delivered(session, *parcels: Parcel) -> list[Receipt]:
    """The receipts of parcels that must all have come through."""
    receipts = published(session, staged(session, parcels))
    assert [None] * len(parcels) == [receipt.error for receipt in receipts]
    return receipts
