"""Web addresses: what a config may say of them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from transload.remotes.http import HttpRemote

URL = "https://data.example/a.csv"
SECRET = {"env": "NOBODY_SET_THIS"}


def made(files=None, **settings):
    return HttpRemote.model_validate({"kind": "http", "files": {"a": URL} if files is None else files} | settings)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://joe:hunter2@data.example/a", "no user or password in a URL"),
        ("https://joe@data.example/a", "no user or password in a URL"),
        ("ftp://data.example/a", "starts with http:// or https://"),
        ("data.example/a", "starts with http:// or https://"),
        ("https:///a", "names no host"),
        ("https://data.example/a b", "no spaces"),
        ("https://data.example/a\r\nX: y", "no spaces"),
        ("https://data.example:99999/", "this is no URL"),
        ("https://[::1/", "this is no URL"),
        ("https://data.example\\@evil.example/", "backslashes"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_being_repeated(url, fault):
    for files in ({"a": url}, {"a": {"url": url}}, {"a": {"url": URL, "marker": url}}):
        with pytest.raises(ValidationError, match=fault) as caught:
            made(files)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"files": {}}, "at least 1"),
        ({"files": {"../a": URL}}, "not a safe name"),
        ({"files": {"/a": URL}}, "not a safe name"),
        ({"files": {"a": URL, "a.csv": URL}}, "would both be called a.csv"),
        ({"files": {"a": {"url": URL, "urll": URL}}}, "urll"),
        ({"password": SECRET}, "password without user"),
        ({"user": "joe", "token": SECRET}, "only one of user, token"),
        ({"user": "joe", "headers": {"authorization": SECRET}}, "only one of user, token"),
        ({"key": SECRET}, "key without cert"),
        ({"token": "in clear"}, "written as a reference"),
        ({"headers": {"Cookie": "in clear"}}, "Cookie is a secret"),
        ({"headers": {"Range": "bytes=0-1"}}, "not a header that can be set"),
        ({"headers": {"a b": "c"}}, "not a header that can be set"),
        ({"headers": {"X": "a\r\nY: b"}}, "characters that a header cannot"),
        ({"proxy": "ftp://proxy:1"}, "wants http://host:port"),
        ({"proxy": "http://joe:pw@proxy:1"}, "set proxy_password"),
        ({"max_size": "huge"}, "wants a size"),
        ({"twice": "soon"}, "wants a time"),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings, fault):
    with pytest.raises(ValidationError, match=fault):
        made(**settings)


@pytest.mark.parametrize(
    ("key", "url", "name"),
    [
        ("sdn", "https://x/sdn.csv", "sdn.csv"),
        ("sdn", "https://x/sdn.CSV?a=b.json#c.xml", "sdn.CSV"),
        ("sdn.csv", "https://x/export.csv", "sdn.csv"),
        ("sdn", "https://x/a.tar.gz", "sdn.tar.gz"),
        ("sdn", "https://x/a%2Ecsv", "sdn.csv"),
        ("sdn", "https://x/export", "sdn"),
        ("sdn", "https://x/.hidden", "sdn"),
        ("sdn", "https://x/a.b%2F..%2Fc", "sdn"),
        ("sdn", "https://x.example", "sdn"),
        ("ünï/côdé", "https://x/a.v1.2-final version", "ünï/côdé"),
    ],
)
def test_a_file_is_called_by_its_key_and_the_suffix_of_its_url(key, url, name):
    url = url.replace(" ", "%20")
    assert name == made({key: url}).name(key).text


def test_what_is_said_of_all_files_holds_for_each_that_says_nothing_else():
    remote = made({"a": URL, "b": {"url": URL, "twice": "1s", "query": {"q": "2"}}}, twice="2s", max_size="1MB", query={"p": "1", "q": "1"})
    assert (2.0, 10**6, {"p": "1", "q": "1"}) == (remote.expected("a").twice, remote.expected("a").max_size, remote.expected("a").query)
    assert (1.0, 10**6, {"p": "1", "q": "2"}) == (remote.expected("b").twice, remote.expected("b").max_size, remote.expected("b").query)


def test_a_place_is_shown_by_its_hosts_alone():
    files = {str(n): f"https://h{n % 4}.example/x?key=hush" for n in range(9)}
    assert "https://h0.example, https://h1.example, https://h2.example, ..." == made(files).where()
