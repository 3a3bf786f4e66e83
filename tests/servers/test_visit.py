"""A visit: what a user may and may not, whatever the protocol and whatever the landing."""

from __future__ import annotations

import itertools
import os
import random
import string

import pytest

from tests.servers.staying import ALL, LANDINGS, Inn, Seat, ended, get, names, put, remove, rename
from transload.accounts import Account, Limits, Rights
from transload.errors import Conflict, Denied, Missing, Refused, Rejected, TransloadError
from transload.servers.base import KEPT, RESERVED


@pytest.fixture(params=LANDINGS)
def inn(request, tmp_path):
    (tmp_path / "inbox").mkdir()
    with LANDINGS[request.param](tmp_path) as landing:
        yield Inn(tmp_path / "inbox", landing)


@pytest.fixture
def visit(inn):
    return inn.visit()


# What a user sees


def test_what_is_put_can_be_seen_read_renamed_and_removed(visit):
    visit.make_folder(b"/in")
    put(visit, b"/in/a.csv", b"one")
    assert b"one" == get(visit, b"in/a.csv")
    rename(visit, b"/in/a.csv", b"b.csv")
    assert ([b"b.csv", b"in"], []) == (names(visit), names(visit, b"/in"))
    remove(visit, b"b.csv")
    visit.remove_folder(b"in")
    assert [] == names(visit)


def test_a_path_is_taken_by_its_text_alone(visit):
    put(visit, b"/no/such/../../a")
    assert b"hello" == get(visit, b"../../a")
    assert [b"a"] == names(visit, b"/..")
    visit.enter(b"/x/..")
    assert visit.item(b"").folder


def test_the_hash_of_what_was_received_is_known(visit):
    put(visit, b"a", b"hello")
    assert "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" == visit.sha256(b"/a")
    assert visit.sha256(b"b") is None
    assert visit.sha256(b"/") is None


@pytest.mark.parametrize(
    "name", [b"x" * 255, b"\xff\xfe", b"a\tb", b"-x", b" ", b"%46", b"a;b*?", b"\\", b"\xe2\x80\xae", b"...", b"x" * 55]
)
def test_a_name_comes_back_as_it_was_given(visit, name):
    put(visit, b"/" + name)
    assert [name] == names(visit)
    assert b"hello" == get(visit, name)
    rename(visit, name, b"other")
    rename(visit, b"other", name)
    remove(visit, name)
    visit.make_folder(name)
    assert visit.item(name).folder


def test_names_that_differ_in_one_broken_byte_stay_apart(visit):
    for number, name in enumerate((b"\xff", b"\xfe", b"\xc3\xbf", b"%FF")):
        put(visit, name, b"%d" % number)
    assert [b"0", b"1", b"2", b"3"] == [get(visit, name) for name in (b"\xff", b"\xfe", b"\xc3\xbf", b"%FF")]


@pytest.mark.parametrize(
    "name",
    [
        b"a\nb",
        b"a\rb",
        RESERVED + b"x",
        KEPT + b"x",
        RESERVED,
        b"in/" + KEPT + b"x",
        KEPT + b"x/y",
        b"x" * 256,
        b"a\0b",
        b"/",
        b"",
        b"x/..",
    ],
)
def test_a_name_that_cannot_be_is_refused_with_a_reason(visit, name):
    visit.make_folder(b"in")
    put(visit, b"a")
    for one in (lambda: put(visit, name), lambda: rename(visit, b"a", name), lambda: visit.make_folder(name)):
        with pytest.raises((Refused, Rejected, Conflict)) as told:
            one()
        assert str(told.value)
        assert "\n" not in str(told.value)
    assert [b"a", b"in"] == names(visit)


def test_a_path_longer_than_any_is_an_error_in_one_line(visit):
    for path in (b"a/" * 3000 + b"b", b"x" * 5000):
        for one in (lambda path=path: visit.item(path), lambda path=path: visit.upload(path), lambda path=path: visit.make_folder(path)):
            with pytest.raises(TransloadError):
                one()


def test_what_the_server_keeps_for_itself_is_not_there_for_anyone(inn, visit):
    put(visit, b"a")
    upload = visit.upload(b"cut")
    upload.write(b"123")
    upload.cut("gone")
    kept = KEPT + b"cut"
    assert os.path.exists(os.fsencode(inn.folder) + b"/ann/" + kept)
    for one in (visit.item, visit.read, visit.remove_folder, lambda at: remove(visit, at), lambda at: rename(visit, at, b"x"), visit.enter):
        with pytest.raises(Missing):
            one(kept)
    assert [b"a", b"cut"] == names(visit)


def test_a_cut_upload_is_seen_goes_on_and_is_whole_once(visit):
    upload = visit.upload(b"/big")
    upload.write(b"12345")
    upload.cut("the line broke")
    assert 5 == visit.item(b"big").size
    assert visit.sha256(b"big") is None
    put(visit, b"/big", b"678", offset=5)
    assert b"12345678" == get(visit, b"big")
    assert [b"big"] == names(visit)


def test_what_is_cut_after_a_later_upload_of_its_name_is_not_kept(inn, visit):
    old, cut = visit.upload(b"a.part"), visit.upload(b"b")
    old.write(b"old and never ended")
    cut.write(b"the same, ")
    put(visit, b"a.part", b"sent again")
    rename(visit, b"a.part", b"a")
    later = visit.upload(b"b")
    later.write(b"the same, and more")
    later.cut("the client was gone")
    old.cut("nothing was heard of it for long")
    cut.cut("nothing was heard of it for long")
    assert [b"a", b"b"] == names(visit)
    assert len(b"the same, and more") == visit.item(b"b").size
    assert len(b"sent againthe same, and more") == sum(visit.item(name).size for name in names(visit))
    fresh = visit.upload(b"a.part")
    fresh.write(b"and so on")
    fresh.cut("the client was gone")
    assert [b"a", b"a.part", b"b"] == names(visit)


def test_the_quota_hears_of_what_is_not_kept(inn):
    visit = inn.visit(quota=100)
    old = visit.upload(b"a.part")
    old.write(bytes(40))
    put(visit, b"a.part", bytes(10))
    rename(visit, b"a.part", b"a")
    old.cut("nothing was heard of it for long")
    assert 90 == visit.room()[1]


def test_a_name_uploaded_again_keeps_what_was_there(visit):
    for text in (b"one", b"two", b"three"):
        put(visit, b"a.csv", text)
    assert [b"a.csv", b"a.v1.csv", b"a.v2.csv"] == names(visit)
    assert b"three" == get(visit, b"a.csv")
    assert {b"one", b"two"} == {get(visit, b"a.v1.csv"), get(visit, b"a.v2.csv")}


def test_a_name_may_be_replaced_or_refused_where_the_account_says_so(inn):
    replaces, refuses = (inn.visit(word, arrival=f'{{"exists": "{word}"}}') for word in ("replace", "refuse"))
    for one in (replaces, refuses):
        put(one, b"a", b"old")
    put(replaces, b"a", b"new")
    assert ([b"a"], b"new") == (names(replaces), get(replaces, b"a"))
    with pytest.raises(Conflict):
        refuses.upload(b"a")
    assert ([b"a"], b"old") == (names(refuses), get(refuses, b"a"))


def test_a_rename_never_replaces_and_a_folder_is_no_file(visit):
    put(visit, b"a", b"A")
    put(visit, b"b", b"B")
    visit.make_folder(b"in")
    for old, new in ((b"a", b"b"), (b"a", b"in"), (b"in", b"a"), (b"in", b"in/sub"), (b"a", b"a/x"), (b"a", b"no/a")):
        with pytest.raises((Conflict, Missing, Refused)):
            rename(visit, old, new)
    assert (b"A", b"B", []) == (get(visit, b"a"), get(visit, b"b"), names(visit, b"in"))
    with pytest.raises(Missing):
        rename(visit, b"nope", b"x")
    with pytest.raises(Conflict):
        remove(visit, b"in")
    with pytest.raises(Conflict):
        visit.read(b"in")
    with pytest.raises(Conflict):
        visit.upload(b"in")
    with pytest.raises(Missing):
        visit.upload(b"no/a")
    for one in (lambda: visit.remove_folder(b"/"), lambda: remove(visit, b"/"), lambda: rename(visit, b"/", b"x")):
        with pytest.raises(Denied):
            one()


# Rights: letters, methods, folders


def acts(visit, at):
    """Every method in the folder `at`, with the letters of which it needs one; what it does is done to nothing that stays."""

    def begun(path, **how):
        visit.upload(path, **how).discard()

    return {
        "list": ("l", lambda: list(visit.items(at))),
        "enter": ("e", lambda: visit.enter(at)),
        "read": ("r", lambda: visit.read(at + b"/file").close()),
        "write": ("w", lambda: begun(at + b"/new")),
        "write again": ("w", lambda: begun(at + b"/file")),
        "write into": ("w", lambda: begun(at + b"/file", offset=2)),
        "go on": ("aw", lambda: begun(at + b"/file", offset=len(b"hello"))),
        "append": ("a", lambda: begun(at + b"/file", append=True)),
        "rename": ("f", lambda: rename(visit, at + b"/nope", at + b"/x")),
        "remove": ("d", lambda: remove(visit, at + b"/nope")),
        "make": ("m", lambda: visit.make_folder(at + b"/file")),
        "remove folder": ("d", lambda: visit.remove_folder(at + b"/nope")),
        "set time": ("T", lambda: visit.set_time(at + b"/file", 10**15)),
        "set mode": ("M", lambda: visit.set_mode(at + b"/file", 0o600)),
        "hash": ("rl", lambda: visit.sha256(at + b"/file")),
    }


def allowed(act):
    try:
        act()
    except Denied:
        return False
    except (Missing, Conflict):
        return True  # it was looked for, or at
    return True


SOME = ["", ALL, *ALL, *(ALL.replace(letter, "") for letter in ALL), *("".join(random.Random(n).sample(ALL, 5)) for n in range(20))]


@pytest.fixture
def furnished(inn):
    visit = inn.visit()
    for folder in (b"/out", b"/out/deep"):
        visit.make_folder(folder)
    for folder in (b"", b"/out", b"/out/deep"):
        put(visit, folder + b"/file")
    return inn


def test_each_method_needs_its_letter_and_no_other(furnished):
    for letters in SOME:
        visit = furnished.visit(letters=letters)
        for folder in (b"", b"/out", b"/out/deep"):
            for name, (needs, act) in acts(visit, folder).items():
                assert any(one in letters for one in needs) == allowed(act), (letters, folder, name)


def test_who_may_append_but_not_write_leaves_the_bytes_that_are_there(inn):
    put(inn.visit(), b"log", b"first")
    visit = inn.visit(letters="ela")
    upload = visit.upload(b"log", offset=5)
    for act in (lambda: upload.write_at(0, b"X"), lambda: upload.write_at(4, b"XX"), lambda: upload.cut_to(4)):
        with pytest.raises(Denied):
            act()
    upload.write_at(5, b", second")
    upload.write(b", third")
    ended(upload.finish)
    assert b"first, second, third" == get(inn.visit(), b"log")


def test_the_deepest_folder_with_letters_of_its_own_decides(furnished):
    for home, out, deep in itertools.product(("", ALL, "elr"), repeat=3):
        visit = furnished.visit(letters=home, folders={"/out": out, "/out/deep/": deep})
        for folder, letters in ((b"", home), (b"/out", out), (b"/out/deep", deep), (b"/out/../out/./deep/", deep)):
            for name, (needs, act) in acts(visit, folder).items():
                assert any(one in letters for one in needs) == allowed(act), (home, out, deep, folder, name)


def test_a_rename_needs_both_ends_and_more_where_it_lands(furnished):
    file = b"/out/file"
    for here, there, may in (("f", "fw", True), ("f", "fa", True), ("f", "f", False), ("", "fw", False), ("f", "aw", False)):
        visit = furnished.visit(letters=there, folders={"/out": here})
        act = lambda visit=visit: rename(visit, file, b"/moved")  # noqa: E731
        assert may == allowed(act), (here, there)
        if may:
            rename(furnished.visit(), b"/moved", file)


def test_a_folder_with_letters_of_its_own_cannot_be_moved_from_under_them(furnished):
    visit = furnished.visit(folders={"/out/deep": "e", "/new/in": "e"})
    for old, new in ((b"out", b"elsewhere"), (b"/out/deep", b"/seen")):
        with pytest.raises(Denied):
            rename(visit, old, new)
    visit.make_folder(b"x")
    visit.make_folder(b"x/in")
    with pytest.raises(Denied):
        rename(visit, b"x", b"new")
    rename(visit, b"x", b"y")


def test_who_may_only_write_sees_nothing_but_what_it_has_just_brought(inn):
    owner, drop = inn.visit("boss", home="ann"), inn.visit(letters="ew")
    put(owner, b"theirs")
    owner.make_folder(b"in")
    for path in (b"theirs", b"nope"):
        with pytest.raises(Missing):
            drop.item(path)
        for one in (drop.read, drop.sha256, lambda at: drop.set_time(at, 0)):
            with pytest.raises(Denied):
                one(path)
    with pytest.raises(Denied):
        drop.items(b"/")
    assert drop.item(b"/").folder
    assert drop.item(b"in").folder
    put(drop, b"in/mine", b"12")
    assert 2 == drop.item(b"in/mine").size
    assert drop.sha256(b"in/mine")
    drop.set_time(b"in/mine", 10**15)
    assert 10**15 == owner.item(b"in/mine").modified
    with pytest.raises(Missing):
        inn.visit(letters="ew").item(b"in/mine")


def test_a_time_may_be_set_by_another_session_of_who_has_uploaded_and_on_folders_by_who_may_make_them(inn):
    first, second = (inn.visit(letters="elwm", address="192.0.2.1") for _ in range(2))
    put(first, b"a")
    second.set_time(b"a", 10**15)
    second.make_folder(b"in")
    second.set_time(b"in", 10**15)
    assert 10**15 == first.item(b"a").modified
    with pytest.raises(Denied):
        inn.visit(letters="elw", address="192.0.2.1").set_time(b"in", 0)
    with pytest.raises(Denied):
        inn.visit(letters="elw").set_time(b"a", 0)


def test_who_may_only_write_can_go_on_with_what_was_cut(inn):
    drop = inn.visit(letters="ew")
    upload = drop.upload(b"big")
    upload.write(b"123")
    upload.cut("gone")
    again = inn.visit(letters="ew")
    assert 3 == again.item(b"big").size
    put(again, b"big", b"45", offset=3)
    assert b"12345" == get(inn.visit(), b"big")


def test_an_own_upload_stays_ones_own_under_its_new_name(inn):
    visit = inn.visit(letters="ewf")
    put(visit, b"a.part")
    rename(visit, b"a.part", b"a")
    visit.set_time(b"a", 10**15)
    assert 10**15 == visit.item(b"a").modified


def test_what_changes_in_the_account_is_felt_at_once(inn):
    seat = Seat(Account(name="ann", home="ann", rights=Rights("elr")))
    visit = inn.stays(seat)
    with pytest.raises(Denied):
        visit.upload(b"a")
    seat.account = Account(name="ann", home="ann", rights=Rights("elrw"), limits=Limits(match=("*.csv",), max_size=3, upload_rate=1000))
    put(visit, b"a.csv", b"abc")
    with pytest.raises(Refused):
        visit.upload(b"a.txt")
    with pytest.raises(Refused):
        put(visit, b"b.csv", b"abcd")
    assert 4.0 < visit.hold_in(5000) <= 5.0
    assert 0.0 == visit.hold_out(10**9)
    seat.over = "the account was removed"
    assert "the account was removed" == visit.over
    visit.close()
    assert 1 == seat.left


# Names and sizes that a user may bring


def test_only_names_that_match_are_taken_also_by_renaming(inn):
    visit = inn.visit(match=("*.csv", "(?i)report_[0-9]+", "in/*.bin"))
    visit.make_folder(b"in")
    for name in (b"a.csv", b"in/a.csv", b"RePort_7", b"in/x.bin"):
        put(visit, name)
    for name in (b"a.txt", b"x.bin", b"report_", b"a.csv.part"):
        with pytest.raises(Refused, match="only names like"):
            visit.upload(name)
        with pytest.raises(Refused, match="only names like"):
            rename(visit, b"a.csv", name)
    rename(visit, b"in", b"elsewhere")


def test_a_pattern_that_is_none_takes_nothing_and_says_so(inn):
    visit = inn.visit(match=("(?P<x",))
    with pytest.raises(Refused, match="pattern"):
        visit.upload(b"a")
    assert [] == names(visit)


def test_sizes_out_of_bounds_are_refused_with_a_reason(inn):
    visit = inn.visit(min_size=3, max_size=200_000)
    put(visit, b"a", b"123")
    with pytest.raises(Refused, match="2 bytes"):
        put(visit, b"b", b"12")
    with pytest.raises(Refused, match=r"200\.0 kB"):
        put(visit, b"c", b"x" * 200_001)
    with pytest.raises(Refused, match="larger"):
        visit.upload(b"d", size=200_001)
    put(visit, b"e", b"x" * 200_000, size=200_000)
    whole = [one.name for one in visit.items(b"/") if visit.sha256(one.name)]
    assert [b"a", b"e"] == sorted(whole)


# A2: every method with every kind of path that would lead out


def ways(outside):
    above = b"/".join([b".."] * 12)
    secret = os.fsencode(outside) + b"/secret"
    whole = (secret, os.fsencode(outside), b"/etc/passwd", b"/proc/self/environ", b"/proc/self/root/etc/passwd", b"..", b"/..", b"...")
    up = (above + secret, b"/" + above + secret, b"x/" + above + secret, b"../../outside/secret", above + b"/etc/passwd")
    links = (b"link/secret", b"/link/secret", b"link", b"/link/", b"file", b"link/../link/secret", b"./link/./secret", b"//link//secret")
    deep = (b"in/link/secret", b"in/../link/secret", b"in/up/outside/secret", b"in/here/a", b"in/\xc0\xae\xc0\xae/outside")
    odd = (b"link\0", b"..\\..\\outside", b"%2e%2e/%2e%2e/outside/secret", b"..%2foutside", b"~root")
    return whole + up + links + deep + odd


def test_no_path_of_any_method_leads_out_of_the_home(inn, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"SECRET")
    visit = inn.visit()
    visit.make_folder(b"in")
    put(visit, b"in/a", b"inside")
    home = inn.folder / "ann"
    for name, to in (
        ("link", outside),
        ("file", outside / "secret"),
        ("in/link", "../../../outside"),
        ("in/up", "../../.."),
        ("in/here", "../in"),
    ):
        os.symlink(to, home / name)
    before = (os.stat(outside).st_mtime_ns, os.stat(outside / "secret").st_mtime_ns, os.stat(outside / "secret").st_mode)
    seen = []
    for path in ways(outside):
        for act in (
            lambda at: seen.append(visit.item(at)),
            lambda at: seen.extend(visit.items(at)),
            visit.enter,
            lambda at: seen.append(get(visit, at)),
            lambda at: visit.upload(at, offset=3).discard(),
            lambda at: visit.upload(at, append=True).discard(),
            lambda at: remove(visit, at),
            lambda at: rename(visit, at, b"/out"),
            lambda at: rename(visit, b"/in/a", at),
            lambda at: put(visit, at, b"evil"),
            visit.make_folder,
            visit.remove_folder,
            lambda at: visit.set_time(at, 0),
            lambda at: visit.set_mode(at, 0o777),
            lambda at: seen.append(visit.sha256(at)),
        ):
            try:
                act(path)
            except (Missing, Conflict, Refused, Rejected, Denied):
                continue
    assert b"SECRET" not in seen
    assert 6 not in [one.size for one in seen if hasattr(one, "size") and one.name == b"secret"]
    assert ["secret"] == os.listdir(outside)
    assert before == (os.stat(outside).st_mtime_ns, os.stat(outside / "secret").st_mtime_ns, os.stat(outside / "secret").st_mode)
    assert {"link", "file"} <= set(os.listdir(home))


def test_fuzzed_paths_change_nothing_outside(inn, tmp_path):
    dice = random.Random(3)
    outside = tmp_path / "outside"
    outside.mkdir()
    visit = inn.visit()
    visit.make_folder(b"in")
    os.symlink(outside, inn.folder / "ann" / "link")
    pieces = [
        b"..",
        b".",
        b"",
        b"in",
        b"link",
        b"a",
        b"\xff",
        b"\n",
        b"\x1f",
        RESERVED,
        KEPT + b"a",
        *(letter.encode() for letter in string.punctuation),
    ]
    around = sorted(os.listdir(tmp_path)), sorted(os.listdir(inn.folder))
    for _ in range(400):
        path = dice.choice((b"", b"/")) + b"/".join(dice.choice(pieces) for _ in range(dice.randrange(1, 6)))
        for act in (
            visit.item,
            visit.make_folder,
            lambda at: visit.upload(at).discard(),
            lambda at: rename(visit, at, b"in/moved"),
            lambda at: rename(visit, b"in/moved", at),
            lambda at: visit.set_mode(at, 0o755),
        ):
            try:
                act(path)
            except TransloadError:
                continue
    assert [] == os.listdir(outside)
    assert around == (sorted(os.listdir(tmp_path)), sorted(os.listdir(inn.folder)))
