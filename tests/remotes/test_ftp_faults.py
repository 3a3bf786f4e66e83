"""FTP servers that lie, cut, hang and break the rules: what is fetched is whole or is not there."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.peers.base import PASSWORD, USER
from tests.peers.fake_ftp import LISTING, Cut, FakeFtp
from transload.errors import Busy, Changed, Denied, Full, Missing, Refused, Transient, Unreachable
from transload.model import Entry, Fetched, Name, Parcel
from transload.remotes.ftp import FtpRemote
from transload.secret import Secret
from transload.spool import Spool

os.environ["TRANSLOAD_TEST_PASSWORD"] = PASSWORD
LOGIN = {"user": USER, "password": Secret(env="TRANSLOAD_TEST_PASSWORD"), "timeout": 20.0}
QUICK = 0.7
BIG = os.urandom(1_000_000)
SMALL = b"small"


def remote(peer: FakeFtp, **changed) -> FtpRemote:
    return FtpRemote(**({"host": peer.host, "port": peer.port, "tls": "off"} | LOGIN | changed))


@pytest.fixture
def spool(tmp_path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", min_free=0, keep=0) as made:
        yield made


@pytest.fixture
def ftp() -> Iterator[FakeFtp]:
    with FakeFtp({"big": BIG, "next": SMALL}) as server:
        yield server


def entries(session, folder: str = "") -> dict[str, Entry]:
    return {entry.name.text: entry for entry in session.list(folder, recursive=True)}


def tried(peer: FakeFtp, spool, name: str, **changed):
    """One outcome, with a session of its own; a lost connection is one too."""
    try:
        with remote(peer, **changed).connect() as session:
            return fetch(session, spool, name)[0]
    except Transient as error:
        return Fetched(Entry("", Name(name)), error=error)


def fetch(session, spool, *names: str):
    known = entries(session)
    return list(session.fetch([known[name] for name in names], spool))


def held(outcome) -> bytes:
    assert outcome.error is None
    with open(outcome.spooled.part, "rb") as file:
        data = file.read()
    assert (len(data), hashlib.sha256(data).hexdigest()) == outcome.spooled[1:]
    return data


# Transfers that end too soon


@pytest.mark.parametrize("listing", ["mlsd", "list"])
@pytest.mark.parametrize(
    "cut",
    [
        Cut(400_000, times=1),
        Cut(400_000, reply="426 cut", times=1),
        Cut(400_000, end="reset", reply="426 cut", times=1),
        Cut(400_000, end="reset", reply="226 done", times=1),
        Cut(0, times=1),
        Cut(len(BIG) - 1, times=1),
    ],
    ids=["fin-226", "fin-426", "reset-426", "reset-226", "nothing-226", "all-but-one"],
)
def test_a_download_that_ends_too_soon_stops_no_other_and_is_taken_up_again(ftp, spool, cut, listing):
    ftp.cuts["big"] = replace(cut)
    with remote(ftp, listing=listing).connect() as session:
        first, second = fetch(session, spool, "big", "next")
        assert isinstance(first.error, Unreachable)
        assert first.spooled is None
        assert held(second) == SMALL
        (again,) = fetch(session, spool, "big")
        assert held(again) == BIG


@pytest.mark.parametrize(
    "cut",
    [Cut(400_000, reply=None, times=1), Cut(400_000, reply="close", times=1), Cut(400_000, end="hang", reply=None, times=1)],
    ids=["silence-after", "control-dies", "silence"],
)
def test_a_connection_that_is_lost_in_a_download_is_unreachable_and_the_next_one_goes_on(ftp, spool, cut):
    ftp.cuts["big"] = replace(cut)
    with pytest.raises(Unreachable), remote(ftp, timeout=QUICK).connect() as session:
        fetch(session, spool, "big", "next")
    ftp.heard.clear()
    with remote(ftp).connect() as session:
        (again,) = fetch(session, spool, "big")
        assert held(again) == BIG
    assert "REST" in ftp.verbs()


def test_a_small_download_that_ends_too_soon_is_unreachable(ftp, spool):
    ftp.cuts["next"] = Cut(3, times=1)
    with remote(ftp).connect() as session:
        assert isinstance(fetch(session, spool, "next")[0].error, Unreachable)
        assert held(fetch(session, spool, "next")[0]) == SMALL


def test_a_226_that_comes_before_the_data_is_not_believed_before_its_time(ftp, spool):
    ftp.cuts["big"] = Cut(early=True)
    with remote(ftp).connect() as session:
        assert [BIG, SMALL] == [held(outcome) for outcome in fetch(session, spool, "big", "next")]


def test_a_226_that_never_comes_is_made_good_by_the_next_session(ftp, spool):
    ftp.cuts["big"] = Cut(reply=None, times=1)
    with pytest.raises(Unreachable), remote(ftp, timeout=QUICK).connect() as session:
        fetch(session, spool, "big")
    with remote(ftp).connect() as session:
        assert held(fetch(session, spool, "big")[0]) == BIG


@pytest.mark.parametrize("verb", ["RETR", "EPSV", "MLST", "SIZE", "USER", "TYPE", "FEAT"])
def test_a_control_connection_that_is_silent_or_dies_is_unreachable(ftp, spool, verb):
    ftp.without |= {"MLST", "MLSD"} if verb == "SIZE" else set()
    for how in (ftp.silent, ftp.hangup):
        how.add(verb)
        with pytest.raises(Unreachable), remote(ftp, listing="list", timeout=QUICK).connect() as session:
            list(session.fetch([Entry("", Name(b"next"), 5)], spool))
        how.discard(verb)


def test_an_endless_file_is_left_when_it_passes_the_size_that_was_told(ftp, spool):
    ftp.mlsd = b"type=file;size=3; big\r\n"
    ftp.replies["MLST"] = "250-x\r\n type=file;size=3; big\r\n250 end"
    assert isinstance(tried(ftp, spool, "big").error, Unreachable)


# Listings that end too soon, or never


@pytest.mark.parametrize("listing", ["mlsd", "list"])
@pytest.mark.parametrize(
    "cut",
    [
        Cut(10),
        Cut(70),
        Cut(70, reply="426 cut"),
        Cut(70, reply=None),
        Cut(70, reply="close"),
        Cut(70, end="reset"),
        Cut(70, end="hang", reply=None),
    ],
    ids=["10", "70", "426", "silence-after", "control-dies", "reset", "silence"],
)
def test_a_listing_that_was_cut_is_unreachable_and_gives_no_name(ftp, cut, listing):
    ftp.cuts[LISTING] = cut
    got: list[Entry] = []
    with pytest.raises(Unreachable), remote(ftp, listing=listing, timeout=QUICK).connect() as session:
        got.extend(session.list("", recursive=True))
    assert [] == got


def test_a_listing_without_an_end_is_refused(ftp, monkeypatch):
    monkeypatch.setattr("transload.remotes.ftp.listings.MAX_ENTRIES", 50_000)
    line = b"-rw-r--r-- 1 u g 3 Jan 01 2024 name\r\n" * 1000
    ftp.listing = (line for _ in iter(int, 1))
    with pytest.raises(Refused, match="no end"), remote(ftp, listing="list").connect() as session:
        list(session.list("", recursive=True))


def test_a_line_without_an_end_is_refused(ftp):
    ftp.mlsd = (b"x" * 65536 for _ in iter(int, 1))
    with pytest.raises(Refused, match="no end"), remote(ftp).connect() as session:
        list(session.list("", recursive=True))


def test_a_banner_without_an_end_is_unreachable(ftp):
    ftp.banner = (b"220-hello\r\n" * 100 for _ in iter(int, 1))
    with pytest.raises(Unreachable), remote(ftp).connect():
        pass


def test_a_banner_of_one_endless_line_is_unreachable(ftp):
    ftp.banner = (b"x" * 65536 for _ in iter(int, 1))
    with pytest.raises(Unreachable), remote(ftp).connect():
        pass


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01", None])
def test_something_that_is_no_ftp_server_is_unreachable(ftp, banner):
    ftp.banner = banner
    begun = time.monotonic()
    with pytest.raises(Unreachable), remote(ftp, timeout=0.5).connect():
        pass
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("banner", "kind"), [(b"421 too many users\r\n", Busy), (b"530 no\r\n", Denied), (b"530 maximum of users reached\r\n", Busy)]
)
def test_a_server_that_turns_us_away_says_how(ftp, banner, kind):
    ftp.banner = banner
    with pytest.raises(kind), remote(ftp).connect():
        pass


# Sizes that are lies


@pytest.mark.parametrize(
    "said", ["213 -1", "213 9223372036854775808", "213 many", "213 1.000.000", "213 1,000,000", "213", "550 no", "502 no"]
)
def test_a_size_that_is_none_is_as_if_it_were_not_told(ftp, spool, said):
    ftp.without |= {"MLSD", "MLST"}
    ftp.replies["SIZE"] = said
    with remote(ftp).connect() as session:
        assert [BIG, SMALL] == [held(outcome) for outcome in fetch(session, spool, "big", "next")]


@pytest.mark.parametrize("said", [0, 999_999, 1_000_001])
def test_a_size_that_lies_is_settled_by_the_listing(ftp, spool, said):
    ftp.without |= {"MLSD", "MLST"}
    ftp.replies["SIZE"] = f"213 {said}"
    with remote(ftp).connect() as session:
        assert held(fetch(session, spool, "big")[0]) == BIG


@pytest.mark.parametrize("told", [0, 5, 999_999, 1_000_001])
def test_a_listing_that_lies_about_a_size_is_never_believed(ftp, spool, told):
    ftp.mlsd = b"type=file;size=%d;modify=20240102030405; big\r\n" % told
    assert isinstance(tried(ftp, spool, "big").error, Changed | Unreachable)


def test_a_file_whose_size_nobody_tells_is_fetched_to_its_end(ftp, spool):
    ftp.mlsd = b"type=file; big\r\n"
    ftp.replies |= {"MLST": "250-x\r\n type=file; big\r\n250 end", "SIZE": "550 no"}
    with remote(ftp).connect() as session:
        assert held(fetch(session, spool, "big")[0]) == BIG


# Files that change


@pytest.mark.parametrize("listing", ["mlsd", "list"])
def test_a_file_that_grows_while_it_is_read_is_changed(ftp, spool, listing):
    def grow(name: bytes) -> None:
        ftp.files[name] += b"more"

    ftp.changing = grow
    with remote(ftp, listing=listing).connect() as session:
        assert all(isinstance(outcome.error, Changed) for outcome in fetch(session, spool, "big", "next"))


@pytest.mark.parametrize("without", [set(), {"MLST", "MLSD"}])
def test_a_file_that_is_written_anew_with_the_same_size_while_it_is_read_is_changed(ftp, spool, without):
    ftp.without |= without
    ftp.changing = lambda name: ftp.modified.__setitem__(name, 1_800_000_000.0)
    with remote(ftp).connect() as session:
        assert all(isinstance(outcome.error, Changed) for outcome in fetch(session, spool, "big", "next"))


def test_a_file_that_is_gone_after_it_was_read_whole_is_kept(ftp, spool):
    ftp.changing = lambda name: ftp.files.pop(name) and None
    with remote(ftp).connect() as session:
        assert [BIG, SMALL] == [held(outcome) for outcome in fetch(session, spool, "big", "next")]


def test_a_file_that_is_gone_before_it_is_read_is_missing_and_stops_no_other(ftp, spool):
    with remote(ftp).connect() as session:
        known = entries(session)
        del ftp.files[b"big"]
        first, second = session.fetch([known["big"], known["next"]], spool)
        assert isinstance(first.error, Missing)
        assert held(second) == SMALL


# Going on where it was cut


@pytest.mark.parametrize("rest", ["honour", "ignore", "refuse", "off-by-one"])
def test_a_cut_download_comes_whole_however_the_server_takes_rest(ftp, spool, rest):
    ftp.cuts["big"] = Cut(400_000, times=1)
    ftp.rest = rest
    outcomes = [tried(ftp, spool, "big") for _ in range(3)]
    assert isinstance(outcomes[0].error, Unreachable)
    assert BIG in [held(outcome) for outcome in outcomes if not outcome.error]


def test_only_what_is_missing_is_sent_again(ftp, spool):
    ftp.cuts["big"] = Cut(900_000, times=1)
    with remote(ftp).connect() as session:
        fetch(session, spool, "big")
        ftp.heard.clear()
        assert held(fetch(session, spool, "big")[0]) == BIG
    (rest,) = (line for line in ftp.heard if line.startswith(b"REST"))
    assert int(rest.split()[1]) >= 900_000 - 65_536


def test_other_bytes_before_the_seam_are_fetched_from_the_beginning(ftp, spool):
    ftp.cuts["big"] = Cut(400_000, times=1)
    tried(ftp, spool, "big")
    ftp.files[b"big"] = other = BIG[::-1]
    tried(ftp, spool, "big")
    assert held(tried(ftp, spool, "big")) == other


def test_bytes_all_alike_are_not_taken_for_a_good_seam_by_a_server_that_ignores_rest(ftp, spool):
    ftp.files[b"big"] = bytes(1_000_000)
    ftp.cuts["big"] = Cut(400_000, times=1)
    ftp.rest = "ignore"
    tried(ftp, spool, "big")
    assert isinstance(tried(ftp, spool, "big").error, Unreachable)
    assert held(tried(ftp, spool, "big")) == bytes(1_000_000)


# Names and addresses of a hostile server


@pytest.mark.parametrize("listing", ["mlsd", "list"])
def test_names_that_lead_elsewhere_are_refused_and_told_and_the_others_are_listed(ftp, listing):
    bad = [b"../x", b"/abs", b"a/../../b", b"a/b", b"nul\0here"]
    ftp.mlsd = b"".join(b"type=file;size=3; " + name + b"\r\n" for name in [*bad, b".", b"..", b"good"]) + b"type=dir; ../up\r\n"
    unix = [b"-rw-r--r-- 1 u g 3 Jan 01 2024 " + name for name in [*bad, b".", b"..", b"good"]]
    ftp.listing = b"\r\n".join([*unix, b"drwxr-xr-x 1 u g 3 Jan 01 2024 ../up", b""])
    with remote(ftp, listing=listing).connect() as session:
        assert ["good"] == list(entries(session))
        assert len(bad) + 1 == len(session.refused)


def test_backslashes_and_drive_letters_are_ordinary_in_a_name(ftp):
    ftp.mlsd = b"type=file;size=3; C:\\x\r\ntype=file;size=3; ..\\x\r\n"
    with remote(ftp).connect() as session:
        assert {b"C:\\x", b"..\\x"} == {entry.name.raw for entry in session.list("", recursive=False)}
        assert [] == session.refused


def test_a_line_that_cannot_be_read_is_told(ftp):
    ftp.listing = b"-rw-r--r-- 1 u g 5 Jan 01 2024 next\r\n!! what is this\r\n"
    with remote(ftp, listing="list").connect() as session:
        assert ["next"] == list(entries(session))
        assert ["a line that cannot be read: '!! what is this'"] == session.refused


def test_folders_within_folders_without_an_end_are_left_at_sixty_four(ftp):
    ftp.mlsd = b"type=dir; again\r\ntype=file;size=5; f\r\n"
    ftp.replies["CWD"] = "250 of course"
    with remote(ftp).connect() as session:
        assert 65 == len(list(session.list("", recursive=True)))
        assert "64 levels" in session.refused[0]


@pytest.mark.parametrize("name", [b"a\r\nDELE next", b"a\nb", b"a\rb"])
def test_a_name_with_a_line_end_is_never_said(ftp, spool, name):
    with remote(ftp).connect() as session:
        (outcome,) = session.fetch([Entry("", Name(name), 5)], spool)
        (staged,) = session.stage([Parcel(1, "k", Name(name), "", 0, "")])
        assert isinstance(outcome.error, Refused)
        assert isinstance(staged.error, Refused)
        with pytest.raises(Refused):
            session.remove(Entry("", Name(name), 5))
        with pytest.raises(Refused):
            session.look(Name(name))
    assert {"USER", "PASS", "TYPE", "PWD", "FEAT", "OPTS", "QUIT"} >= set(ftp.verbs())
    assert b"next" in ftp.files


@pytest.mark.parametrize("address", ["169,254,169,254,{port}", "10,0,0,1,{port}", "0,0,0,0,{port}"])
def test_the_address_in_an_answer_to_pasv_is_not_used(ftp, spool, address):
    ftp.without.add("EPSV")
    ftp.pasv = address
    with remote(ftp).connect() as session:
        assert held(fetch(session, spool, "next")[0]) == SMALL


def test_a_port_behind_epsv_that_nobody_listens_at_is_asked_for_with_pasv(ftp, spool):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        number = nobody.getsockname()[1]
    ftp.replies["EPSV"] = f"229 Entering Extended Passive Mode (|||{number}|)"
    with remote(ftp).connect() as session:
        assert held(fetch(session, spool, "next")[0]) == SMALL


@pytest.mark.parametrize("said", ["229 nonsense", "227 (1,2,3)", "229 (|||99999999|)", "425 no port left"])
def test_an_answer_without_a_port_is_unreachable_or_busy(ftp, said):
    ftp.replies["EPSV"] = ftp.replies["PASV"] = said
    with pytest.raises(Transient), remote(ftp).connect() as session:
        entries(session)


# Servers that lack things, or have ways of their own


class FirstLineOnly:
    """A wire to a server that reads one line of each packet and forgets the rest."""

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server((self.host, 0))
        self.port = self.listener.getsockname()[1]
        self.lines: list[socket.socket] = []

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.listener.close()
        for line in self.lines:
            line.close()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection((self.host, self.target))
                self.lines += [client, server]
                threading.Thread(target=self.carry, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self.carry, args=(server, client, False), daemon=True).start()

    def carry(self, source, sink, first: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data.split(b"\r\n")[0] + b"\r\n" if first else data)


def test_a_server_that_loses_commands_sent_together_is_served_one_by_one(ftp, spool):
    with FirstLineOnly(ftp.port) as wire:
        with remote(wire, timeout=QUICK).connect() as session:
            assert [BIG, SMALL] == [held(outcome) for outcome in fetch(session, spool, "big", "next")]
        begun = time.monotonic()
        with remote(wire, timeout=QUICK).connect() as session:
            assert session.look(Name(b"next")).size == len(SMALL)
        assert time.monotonic() - begun < 0.6


def test_mlsd_that_is_promised_and_then_unknown_gives_way_to_list(ftp, spool):
    ftp.replies |= {"MLSD": "500 what?", "MLST": "500 what?"}
    with remote(ftp).connect() as session:
        assert [BIG, SMALL] == [held(outcome) for outcome in fetch(session, spool, "big", "next")]


def test_mlsd_that_was_asked_for_and_is_unknown_is_an_error(ftp):
    ftp.without |= {"MLSD", "MLST"}
    with pytest.raises(Refused), remote(ftp, listing="mlsd").connect() as session:
        entries(session)


@pytest.mark.parametrize("said", ["550 No files found", "450 No such file or directory", "226 nothing here"])
def test_an_empty_folder_that_is_answered_with_an_error_is_empty(ftp, said):
    if said.startswith("226"):
        ftp.listing = b""
    else:
        ftp.replies["LIST"] = said
    with remote(ftp, listing="list").connect() as session:
        assert {} == entries(session)


def test_a_folder_that_may_not_be_listed_is_denied(ftp):
    ftp.replies["LIST"] = "550 Permission denied"
    with pytest.raises(Denied), remote(ftp, listing="list").connect() as session:
        entries(session)


def test_a_missing_folder_is_missing_whatever_the_code(ftp):
    ftp.replies["CWD"] = "501 no such thing"
    with pytest.raises((Missing, Refused)), remote(ftp).connect() as session:
        entries(session, "nowhere")


@pytest.mark.parametrize(
    ("without", "verbs"),
    [({"MLST", "MLSD", "SIZE"}, {"MDTM"}), ({"MLST", "MLSD", "MDTM"}, {"SIZE"}), ({"MLST", "MLSD", "SIZE", "MDTM", "REST", "MFMT"}, set())],
)
def test_a_server_that_lacks_commands_is_asked_for_each_only_once(ftp, spool, without, verbs):
    ftp.without |= without
    for number in range(5):
        ftp.files[b"f%d" % number] = SMALL
    with remote(ftp).connect() as session:
        assert [SMALL] * 5 == [held(outcome) for outcome in fetch(session, spool, *(f"f{number}" for number in range(5)))]
    for verb in {"SIZE", "MDTM"} - verbs:
        assert ftp.verbs().count(verb) <= 2


def test_the_times_of_a_listing_are_not_asked_for_one_by_one(ftp):
    ftp.without |= {"MLST", "MLSD"}
    ftp.files |= {b"f%d" % number: b"x" for number in range(100)}
    with remote(ftp).connect() as session:
        assert 102 == len(entries(session))
    assert "MDTM" not in ftp.verbs()


def test_only_times_of_mlsd_settle(ftp):
    with remote(ftp).connect() as session:
        assert {(True, 1.0)} == {(entry.settles, entry.precision) for entry in entries(session).values()}
    with remote(ftp, listing="list").connect() as session:
        assert {(False, 86400.0)} == {(entry.settles, entry.precision) for entry in entries(session).values()}


def test_names_with_a_leading_dot_are_listed_where_list_a_is_known(ftp):
    ftp.listing = b"drwxr-xr-x 2 u g 4096 Jan 01 2024 .\r\n-rw-r--r-- 1 u g 5 Jan 01 2024 .hidden\r\n"
    with remote(ftp, listing="list").connect() as session:
        assert [".hidden"] == list(entries(session))
    assert b"LIST" not in ftp.heard


def test_links_to_files_are_followed_and_others_are_left_out(ftp):
    ftp.without |= {"MLST", "MLSD"}
    ftp.listing = b"lrwxrwxrwx 1 u g 4 Jan 01 2024 next -> x\r\nlrwxrwxrwx 1 u g 4 Jan 01 2024 gone -> y\r\n"
    with remote(ftp).connect() as session:
        (entry,) = entries(session).values()
        assert ("next", 5) == (entry.name.text, entry.size)


def test_names_are_spoken_in_the_encoding_of_the_remote(spool):
    with FakeFtp({"ä.csv": SMALL}) as ftp:
        ftp.encoding = "latin-1"
        with remote(ftp, encoding="latin-1").connect() as session:
            assert held(fetch(session, spool, "ä.csv")[0]) == SMALL
        assert b"RETR /\xe4.csv" in ftp.heard
        assert b"OPTS UTF8 ON" not in ftp.heard


def test_utf8_is_switched_on_where_the_server_offers_it(ftp):
    with remote(ftp).connect():
        pass
    assert b"OPTS UTF8 ON" in ftp.heard
    assert b"TYPE I" in ftp.heard


def test_paths_that_are_not_like_those_of_unix_are_left_to_the_server(spool):
    with FakeFtp({"A.TXT;1": SMALL}) as ftp:
        ftp.without |= {"MLST", "MLSD"}
        ftp.replies |= {"PWD": '257 "DKA0:[FTP]" is the current folder', "CWD": "250 ok"}
        ftp.listing = b"Directory DKA0:[FTP]\r\n\r\nA.TXT;1   1/3   2-AUG-2006 13:05  [ME]  (RWE,RWE,RE,)\r\n\r\nTotal of 1 file\r\n"
        with remote(ftp).connect() as session:
            assert held(fetch(session, spool, "A.TXT;1")[0]) == SMALL
        assert b"RETR A.TXT;1" in ftp.heard


# A full spool


class FullSpool:
    def __init__(self, spool, after: int) -> None:
        self.spool, self.after = spool, after
        self.put = spool.put

    def part(self, entry):
        part, after = self.spool.part(entry), self.after

        class Narrow:
            offset = part.offset
            tail, head, restart, keep, drop, done = part.tail, part.head, part.restart, part.keep, part.drop, part.done
            written = 0

            def write(self, data) -> None:
                self.written += len(data)
                if self.written > after:
                    raise Full("no room")
                part.write(data)

        return Narrow()


def test_a_full_spool_is_told_and_leaves_nothing(ftp, spool, tmp_path):
    with pytest.raises(Full), remote(ftp).connect() as session:
        fetch(session, FullSpool(spool, 300_000), "big")
    left = [path for path in (tmp_path / "spool" / "parts").rglob("*") if path.is_file() and path.stat().st_size]
    assert [] == left
