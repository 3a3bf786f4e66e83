"""Web addresses: what is listed, and what is fetched of it."""

from __future__ import annotations

import hashlib
import random
import time
from contextlib import contextmanager

import pytest

from tests.peers.web import Page
from transload.errors import Busy, Changed, Full, Missing, Refused, Unreachable
from transload.model import Name
from transload.protocols import Mover, Reader, Remover, Writer
from transload.remotes.http import HttpRemote
from transload.spool import Spool

SECOND = 10**6
LARGE = random.Random(1).randbytes(2**21)


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool:
        yield spool


def remote(files, **settings):
    return HttpRemote.model_validate({"kind": "http", "files": files, "timeout": "5s"} | settings)


@contextmanager
def session(files, **settings):
    with remote(files, **settings).connect() as connected:
        yield connected


def everything(connected):
    return list(connected.list("", recursive=True))


def fetched(connected, spool, entries=None):
    outcomes = list(connected.fetch(everything(connected) if entries is None else entries, spool))
    spool.commit([outcome.spooled for outcome in outcomes if outcome.spooled])
    return outcomes


def data(spool, outcome):
    with spool.open(outcome.spooled.sha256) as file:
        return file.read()


def requests(web, method="GET"):
    return [heard for heard in web.heard if heard.method == method]


# Listing


def test_every_file_of_the_config_is_listed_under_its_key_and_the_suffix_of_its_url(web):
    web.pages["/x/sdn.csv"] = Page(b"12345")
    web.pages["/alt"] = Page(b"")
    web.pages["/t.csv.gz"] = Page(b"z")
    with session({"sdn": web.url("/x/sdn.csv?v=1"), "alt": web.url("/alt"), "old.csv.gz": web.url("/t.csv.gz")}) as connected:
        sdn, alt, old = everything(connected)
    assert (Name("sdn.csv"), 5, 1_700_000_000 * SECOND, web.pages["/x/sdn.csv"].tag) == (sdn.name, sdn.size, sdn.modified, sdn.etag)
    assert web.url("/x/sdn.csv") == sdn.link
    assert (Name("alt"), 0) == (alt.name, alt.size)
    assert Name("old.csv.gz") == old.name
    assert ["HEAD"] * 3 == [heard.method for heard in web.heard]


def test_a_key_lists_that_file_alone_and_the_start_of_keys_is_a_folder(web):
    web.pages["/a.csv"] = Page(b"1")
    files = dict.fromkeys(("day/one", "day/deep/two", "three"), web.url("/a.csv"))
    with session(files) as connected:
        assert [b"three.csv"] == [entry.path for entry in connected.list("three", recursive=True)]
        (one,) = connected.list("day/one", recursive=False)
        assert ("day", Name("one.csv")) == (one.folder, one.name)
        assert [b"day/one.csv"] == [entry.path for entry in connected.list("day", recursive=False)]
        assert [b"day/one.csv", b"day/deep/two.csv"] == [entry.path for entry in connected.list("day/", recursive=True)]
        with pytest.raises(Missing, match="no file has this key"):
            list(connected.list("four", recursive=True))


def test_a_file_that_is_not_there_yet_is_waited_for_and_stops_no_other(web, spool):
    web.pages["/a.csv"] = Page(b"1")
    with session({"gone": web.url("/gone.csv"), "a": web.url("/a.csv")}) as connected:
        gone, a = everything(connected)
        assert (None, None, None) == (gone.size, gone.modified, gone.etag)
        first, second = fetched(connected, spool, [gone, a])
    assert isinstance(first.error, Busy)
    assert "it is not there (404)" in str(first.error)
    assert b"1" == data(spool, second)


def test_when_no_file_can_be_looked_at_the_listing_fails(web):
    web.pages["/b"] = Page(status=503, headers={"Retry-After": "7"})
    with session({"a": web.url("/a"), "b": web.url("/b")}) as connected, pytest.raises(Busy, match=r"503, try again after 7"):
        everything(connected)


def test_a_server_that_refuses_head_is_asked_for_one_byte(spool):
    import http.server
    import threading

    class OnlyGet(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            one = self.headers.get("Range") == "bytes=0-0"
            self.send_response(206 if one else 200)
            if one:
                self.send_header("Content-Range", "bytes 0-0/5")
            self.send_header("Content-Length", "1" if one else "5")
            self.end_headers()
            self.wfile.write(b"h" if one else b"hello")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OnlyGet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with session({"a": f"http://127.0.0.1:{server.server_port}/a"}) as connected:
        (entry,) = everything(connected)
        assert 5 == entry.size
        assert b"hello" == data(spool, fetched(connected, spool, [entry])[0])
    server.shutdown()
    server.server_close()


def test_a_time_that_is_made_for_each_answer_is_none(web, spool):
    web.pages["/now"] = Page(b"same", modified=None, etag="")
    web.pages["/was"] = Page(b"same", modified=time.time() - 60)
    stop = web.changing

    with session({"now": web.url("/now"), "was": web.url("/was")}) as connected:
        web.pages["/now"].headers = Moment()
        now, was = everything(connected)
        assert (None, False) == (now.modified, now.settles)
        assert was.settles
        assert [None, None] == [outcome.error for outcome in fetched(connected, spool, [now, was])]
    web.changing = stop


class Moment(dict):
    """Headers with a Last-Modified of this very second."""

    def keys(self):
        return ["Last-Modified"]

    def __getitem__(self, key):
        return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())

    def __ror__(self, other):
        return other | {"Last-Modified": self["Last-Modified"]}


def test_a_time_told_by_a_server_whose_clock_is_wrong_settles_nothing(web):
    web.pages["/a"] = Page(b"1", headers={"Age": "0"})
    with session({"a": web.url("/a")}) as connected:
        assert everything(connected)[0].settles
        web.pages["/a"].headers = {"Age": "3600"}
        assert not everything(connected)[0].settles


def test_stat_tells_what_is_there_now(web):
    web.pages["/a"] = Page(b"1")
    with session({"a": web.url("/a"), "b": web.url("/a")}) as connected:
        entry = everything(connected)[0]
        web.pages["/a"] = Page(b"22", modified=1_700_000_100)
        now = connected.stat(entry)
        assert (2, 1_700_000_100 * SECOND) == (now.size, now.modified)
        del web.pages["/a"]
        assert connected.stat(entry) is None


def test_it_is_a_source_and_nothing_else():
    assert issubclass(HttpRemote.session, Reader)
    assert not any(issubclass(HttpRemote.session, ability) for ability in (Writer, Remover, Mover))


# Fetching


def test_small_and_large_files_arrive_byte_for_byte_over_one_connection(web, spool):
    web.pages |= {"/s": Page(b"small\r\n\0"), "/l": Page(LARGE), "/c": Page(LARGE, chunked=True), "/e": Page(b"")}
    with session({key: web.url(f"/{key}") for key in "slce"}) as connected:
        outcomes = fetched(connected, spool)
    assert [b"small\r\n\0", LARGE, LARGE, b""] == [data(spool, outcome) for outcome in outcomes]
    assert [len(data(spool, outcome)) for outcome in outcomes] == [outcome.spooled.size for outcome in outcomes]


def test_nothing_packed_is_asked_for_and_what_comes_packed_is_refused(web, spool):
    web.pages |= {"/a.csv": Page(b"plain", gzip=True), "/b.csv": Page(b"plain", gzip="always"), "/c.gz": Page(b"plain", gzip="always")}
    files = {"a": web.url("/a.csv"), "b": web.url("/b.csv"), "c": web.url("/c.gz"), "d": {"url": web.url("/b.csv"), "encoded": True}}
    with session(files) as connected:
        a, b, c, d = fetched(connected, spool)
    assert {"identity"} == {heard.headers["Accept-Encoding"] for heard in web.heard}
    assert b"plain" == data(spool, a)
    assert isinstance(b.error, Refused)
    assert "Content-Encoding 'gzip'" in str(b.error)
    assert b"\x1f\x8b" == data(spool, c)[:2] == data(spool, d)[:2]


def test_a_web_page_in_place_of_a_file_is_refused(web, spool):
    page = b"\n<!DOCTYPE HTML><p>Sorry, back soon"
    web.pages |= {
        "/told.csv": Page(page, headers={"Content-Type": "text/html; charset=utf-8"}),
        "/seen.csv": Page(page, headers={"Content-Type": "text/csv"}),
        "/page.html": Page(page, headers={"Content-Type": "text/html"}),
    }
    files = {"told": web.url("/told.csv"), "seen": web.url("/seen.csv"), "page": web.url("/page.html")}
    files["want"] = {"url": web.url("/told.csv"), "refuse_html": False}
    with session(files) as connected:
        told, seen, html, want = fetched(connected, spool)
    for refused in (told, seen):
        assert isinstance(refused.error, Busy)
        assert "a web page came where a file was expected" in str(refused.error)
    assert page == data(spool, html) == data(spool, want)


def test_another_content_type_than_the_expected_is_refused(web, spool):
    web.pages["/a"] = Page(b"{}", headers={"Content-Type": "application/json"})
    files = {"a": {"url": web.url("/a"), "content_type": "text/csv"}, "b": {"url": web.url("/a"), "content_type": ["application/JSON"]}}
    with session(files) as connected:
        a, b = fetched(connected, spool)
    assert "'application/json' came, expected text/csv" in str(a.error)
    assert b.error is None


def test_a_file_above_max_size_is_refused_also_when_it_never_ends(web, spool):
    web.pages |= {"/big": Page(LARGE), "/endless": Page(endless=True)}
    with session({"big": web.url("/big"), "endless": web.url("/endless")}, max_size="1MB") as connected:
        big, endless = fetched(connected, spool)
    assert isinstance(big.error, Refused)
    assert isinstance(endless.error, Refused)
    assert "more than max_size, 1.0 MB" in str(endless.error)


def test_a_file_that_changed_since_it_was_listed_is_fetched_again_later(web, spool):
    web.pages["/a"] = Page(b"old")
    with session({"a": web.url("/a")}) as connected:
        entries = everything(connected)
        web.pages["/a"] = Page(b"new", modified=1_700_000_100)
        assert isinstance(fetched(connected, spool, entries)[0].error, Changed)
        assert b"new" == data(spool, fetched(connected, spool)[0])


@pytest.mark.parametrize("now", [Page(b"longer", etag='"1"'), Page(b"old", modified=1_700_000_100), Page(b"OLD", modified=None)])
def test_a_file_that_changes_while_it_is_fetched_is_discarded(web, spool, now):
    web.pages["/a"] = Page(b"old", modified=now.modified and 1_700_000_000, etag='"1"' if now.etag else None)
    with session({"a": web.url("/a")}) as connected:
        web.changing = lambda path: web.pages.update({path: now})
        assert isinstance(fetched(connected, spool)[0].error, Changed)


def test_a_head_that_lies_about_the_size_does_not_stop_the_file(web, spool):
    web.pages["/a"] = Page(b"hello")
    with session({"a": web.url("/a")}) as connected:
        (entry,) = everything(connected)
        import dataclasses

        lied = dataclasses.replace(entry, size=None)
        (outcome,) = fetched(connected, spool, [lied])
    assert b"hello" == data(spool, outcome)
    assert outcome.entry.size is None


def test_a_file_that_went_away_after_it_was_listed_is_missing(web, spool):
    web.pages["/a"] = Page(b"1")
    with session({"a": web.url("/a")}) as connected:
        entries = everything(connected)
        web.pages.clear()
        assert isinstance(fetched(connected, spool, entries)[0].error, Missing)


def test_a_file_that_the_config_no_longer_names_is_missing(web, spool):
    web.pages["/a"] = Page(b"1")
    with session({"a": web.url("/a")}) as connected:
        entries = everything(connected)
    with session({"b": web.url("/a")}) as connected:
        assert isinstance(fetched(connected, spool, entries)[0].error, Missing)


def test_a_full_spool_is_told_at_once(web, tmp_path):
    web.pages["/a"] = Page(LARGE)
    with Spool(tmp_path / "full", min_free=2**60, keep=0) as full, session({"a": web.url("/a")}) as connected, pytest.raises(Full):
        list(connected.fetch(everything(connected), full))


# The marker, and the second download


def test_the_marker_says_when_the_data_changed(web, spool):
    web.pages |= {"/data.csv": Page(b"v1", modified=None, etag=""), "/stamp": Page(b" 1753000000\n")}
    with session({"probe": {"url": web.url("/data.csv"), "marker": web.url("/stamp")}}) as connected:
        (entry,) = everything(connected)
        assert (Name("probe.csv"), None, 1_753_000_000 * SECOND, "1753000000") == (entry.name, entry.size, entry.modified, entry.etag)
        (outcome,) = fetched(connected, spool, [entry])
        assert b"v1" == data(spool, outcome)
        assert (entry.modified, entry.etag, entry.size) == (outcome.entry.modified, outcome.entry.etag, outcome.entry.size)
        web.changing = lambda path: path == "/data.csv" and web.pages.update({"/stamp": Page(b"1753000300")})
        assert isinstance(fetched(connected, spool)[0].error, Changed)


@pytest.mark.parametrize("text", [b"", b"soon", b"<html>", b"12 34", b"9" * 5000])
def test_a_marker_without_a_number_is_no_news(web, text):
    web.pages |= {"/data.csv": Page(b"v1"), "/stamp": Page(text)}
    with (
        session({"a": {"url": web.url("/data.csv"), "marker": web.url("/stamp")}}) as connected,
        pytest.raises(Busy, match="the marker holds no epoch second"),
    ):
        everything(connected)


def test_a_download_that_differs_from_the_next_one_was_still_being_written(web, spool):
    web.pages |= {"/a": Page(b"1", modified=None, etag=""), "/b": Page(LARGE, modified=None, etag="")}
    with session({"a": web.url("/a"), "b": web.url("/b")}, twice="50ms") as connected:
        assert [b"1", LARGE] == [data(spool, outcome) for outcome in fetched(connected, spool)]
        assert 4 == len(requests(web))
        grown = iter([b"12", b"123"])
        web.changing = lambda path: path == "/a" and web.pages["/a"].__setattr__("data", next(grown, b"123"))
        outcomes = {outcome.entry.name.text: outcome for outcome in fetched(connected, spool)}
        assert isinstance(outcomes["a"].error, Changed)
        assert "still being written" in str(outcomes["a"].error)
        assert outcomes["b"].error is None


def test_a_body_whose_end_is_not_told_is_fetched_twice(web, spool):
    web.pages["/a"] = Page(LARGE, length=None)
    with session({"a": web.url("/a")}) as connected:
        assert LARGE == data(spool, fetched(connected, spool)[0])
        assert 2 == len(requests(web))
        web.pages["/a"] = Page(LARGE, length=None, cut=70_000, end="fin", times=1)
        assert isinstance(fetched(connected, spool)[0].error, Changed)


# Cuts and lies


def test_a_cut_download_goes_on_where_it_stopped(web, spool):
    web.pages["/a"] = Page(LARGE, cut=1_500_000, end="fin", times=1)
    with session({"a": web.url("/a"), "b": web.url("/a")}) as connected:
        entries = [entry for entry in everything(connected) if entry.name == Name("a")]
        (cut,) = fetched(connected, spool, entries)
        assert isinstance(cut.error, Unreachable)
        web.heard.clear()
        (whole,) = fetched(connected, spool, entries)
    assert hashlib.sha256(LARGE).hexdigest() == whole.spooled.sha256
    (rest,) = requests(web)
    assert 206 == rest.status
    assert 0 < int(rest.headers["Range"].removeprefix("bytes=").removesuffix("-")) < 1_500_000
    assert web.pages["/a"].tag == rest.headers["If-Range"]


@pytest.mark.parametrize("ranges", ["ignore", "wrong"])
def test_a_server_that_cannot_resume_is_asked_for_the_whole_again(web, spool, ranges):
    web.pages["/a"] = Page(LARGE, cut=1_500_000, end="fin", times=1)
    with session({"a": web.url("/a")}) as connected:
        entries = everything(connected)
        assert isinstance(fetched(connected, spool, entries)[0].error, Unreachable)
        web.pages["/a"].ranges = ranges
        (whole,) = fetched(connected, spool, entries)
    assert (LARGE, None) == (data(spool, whole), whole.error)


def test_a_file_replaced_between_two_tries_is_not_patched_together(web, spool):
    web.pages["/a"] = Page(LARGE, etag='"1"', cut=1_500_000, end="fin", times=1)
    other = LARGE[::-1]
    with session({"a": web.url("/a")}) as connected:
        entries = everything(connected)
        fetched(connected, spool, entries)
        web.pages["/a"] = Page(other, etag='"1"')
        (whole,) = fetched(connected, spool, entries)
    assert other == data(spool, whole)


@pytest.mark.parametrize(
    "page",
    [
        Page(LARGE, cut=100),
        Page(LARGE, cut=100, end="fin"),
        Page(LARGE, cut=70_000, end="fin", chunked=True),
        Page(LARGE, length=len(LARGE) + 7),
        Page(b"0123456789", length=4),
    ],
)
def test_an_answer_that_is_not_what_it_announced_is_no_file(web, spool, page):
    web.pages |= {"/a": page, "/b": Page(b"good")}
    with session({"a": web.url("/a"), "b": web.url("/b")}) as connected:
        a, b = fetched(connected, spool)
    assert isinstance(a.error, Unreachable | Busy)
    assert a.spooled is None
    assert b"good" == data(spool, b)


def test_a_server_that_goes_silent_is_left_after_the_timeout(web, spool):
    web.pages |= {"/a": Page(LARGE, hang="body"), "/b": Page(b"good"), "/c": Page(hang="answer")}
    with session({"a": web.url("/a"), "b": web.url("/b"), "c": web.url("/c")}, timeout="300ms") as connected:
        a, b, c = fetched(connected, spool)
    assert isinstance(a.error, Unreachable)
    assert b"good" == data(spool, b)
    assert "silent for too long" in str(c.error)


def test_a_host_that_is_away_stops_no_other_host(web, spool):
    web.pages["/a"] = Page(b"1")
    away = "http://127.0.0.1:9/b"
    with session({"b": away, "a": web.url("/a"), "c": away}) as connected:
        b, a, c = fetched(connected, spool)
    assert isinstance(b.error, Unreachable)
    assert b.error is c.error
    assert b"1" == data(spool, a)


def test_the_only_host_being_away_ends_the_batch(web, spool):
    web.pages["/a"] = Page(b"1")
    with session({"a": web.url("/a")}) as connected:
        entries = everything(connected)
    with session({"a": "http://127.0.0.1:9/a"}) as connected:
        with pytest.raises(Unreachable, match="Connection refused"):
            fetched(connected, spool, entries)
        with pytest.raises(Unreachable):
            everything(connected)


def test_a_name_that_does_not_resolve_is_told():
    with session({"a": "http://nowhere.invalid/a"}) as connected, pytest.raises(Unreachable, match=r"http://nowhere.invalid/a: .*ame"):
        everything(connected)
