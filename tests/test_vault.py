"""The quarantine's own copies: whole or not there, sealed or not, and never anybody else's."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from transload.errors import ConfigError, Conflict, Missing, Rejected
from transload.quarantine import Keys, Vault
from transload.quarantine.sealed import CHUNK, HEAD
from transload.secret import Secret
from transload.spool import Spool

CANARY = b"a canary that must not be seen"
TAG = 16


def key(name: str) -> Secret:
    os.environ[name] = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
    return Secret(env=name)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("KEY_ONE", "KEY_TWO"):
        monkeypatch.setenv(name, "")


@pytest.fixture
def put(tmp_path):
    """Gives the bytes to a vault; gives their hash."""

    def put(vault: Vault, data: bytes) -> str:
        source = tmp_path / "given"
        source.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        with vault.keeping(sha256, source):
            pass
        return sha256

    return put


@pytest.fixture(params=["plain", "sealed"])
def vault(request, tmp_path):
    return Vault(tmp_path / "vault", Keys(key("KEY_ONE")) if request.param == "sealed" else None)


@pytest.fixture
def sealing(tmp_path):
    return Vault(tmp_path / "vault", Keys(key("KEY_ONE")))


def copies(vault: Vault) -> list[str]:
    return sorted(path.name for path in vault._folder.glob("??/*"))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_what_is_put_there_comes_back(vault, put, size):
    data = os.urandom(size)
    sha256 = put(vault, data)
    assert data == b"".join(vault.read(sha256))
    assert vault.has(sha256)
    assert (0o700, 0o400) == (vault._folder.stat().st_mode & 0o777, vault.path(sha256).stat().st_mode & 0o777)


def test_it_comes_back_into_the_spool(vault, put, tmp_path):
    data = os.urandom(CHUNK + 1)
    sha256 = put(vault, data)
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool:
        vault.back(sha256, spool)
        vault.back(sha256, spool)
        assert data == Path(spool.path(sha256)).read_bytes()
        with pytest.raises(Missing, match="not in the quarantine of this machine"):
            vault.back("0" * 64, spool)


def test_what_is_handed_out_is_its_owners_alone_and_replaces_nothing(vault, put, tmp_path):
    sha256 = put(vault, CANARY)
    told = []
    old = os.umask(0)
    try:
        vault.give(sha256, tmp_path / "out", lambda: told.append((tmp_path / "out").exists()))
    finally:
        os.umask(old)
    assert (CANARY, 0o600) == ((tmp_path / "out").read_bytes(), (tmp_path / "out").stat().st_mode & 0o7777)
    (tmp_path / "link").symlink_to("nowhere")
    for taken in ("out", "link"):
        with pytest.raises(Conflict, match="is there already"):
            vault.give(sha256, tmp_path / taken, lambda: told.append(True))
    assert [False] == told
    with pytest.raises(Missing):
        vault.give(sha256, tmp_path / "no" / "such", lambda: None)
    assert {"given", "link", "out", "vault"} == {path.name for path in tmp_path.iterdir()}


def test_a_name_that_is_taken_at_the_last_moment_is_not_replaced(vault, put, tmp_path):
    sha256 = put(vault, CANARY)
    with pytest.raises(Conflict):
        vault.give(sha256, tmp_path / "out", lambda: (tmp_path / "out").write_bytes(b"theirs") and None)
    assert b"theirs" == (tmp_path / "out").read_bytes()
    assert {"given", "out", "vault"} == {path.name for path in tmp_path.iterdir()}


# Sealed


def test_nothing_of_a_sealed_file_can_be_read_on_the_disk(sealing, put):
    put(sealing, CANARY * 30_000)
    put(sealing, CANARY * 30_000)
    written = [path.read_bytes() for path in sealing._folder.rglob("*") if path.is_file()]
    assert not any(CANARY in data or CANARY[:8] in data for data in written)
    assert 1 == len(copies(sealing))


def test_two_copies_of_the_same_bytes_have_nothing_in_common(tmp_path, put):
    one, other = (Vault(tmp_path / name, Keys(key("KEY_ONE"))) for name in ("a", "b"))
    first, second = (vault.path(put(vault, b"\0" * 1000)).read_bytes() for vault in (one, other))
    assert not {first[at : at + 16] for at in range(16, 1000, 16)} & {second[at : at + 16] for at in range(16, 1000, 16)}


CHANGES = {
    "cut after the head": lambda data: data[:HEAD],
    "cut at a chunk": lambda data: data[: HEAD + CHUNK + TAG],
    "cut at the second chunk": lambda data: data[: HEAD + 2 * (CHUNK + TAG)],
    "cut in a chunk": lambda data: data[:-1],
    "cut in the head": lambda data: data[: HEAD - 1],
    "empty": lambda _: b"",
    "longer": lambda data: data + b"x",
    "longer by a chunk": lambda data: data + data[HEAD : HEAD + CHUNK + TAG],
    "in another order": lambda data: (
        data[:HEAD]
        + data[HEAD + CHUNK + TAG : HEAD + 2 * (CHUNK + TAG)]
        + data[HEAD : HEAD + CHUNK + TAG]
        + data[HEAD + 2 * (CHUNK + TAG) :]
    ),
    "without its first chunk": lambda data: data[:HEAD] + data[HEAD + CHUNK + TAG :],
    "another first byte": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "another byte in a chunk": lambda data: data[: HEAD + 5] + bytes([data[HEAD + 5] ^ 1]) + data[HEAD + 6 :],
    "another last byte": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_touched_is_noticed_and_never_handed_out(sealing, put, tmp_path, change):
    sha256 = put(sealing, os.urandom(2 * CHUNK + 100))
    place = sealing.path(sha256)
    touched = change(place.read_bytes())
    place.chmod(0o600)
    place.write_bytes(touched)
    with pytest.raises(Rejected, match="damaged"):
        sealing.give(sha256, tmp_path / "out", pytest.fail)
    assert {"given", "vault"} == {path.name for path in tmp_path.iterdir()}
    assert touched == place.read_bytes()


def test_the_copy_of_other_bytes_is_noticed(vault, put, tmp_path):
    one, other = put(vault, b"one"), put(vault, b"other")
    vault.path(one).replace(vault.path(other))
    with pytest.raises(Rejected, match="other bytes than were put there"):
        vault.give(other, tmp_path / "out", pytest.fail)


def test_a_wrong_or_missing_key_is_one_line_and_changes_nothing(sealing, put, tmp_path):
    sha256 = put(sealing, CANARY)
    before = sealing.path(sha256).read_bytes()
    for keys, told in (
        (Keys(key("KEY_TWO")), "none of the keys in the config has sealed it"),
        (Keys(), "none of the keys in the config has sealed it"),
        (Keys(Secret(env="NO_SUCH_KEY")), "quarantine.key: the environment variable NO_SUCH_KEY is not set"),
    ):
        with pytest.raises(ConfigError, match=told) as caught:
            b"".join(Vault(tmp_path / "vault", keys).read(sha256))
        assert "\n" not in str(caught.value)
    assert before == sealing.path(sha256).read_bytes()
    assert CANARY == b"".join(sealing.read(sha256))
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        put(Vault(tmp_path / "other", Keys(Secret(env="NO_SUCH_KEY"))), CANARY)
    assert [] == list((tmp_path / "other").glob("??/*"))


def test_a_change_of_key_leaves_the_older_copies_readable(sealing, put, tmp_path):
    old = put(sealing, b"old")
    both = Vault(tmp_path / "vault", Keys(key("KEY_TWO"), [key("KEY_ONE")]))
    new = put(both, b"new")
    assert (b"old", b"new") == tuple(b"".join(both.read(one)) for one in (old, new))
    with pytest.raises(ConfigError):
        b"".join(sealing.read(new))
    # What comes once more is sealed with the key of today.
    put(both, b"old")
    assert b"old" == b"".join(Vault(tmp_path / "vault", Keys(key("KEY_TWO"))).read(old))
    assert 2 == len(copies(both))


def test_what_lay_there_before_there_was_a_key_stays_readable_and_is_sealed_when_it_comes_again(tmp_path, put):
    plain, sealing = Vault(tmp_path / "vault"), Vault(tmp_path / "vault", Keys(key("KEY_ONE")))
    sha256 = put(plain, CANARY)
    assert CANARY == b"".join(sealing.read(sha256))
    assert (True, sha256) == (sealing.has(sha256), sealing.path(sha256).name)
    put(sealing, CANARY)
    assert [f"{sha256}.sealed"] == copies(sealing)
    assert CANARY == b"".join(sealing.read(sha256))
    # And without the key the bytes can be put there anew, beside what cannot be read.
    put(plain, CANARY)
    assert CANARY == b"".join(plain.read(sha256))


def test_a_file_that_looks_sealed_is_a_file_like_others(tmp_path, put, sealing):
    forged = sealing.path(put(sealing, CANARY)).read_bytes()
    plain = Vault(tmp_path / "other")
    assert forged == b"".join(plain.read(put(plain, forged)))


def test_a_large_file_takes_little_memory(sealing, put, tmp_path):
    data = os.urandom(1 << 20) * 32
    source, sha256 = tmp_path / "large", hashlib.sha256(data).hexdigest()
    source.write_bytes(data)
    put(sealing, b"so that all is imported")
    del data
    tracemalloc.start()
    try:
        with sealing.keeping(sha256, source):
            pass
        sealing.give(sha256, tmp_path / "out", lambda: None)
        assert tracemalloc.get_traced_memory()[1] < 8 * CHUNK
    finally:
        tracemalloc.stop()
    assert source.stat().st_size == (tmp_path / "out").stat().st_size


@pytest.mark.parametrize(
    "text", ["", "secret", "QUJD", "A" * 43, base64.b64encode(bytes(31)).decode(), "é" * 44, base64.b64encode(bytes(33)).decode()]
)
def test_a_key_that_is_none_is_told_without_it(monkeypatch, tmp_path, put, text):
    monkeypatch.setenv("KEY_ONE", text)
    with pytest.raises(ConfigError, match=r"^quarantine.key: wants 32 bytes in base64; make one: .*openssl rand -base64 32") as caught:
        put(Vault(tmp_path / "vault", Keys(Secret(env="KEY_ONE"))), CANARY)
    assert not text or text not in str(caught.value)


# Away


def test_copies_that_nobody_holds_are_collected(vault, put):
    kept, gone = put(vault, b"kept"), put(vault, b"gone")
    assert 1 == vault.collect(lambda hashes: set(hashes) & {kept}).files
    assert (True, False) == (vault.has(kept), vault.has(gone))
    assert 0 == vault.collect(lambda _: set(), [gone]).files
    assert 1 == vault.collect(lambda _: set(), [gone, kept]).files
    assert [] == copies(vault)


def test_who_asks_before_anything_was_put_there_is_told_that_nothing_is(tmp_path):
    vault = Vault(tmp_path / "vault")
    assert (0, 0) == vault.collect(pytest.fail)
    assert 0 == vault.mark
    vault.changed()
    assert not (tmp_path / "vault").exists()


def test_each_change_gives_another_mark(vault, put):
    put(vault, b"x")
    marks = []
    for _ in range(10):
        vault.changed()
        marks.append(vault.mark)
    assert 10 == len(set(marks))


def test_a_copy_is_not_collected_before_the_ledger_knows_of_it(vault, put, tmp_path):
    sha256, held = put(vault, b"x"), set()
    ended = threading.Event()

    def collect() -> None:
        vault.collect(lambda hashes: set(hashes) & held)
        ended.set()

    with vault.keeping(sha256, tmp_path / "given"):
        other = threading.Thread(target=collect)
        other.start()
        assert not ended.wait(0.1)
        held.add(sha256)
    other.join()
    assert vault.has(sha256)


def test_a_copy_that_is_collected_just_before_it_is_counted_on_is_made_anew(vault, put, tmp_path, monkeypatch):
    sha256 = put(vault, b"x")
    shared = vault._turnstile.shared

    def late():
        vault.collect(lambda _: set())
        return shared()

    monkeypatch.setattr(vault._turnstile, "shared", late)
    with vault.keeping(sha256, tmp_path / "given"):
        assert b"x" == b"".join(vault.read(sha256))


DYING = """
import os, signal, sys
from pathlib import Path
from transload import disk
from transload.quarantine import Vault
real = os.fsync
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
with Vault(Path(sys.argv[1])).keeping("ab" * 32, Path(sys.argv[2])):
    pass
"""


def test_a_copy_that_was_cut_is_made_anew(vault, put):
    sha256 = put(vault, b"x" * 100)
    place = vault.path(sha256)
    whole = place.read_bytes()
    place.chmod(0o600)
    place.write_bytes(whole[:-1])
    put(vault, b"x" * 100)
    assert b"x" * 100 == b"".join(vault.read(sha256))


def test_what_a_dead_process_left_is_collected_and_what_a_living_one_writes_is_not(tmp_path, put):
    vault = Vault(tmp_path / "vault")
    put(vault, b"y" * 1000)
    subprocess.run([sys.executable, "-c", DYING, tmp_path / "vault", tmp_path / "given"], check=False)
    assert 1 == len(list(vault._folder.glob("ab/*")))
    alive = vault._written(vault._place("ab" * 32, sealed=False), tmp_path / "given")
    assert 1 == vault.collect(set).files
    assert [alive.name] == [str(path) for path in vault._folder.glob("ab/*")]
    alive.close()
    assert 1 == vault.collect(set).files


def test_a_source_that_is_not_there_leaves_nothing(vault, tmp_path):
    with pytest.raises(Missing), vault.keeping("ab" * 32, tmp_path / "no"):
        pytest.fail("it was not there")
    assert [] == copies(vault)
