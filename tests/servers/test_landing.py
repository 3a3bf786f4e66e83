"""Uploads that land: what is answered with "yes" is in spool, ledger and home; what is not leaves nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.servers.landings import USER, answered, evidence
from transload.errors import Busy, Conflict, Full, LedgerAway, Missing, Refused, TransloadError, Unreachable
from transload.model import Name
from transload.servers.base import Sending
from transload.spool.room import Room


def test_a_yes_means_that_spool_ledger_and_home_have_it(wharf):
    wharf.put("in.csv", b"hello")
    assert {"in.csv": b"hello"} == wharf.files()
    assert [(f"{USER}/in.csv", 1, "ready")] == wharf.arrivals()
    sha256 = hashlib.sha256(b"hello").hexdigest()
    assert sha256 == wharf.landing.sha256(wharf.home, Name("in.csv"))
    assert wharf.spool.has(sha256)
    assert 1 == wharf.woken
    [owed] = wharf.ledger.view.deliveries(1)
    assert ("lake", "in.csv", "owed") == (owed.remote, owed.text, owed.state)


def test_the_trace_says_who_sent_it_from_where_and_by_what(wharf):
    wharf.put("a.csv", b"12345")
    [event] = wharf.ledger.view.events(1)
    assert ("received", f"received over ftps from 10.0.0.7 as {USER}: 5 bytes; owed to lake") == (event.what, event.detail)


def test_nothing_shows_before_the_upload_is_finished(wharf):
    upload = wharf.begin("a.csv")
    upload.write(b"half")
    assert {} == wharf.files(hidden=True)
    upload.discard()
    assert ({}, []) == (wharf.files(hidden=True), wharf.arrivals())


def test_hundreds_at_once_all_arrive_once(wharf):
    def send(number):
        for count in range(25):
            wharf.put(f"{number}-{count}.csv", b"%d %d" % (number, count))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = {f"{number}-{count}.csv" for number in range(8) for count in range(25)}
    assert wanted == wharf.files().keys()
    assert sorted(wanted) == sorted(wharf.names())


def test_those_that_wait_for_a_slow_ledger_keep_no_more_files_open_than_two_groups_have(wharf):
    answers, many = [], 1000
    before = len(os.listdir("/proc/self/fd"))
    with wharf.ledger.database.write():
        for number in range(many):
            upload = wharf.begin(f"{number}.csv")
            upload.write(b"%d" % number)
            upload.finish(answers.append)
        assert len(os.listdir("/proc/self/fd")) - before < 600
    wharf.landing.close()
    assert [None] * many == answers


def test_a_large_file_is_hashed_beside_and_arrives_whole(wharf):
    data = os.urandom(9 << 20)
    upload = wharf.begin("large.bin")
    for at in range(0, len(data), 1 << 18):
        upload.write(data[at : at + (1 << 18)])
    answered(upload.finish)
    assert data == wharf.files()["large.bin"]
    assert hashlib.sha256(data).hexdigest() == wharf.landing.sha256(wharf.home, Name("large.bin"))


def test_blocks_in_any_order_and_rewritten_ones_are_hashed_as_they_are_at_the_end(wharf):
    upload = wharf.begin("b.bin")
    upload.write_at(4, b"5678")
    upload.write_at(0, b"1234")
    upload.write_at(2, b"xx")
    upload.cut_to(6)
    upload.write_at(6, b"!")
    answered(upload.finish)
    assert {"b.bin": b"12xx56!"} == wharf.files()
    assert hashlib.sha256(b"12xx56!").hexdigest() == wharf.landing.sha256(wharf.home, Name("b.bin"))


def test_an_open_that_truncates_streams_again(wharf):
    upload = wharf.begin("b.bin")
    upload.write(b"old")
    upload.cut_to(0)
    upload.write(b"new one")
    answered(upload.finish)
    assert hashlib.sha256(b"new one").hexdigest() == wharf.landing.sha256(wharf.home, Name("b.bin"))


def test_an_empty_file_arrives(wharf):
    wharf.put("empty", b"")
    assert ({"empty": b""}, ["empty"]) == (wharf.files(), wharf.names())


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.csv", b"new\nline", b"tab\t", b" -lead", "ünï.csv".encode(), b"x" * 255, b"a%41", b"d/e/f.csv"]
)
def test_awkward_names_arrive_as_they_are(wharf, name):
    if b"/" in name:
        wharf.home.make_folder(b"d")
        wharf.home.make_folder(b"d/e")
    wharf.put(name, b"data")
    assert {os.fsdecode(name): b"data"} == wharf.files()
    assert wharf.landing.sha256(wharf.home, Name(name))


def test_the_time_that_a_client_gives_its_file_is_kept(wharf):
    upload = wharf.begin("a.csv")
    upload.write(b"x")
    upload.modified = 1_500_000_000_000_000
    answered(upload.finish)
    assert 1_500_000_000 == os.stat(os.path.join(wharf.home.root, b"a.csv")).st_mtime


# The same name again


def test_a_name_again_is_version_two_and_the_older_file_keeps_its_bytes_under_another(wharf):
    wharf.put("a.csv", b"first")
    wharf.put("a.csv", b"second")
    wharf.put("a.csv", b"third")
    assert {"a.csv": b"third", "a.v1.csv": b"first", "a.v2.csv": b"second"} == wharf.files()
    assert [(f"{USER}/a.csv", number, "ready") for number in (1, 2, 3)] == wharf.arrivals()


def test_the_same_bytes_again_are_a_yes_and_nothing_new(wharf):
    wharf.put("a.csv", b"same")
    wharf.put("a.csv", b"same")
    assert {"a.csv": b"same"} == wharf.files()
    assert [(f"{USER}/a.csv", 1, "ready")] == wharf.arrivals()


def test_the_same_bytes_after_the_user_removed_them_are_nothing_new_either(wharf):
    wharf.put("a.csv", b"same")
    wharf.remove("a.csv")
    wharf.put("a.csv", b"same")
    assert {"a.csv": b"same"} == wharf.files()
    assert [(f"{USER}/a.csv", 1, "ready")] == wharf.arrivals()
    assert ["received", "received again"] == [event.what for event in wharf.ledger.view.events(1)]


def test_replace_puts_the_new_in_place_of_the_old(wharves):
    wharf = wharves({"arrival": {"exists": "replace"}})
    wharf.put("a.csv", b"first")
    wharf.put("a.csv", b"second")
    assert {"a.csv": b"second"} == wharf.files()
    assert [1, 2] == [version for _, version, _ in wharf.arrivals()]


def test_refuse_says_no_before_the_first_byte(wharves):
    wharf = wharves({"arrival": {"exists": "refuse"}})
    wharf.put("a.csv", b"first")
    with pytest.raises(Conflict, match="may not be uploaded again"):
        wharf.begin("a.csv")
    assert {"a.csv": b"first"} == wharf.files()


def test_a_users_own_word_holds_where_the_route_says_nothing(wharves):
    wharf = wharves({}, arrival='{"exists": "refuse"}')
    wharf.put("a.csv", b"first")
    with pytest.raises(Conflict):
        wharf.begin("a.csv")


def test_two_sessions_with_one_name_at_once_lose_nothing(wharf):
    uploads = [wharf.begin("a.csv") for _ in range(6)]
    for number, upload in enumerate(uploads):
        upload.write(b"session %d" % number)
    threads = [threading.Thread(target=answered, args=(upload.finish,)) for upload in uploads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = {b"session %d" % number for number in range(6)}
    assert (wanted, 6) == (set(wharf.files().values()), len(wharf.files()))
    assert [1, 2, 3, 4, 5, 6] == [version for _, version, _ in wharf.arrivals()]


def test_a_file_that_nobody_uploaded_is_set_aside_too(wharf):
    Path(os.fsdecode(wharf.home.root), "a.csv").write_bytes(b"the operator's")
    wharf.put("a.csv", b"mine")
    assert {"a.csv": b"mine", "a.v1.csv": b"the operator's"} == wharf.files()


def test_a_folder_in_the_way_is_a_conflict(wharf):
    wharf.home.make_folder(b"a")
    with pytest.raises(Conflict, match="a folder"):
        wharf.begin("a")


# Cut, and resumed


def test_a_cut_upload_is_kept_and_never_counts(wharf):
    wharf.cut("a.csv", b"half of")
    assert ({}, [], b"half of") == (wharf.files(), wharf.arrivals(), wharf.kept("a.csv"))


def test_a_resumed_upload_arrives_once_with_the_hash_of_the_whole(wharf):
    wharf.cut("a.csv", b"half of ")
    upload = wharf.begin("a.csv", offset=8)
    assert (8, 8) == (upload.offset, upload.size)
    assert wharf.kept("a.csv") is None
    upload.write(b"it")
    answered(upload.finish)
    assert ({"a.csv": b"half of it"}, ["a.csv"]) == (wharf.files(hidden=True), wharf.names())
    assert hashlib.sha256(b"half of it").hexdigest() == wharf.landing.sha256(wharf.home, Name("a.csv"))


def test_an_offset_below_what_is_kept_truncates_it(wharf):
    wharf.cut("a.csv", b"12345678")
    wharf.put("a.csv", b"X", offset=3)
    assert {"a.csv": b"123X"} == wharf.files(hidden=True)


def test_an_offset_above_what_is_kept_is_refused_and_it_stays(wharf):
    wharf.cut("a.csv", b"1234")
    with pytest.raises(Refused, match="4 bytes"):
        wharf.begin("a.csv", offset=5)
    with pytest.raises(Refused):
        wharf.begin("other.csv", offset=1)
    assert b"1234" == wharf.kept("a.csv")


def test_a_resumed_upload_that_is_cut_again_is_kept_again(wharf):
    wharf.cut("a.csv", b"12")
    wharf.cut("a.csv", b"34", offset=2)
    assert b"1234" == wharf.kept("a.csv")
    wharf.put("a.csv", b"56", append=True)
    assert {"a.csv": b"123456"} == wharf.files(hidden=True)


def test_a_new_upload_makes_what_was_kept_obsolete(wharf):
    wharf.cut("a.csv", b"half")
    wharf.put("a.csv", b"whole")
    assert {"a.csv": b"whole"} == wharf.files(hidden=True)


def test_appending_to_a_whole_file_is_its_next_version_in_place(wharf):
    wharf.put("log.csv", b"one\n")
    wharf.put("log.csv", b"two\n", append=True)
    assert {"log.csv": b"one\ntwo\n"} == wharf.files(hidden=True)
    assert [(f"{USER}/log.csv", 1, "ready"), (f"{USER}/log.csv", 2, "ready")] == wharf.arrivals()
    assert hashlib.sha256(b"one\ntwo\n").hexdigest() == wharf.landing.sha256(wharf.home, Name("log.csv"))


def test_an_append_replaces_only_the_file_that_it_began_with(wharf):
    wharf.put("log.csv", b"old\n")
    one, two = wharf.begin("log.csv", append=True), wharf.begin("log.csv", append=True)
    wharf.put("log.csv", b"another\n")
    for upload in one, two:
        upload.write(b"more\n")
        answered(upload.finish)
    older = {"log.v1.csv": b"old\n", "log.v2.csv": b"another\n"}
    assert {"log.csv": b"old\nmore\n", **older} == wharf.files(hidden=True)
    assert [1, 2, 3] == [version for _, version, _ in wharf.arrivals()]


def test_an_append_beside_a_new_file_that_nothing_took_yet_leaves_it_to_be_taken(wharves):
    wharf = wharves({"arrival": {"complete": "rename"}})
    wharf.put("log.csv", b"old\n")
    upload = wharf.begin("log.csv", append=True)
    upload.write(b"more\n")
    wharf.put("log.csv", b"another\n")
    answered(upload.finish)
    assert {"log.csv": b"old\nmore\n", "log.v1.csv": b"old\n", "log.v2.csv": b"another\n"} == wharf.files(hidden=True)
    wharf.rename("log.v2.csv", "other.csv")
    assert ["other.csv"] == wharf.names()


def test_a_cut_append_leaves_the_whole_file_whole_and_nothing_beside_it(wharf):
    wharf.put("log.csv", b"one\n")
    wharf.cut("log.csv", b"tw", append=True)
    assert {"log.csv": b"one\n"} == wharf.files(hidden=True)
    wharf.remove("log.csv")
    wharf.put("log.csv", b"two\n", append=True)
    assert {"log.csv": b"two\n"} == wharf.files(hidden=True)


def test_a_cut_new_version_goes_on_with_its_own_bytes(wharf):
    wharf.put("a.csv", b"the older one")
    wharf.cut("a.csv", b"0123456789")
    with pytest.raises(Refused, match="it has 10 bytes: it cannot go on at 11"):
        wharf.begin("a.csv", offset=11)
    wharf.put("a.csv", b"ABC", offset=8)
    assert {"a.csv": b"01234567ABC", "a.v1.csv": b"the older one"} == wharf.files(hidden=True)
    wharf.cut("a.csv", b"as long as can be")
    wharf.put("a.csv", b"!", offset=17)
    assert b"as long as can be!" == wharf.files()["a.csv"]


def test_what_was_announced_larger_than_it_came_is_not_whole(wharf):
    with pytest.raises(Refused, match="announced with 10 bytes, and 4 came"):
        wharf.put("a.csv", b"1234", size=10)
    assert ({}, b"1234") == (wharf.files(), wharf.kept("a.csv"))
    wharf.put("a.csv", b"567890", size=10, offset=4)
    assert {"a.csv": b"1234567890"} == wharf.files(hidden=True)


def test_a_name_too_long_to_be_kept_is_not(wharf):
    wharf.cut(b"x" * 255, b"half")
    assert {} == wharf.files(hidden=True)


# Evidence


def test_a_client_that_was_gone_leaves_a_cut_upload(wharf):
    upload = wharf.begin("a.csv")
    upload.write(b"seemed whole")
    with pytest.raises(Unreachable, match="kept"):
        answered(lambda then: upload.finish(then, evidence(False)))
    assert ({}, [], b"seemed whol") == (wharf.files(), wharf.arrivals(), wharf.kept("a.csv"))


def test_evidence_that_fails_is_no_evidence(wharf):
    upload, sure = wharf.begin("a.csv"), evidence()
    upload.write(b"data")
    sure.set_exception(OSError("who knows"))
    with pytest.raises(Unreachable):
        answered(lambda then: upload.finish(then, sure))
    assert [] == wharf.arrivals()


def test_lenient_counts_though_the_client_hung_up(wharves):
    wharf = wharves({"arrival": {"lenient": True}})
    upload = wharf.begin("a.csv")
    upload.write(b"data")
    answered(lambda then: upload.finish(then, evidence(False)))
    assert ["a.csv"] == wharf.names()


def test_one_that_is_not_sure_yet_keeps_no_other_waiting(wharf):
    upload, sure, heard = wharf.begin("slow.csv"), evidence(), []
    upload.write(b"data")
    upload.finish(heard.append, sure)
    for number in range(20):
        wharf.put(f"{number}.csv", b"quick %d" % number)
    assert ([], 20) == (heard, len(wharf.arrivals()))
    sure.set_result(True)
    wharf.becomes([f"{number}.csv" for number in range(20)] + ["slow.csv"])


# Trouble


def test_a_full_spool_is_said_before_a_byte_and_the_older_file_stays(wharf):
    wharf.put("a.csv", b"older")
    wharf.spool.room = Room(str(wharf.spool.folder), 1 << 60)
    with pytest.raises(Full):
        wharf.begin("a.csv")
    assert ({"a.csv": b"older"}, 1) == (wharf.files(hidden=True), len(wharf.arrivals()))


def test_a_home_that_is_full_is_told_and_leaves_nothing(wharf, monkeypatch):
    from transload.servers.landing import placing

    def full(*_):
        raise OSError(28, "No space left on device")

    wharf.put("a.csv", b"older")
    monkeypatch.setattr(placing, "copy_in", full)
    with pytest.raises(Full):
        wharf.put("a.csv", b"newer")
    assert ({"a.csv": b"older"}, 1) == (wharf.files(hidden=True), len(wharf.arrivals()))


def test_without_the_ledger_nothing_is_promised_and_the_older_file_stays(wharf, monkeypatch):
    wharf.put("a.csv", b"older")
    wharf.put("x.tmp", b"to be renamed")

    def away(*_):
        raise LedgerAway("the ledger is away")

    with monkeypatch.context() as patched:
        patched.setattr(wharf.ledger.uploads, "record", away)
        patched.setattr(wharf.ledger.uploads, "below", away)
        with pytest.raises(LedgerAway):
            wharf.put("a.csv", b"newer")
        with pytest.raises(LedgerAway):
            wharf.rename("x.tmp", "x.csv")
        with pytest.raises(LedgerAway):
            wharf.rename("x.tmp", "a.csv")
        with pytest.raises(LedgerAway):
            wharf.remove("a.csv")
        assert {"a.csv": b"older", "x.tmp": b"to be renamed"} == wharf.files(hidden=True)
    wharf.put("a.csv", b"newer")
    assert {"a.csv": b"newer", "a.v1.csv": b"older", "x.tmp": b"to be renamed"} == wharf.files(hidden=True)


def test_a_meter_that_says_no_ends_the_upload_and_is_told_the_truth(wharf):
    class Meter:
        def __init__(self):
            self.settled = []

        def __call__(self, size):
            if size > 10:
                raise Full("the quota is used up")

        def instead(self, size): ...

        def whole(self, size): ...

        def settle(self, count, files):
            self.settled.append((count, files))

    first, second, third = Meter(), Meter(), Meter()
    wharf.put("a.csv", b"0123456789", admit=first)
    upload = wharf.begin("b.csv", admit=second)
    upload.write(b"01234")
    with pytest.raises(Full):
        upload.write(b"567890")
    upload.cut("no room")
    wharf.put("a.csv", b"again", admit=third)
    assert ([(10, 1)], [(5, 1)], [(5, 1)]) == (first.settled, second.settled, third.settled)


def test_after_the_end_there_is_an_answer_all_the_same(wharf):
    upload = wharf.begin("a.csv")
    upload.write(b"late")
    wharf.landing.close()
    with pytest.raises(Exception, match="stopping"):
        answered(upload.finish)
    assert {} == wharf.files()
    wharf.landing = wharf.opened()


# Renamed and removed


def test_a_removed_file_goes_its_way_all_the_same(wharf):
    wharf.put("a.csv", b"data")
    wharf.remove("a.csv")
    assert ({}, [(f"{USER}/a.csv", 1, "ready")]) == (wharf.files(hidden=True), wharf.arrivals())
    with pytest.raises(Missing):
        wharf.remove("a.csv")


def test_a_cut_upload_can_be_removed_but_a_rename_is_no_yes_to_it(wharf):
    wharf.cut("a.tmp", b"half")
    with pytest.raises(Busy, match="its upload is not complete"):
        wharf.rename("a.tmp", "a.csv")
    assert (b"half", {}) == (wharf.kept("a.tmp"), wharf.files())
    wharf.remove("a.tmp")
    assert {} == wharf.files(hidden=True)


@pytest.mark.parametrize("exists", ["version", "replace"])
def test_a_rename_that_the_disk_refuses_leaves_all_as_it_was(wharves, monkeypatch, exists):
    wharf = wharves({"arrival": {"exists": exists}})
    wharf.put("a.csv", b"old")
    wharf.put("a.tmp", b"new")

    def refuse(*_, **__):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    with monkeypatch.context() as patched, pytest.raises(TransloadError, match="cross-device"):
        patched.setattr("transload.servers.landing.members.os.rename", refuse)
        wharf.rename("a.tmp", "a.csv")
    assert {"a.csv": b"old", "a.tmp": b"new"} == wharf.files(hidden=True)
    wharf.rename("a.tmp", "a.csv")
    assert b"new" == wharf.files()["a.csv"]


def test_files_that_were_taken_away_by_hand_keep_nobody_from_their_names(wharf):
    root = Path(os.fsdecode(wharf.home.root))
    for data in b"1", b"2":
        wharf.put("a.csv", data)
    (root / "a.v1.csv").unlink()
    wharf.put("a.csv", b"3")
    wharf.put("a.tmp", b"4")
    wharf.rename("a.tmp", "a.csv")
    assert {"a.csv": b"4", "a.v2.csv": b"2", "a.v3.csv": b"3"} == wharf.files(hidden=True)
    assert [1, 2, 3, 4] == [version for _, version, _ in wharf.arrivals()]


def test_a_folder_that_was_taken_away_by_hand_keeps_nobody_from_its_name(wharf):
    for folder in b"in", b"done":
        wharf.home.make_folder(folder)
        wharf.put(folder + b"/a.csv", folder)
    shutil.rmtree(Path(os.fsdecode(wharf.home.root), "done"))
    wharf.rename("in", "done")
    assert {"done/a.csv": b"in"} == wharf.files(hidden=True)
    assert hashlib.sha256(b"in").hexdigest() == wharf.landing.sha256(wharf.home, Name("done/a.csv"))


def test_what_was_received_replaces_nothing_when_it_is_renamed(wharf):
    wharf.put("a.csv", b"one")
    wharf.put("b.csv", b"two")
    with pytest.raises(Conflict):
        wharf.rename("a.csv", "b.csv")
    assert {"a.csv": b"one", "b.csv": b"two"} == wharf.files(hidden=True)
    wharf.rename("a.csv", "c.csv")
    assert {"c.csv": b"one", "b.csv": b"two"} == wharf.files(hidden=True)
    assert ["a.csv", "b.csv"] == wharf.names()


def test_a_folder_is_renamed_with_all_that_is_in_it(wharf):
    wharf.home.make_folder(b"d")
    wharf.home.make_folder(b"d0")
    wharf.put("d/a.csv", b"one")
    wharf.put("d0/a.csv", b"not this one")
    wharf.rename("d", "e")
    assert {"e/a.csv": b"one", "d0/a.csv": b"not this one"} == wharf.files(hidden=True)
    assert wharf.landing.sha256(wharf.home, Name("e/a.csv"))
    assert wharf.landing.sha256(wharf.home, Name("d/a.csv")) is None
    assert wharf.landing.sha256(wharf.home, Name("d0/a.csv"))
    with pytest.raises(Conflict):
        wharf.rename("e", "d0")


def test_a_folder_that_goes_while_something_is_uploaded_into_it(wharf):
    wharf.home.make_folder(b"d")
    upload = wharf.begin("d/a.csv")
    upload.write(b"data")
    wharf.home.remove_folder(b"d")
    with pytest.raises(Missing):
        answered(upload.finish)
    assert ({}, []) == (wharf.files(hidden=True), wharf.arrivals())


def test_two_users_of_one_home_set_each_others_files_aside_and_each_has_arrivals_of_its_own(wharf):
    other = wharf.account.model_copy(update={"name": "second"})
    wharf.ledger.people.put(other)
    home = wharf.homes.of("second", USER)

    def put(name, data):
        upload = wharf.landing.upload(Sending(other, wharf.login, home, Name(name)))
        upload.write(data)
        answered(upload.finish)

    wharf.put("a.csv", b"first")
    put("a.csv", b"second")
    put("a.csv", b"first")
    assert {"a.csv": b"first", "a.v1.csv": b"first", "a.v2.csv": b"second"} == wharf.files(hidden=True)
    assert ["observator/a.csv", "second/a.csv", "second/a.csv"] == [path for path, _, _ in wharf.arrivals()]
    assert hashlib.sha256(b"first").hexdigest() == wharf.landing.sha256(wharf.home, Name("a.csv"))
    assert hashlib.sha256(b"second").hexdigest() == wharf.landing.sha256(wharf.home, Name("a.v2.csv"))
    wharf.put("x.tmp", b"of the one")
    answered(lambda then: wharf.landing.rename(home, wharf.login, Name("x.tmp"), Name("x.csv"), then))
    wharf.home.make_folder(b"d")
    wharf.put("d/a.csv", b"one")
    put("d/b.csv", b"two")
    wharf.rename("d", "e")
    assert wharf.landing.sha256(wharf.home, Name("e/a.csv"))
    assert wharf.landing.sha256(home, Name("e/b.csv"))
    wharf.remove("e/b.csv")
    assert wharf.landing.sha256(home, Name("e/b.csv")) is None
