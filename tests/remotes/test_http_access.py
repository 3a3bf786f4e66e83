"""Web addresses: logins, redirects, certificates and proxies."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.peers.base import PASSWORD, USER, Peer
from tests.peers.nginx import Nginx
from tests.peers.proxy import Proxy
from tests.peers.web import Page, Web
from transload.errors import ConfigError, Denied, Refused, TransloadError, Unreachable
from transload.remotes.http import HttpRemote
from transload.remotes.http.dial import Dialer, Nearness, nearness
from transload.spool import Spool


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool:
        yield spool


@pytest.fixture
def secret(tmp_path):
    def kept(value):
        path = tmp_path / f"secret{len(list(tmp_path.iterdir()))}"
        path.write_text(value + "\n")
        return {"file": str(path)}

    return kept


@contextmanager
def session(files, **settings):
    remote = HttpRemote.model_validate({"kind": "http", "files": files, "timeout": "5s"} | settings)
    with remote.connect() as connected:
        yield connected


def got(spool, files, **settings):
    """The bytes of the first file, or the error."""
    with session(files, **settings) as connected:
        try:
            (entry, *_) = list(connected.list("", recursive=True))
        except TransloadError as error:
            return error
        (outcome,) = connected.fetch([entry], spool)
        if outcome.error:
            return outcome.error
        spool.commit([outcome.spooled])
        with spool.open(outcome.spooled.sha256) as file:
            return file.read()


# Logins


def test_a_login_is_sent_as_basic_a_token_as_bearer_and_headers_as_they_are(web, spool, secret):
    web.pages |= {
        "/basic": Page(b"1", user="jö:p:w"),
        "/bearer": Page(b"2", bearer="t0ken"),
        "/header": Page(b"3", header=("X-Api-Key", "k")),
    }
    assert b"1" == got(spool, {"a": web.url("/basic")}, user="jö", password=secret("p:w"))
    assert b"2" == got(spool, {"a": web.url("/bearer")}, token=secret("t0ken"))
    assert b"3" == got(spool, {"a": web.url("/header")}, headers={"X-Api-Key": secret("k"), "X-Plain": "yes"})
    assert "yes" == web.heard[-1].headers["X-Plain"]


def test_a_secret_in_the_query_is_sent_and_never_shown(web, spool, secret):
    web.pages["/a"] = Page(b"1")
    files = {"a": {"url": web.url("/a?x=1"), "query": {"key": secret("hush hush"), "y": "2"}}}
    assert b"1" == got(spool, files)
    assert "/a?x=1&key=hush+hush&y=2" == web.heard[0].path.replace("%20", "+")
    web.pages["/a"] = Page(status=500)
    error = got(spool, files)
    assert "hush" not in str(error)
    assert "?" not in str(error)


@pytest.mark.parametrize(("status", "text"), [(401, "check user and password"), (403, "we may not have it"), (407, "proxy_password")])
def test_an_answer_that_denies_says_what_to_look_at(web, spool, status, text):
    web.pages["/a"] = Page(status=status)
    error = got(spool, {"a": web.url("/a")})
    assert isinstance(error, Denied)
    assert text in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, "Missing"), (410, "Missing"), (400, "Refused"), (418, "Refused"), (408, "Busy"), (429, "Busy"), (500, "Busy"), (503, "Busy")],
)
def test_a_status_is_told_by_what_to_do_about_it(web, spool, status, kind):
    web.pages["/a"] = Page(status=status)
    assert kind == type(got(spool, {"a": web.url("/a")})).__name__


# Redirects


def test_five_redirects_are_followed_and_six_are_not(web, spool):
    web.pages |= {f"/{n}": Page(redirect=f"/{n + 1}", status=(301, 302, 303, 307, 308)[n % 5]) for n in range(6)}
    web.pages["/6"] = Page(b"there")
    assert b"there" == got(spool, {"a": web.url("/1")})
    error = got(spool, {"a": web.url("/0")})
    assert isinstance(error, Refused)
    assert "more than 5 redirects" in str(error)


def test_a_login_goes_to_no_other_host_and_does_not_come_back(web, spool, secret):
    with Web() as other:
        web.pages |= {"/a": Page(redirect=other.url("/b")), "/c": Page(b"plain")}
        other.pages["/b"] = Page(redirect=web.url("/c"))
        headers = {"X-Api-Key": secret("k"), "Cookie": secret("c=1")}
        assert b"plain" == got(
            spool, {"a": {"url": web.url("/a"), "query": {"sig": secret("s")}}}, user="joe", password=secret("x"), headers=headers
        )
        for heard in other.heard + [heard for heard in web.heard if heard.path == "/c"]:
            assert not {"authorization", "x-api-key", "cookie", "referer"} & {name.lower() for name in heard.headers}
            assert "sig" not in heard.path
    assert web.heard[0].headers["Authorization"]


def test_a_login_goes_along_on_the_same_host(web, spool, secret):
    web.pages |= {"/a": Page(redirect="b/c"), "/b/c": Page(b"1", user="joe:x")}
    assert b"1" == got(spool, {"a": web.url("/a")}, user="joe", password=secret("x"))


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/a", "file:///etc/passwd", "gopher://x/", "unix:/run/x", "//", "http://joe:x@127.0.0.1/"])
def test_a_redirect_leads_to_web_addresses_only(web, spool, to):
    web.pages["/a"] = Page(redirect=to)
    assert isinstance(got(spool, {"a": web.url("/a")}), Denied | Refused)


def test_a_redirect_never_leads_from_https_to_http(web, spool, certificates):
    web.pages["/b"] = Page(b"1")
    with Web({"/a": Page(redirect=web.url("/b"))}, tls=certificates.good.server()) as safe:
        error = got(spool, {"a": safe.url("/a")}, ca=certificates.ca)
    assert isinstance(error, Denied)
    assert "not encrypted" in str(error)
    assert [] == web.heard


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"])
def test_a_redirect_to_a_metadata_address_is_refused_also_from_loopback(web, spool, host):
    web.pages["/a"] = Page(redirect=f"http://{host}/latest")
    error = got(spool, {"a": web.url("/a")})
    assert isinstance(error, Denied)
    assert "private address" in str(error)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "0.0.0.0"]
)
def test_a_redirect_from_a_public_address_to_a_private_one_is_refused(web, spool, host):
    public = "http://files.invalid/a"
    web.pages |= {public: Page(redirect=f"http://{host}:{web.port}/b"), f"http://{host}:{web.port}/b": Page(b"inside")}
    by = {"proxy": f"http://127.0.0.1:{web.port}"}
    error = got(spool, {"a": public}, **by)
    assert isinstance(error, Denied)
    assert "allow_private = true lets it" in str(error)
    assert ["/b"] != [heard.path for heard in web.heard if "/b" in heard.path]
    if host == "127.0.0.1":
        assert b"inside" == got(spool, {"a": public}, allow_private=True, **by)


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("93.184.216.34", Nearness.PUBLIC),
        ("2606:2800:220:1::1", Nearness.PUBLIC),
        ("10.1.2.3", Nearness.PRIVATE),
        ("100.64.0.1", Nearness.PRIVATE),
        ("fd12::1", Nearness.PRIVATE),
        ("64:ff9b::10.0.0.1", Nearness.PRIVATE),
        ("2002:7f00:1::", Nearness.OURSELVES),
        ("0.0.0.0", Nearness.OURSELVES),
        ("::", Nearness.OURSELVES),
        ("::ffff:127.0.0.1", Nearness.OURSELVES),
        ("fe80::1%eth0", Nearness.LINK),
        ("169.254.169.254", Nearness.LINK),
        ("fd00:ec2::254", Nearness.LINK),
        ("224.0.0.1", Nearness.LINK),
    ],
)
def test_an_address_is_as_near_as_what_it_wraps(address, near):
    assert near == nearness(address)


def test_a_line_is_not_opened_to_an_address_nearer_than_allowed(web):
    with pytest.raises(Denied):
        Dialer(limit=Nearness.PRIVATE).connect_tcp("localhost", web.port)
    with pytest.raises(Denied):
        Dialer(urlsplit("socks5://127.0.0.1:9"), limit=Nearness.PUBLIC).connect_tcp("localhost", web.port)
    Dialer(limit=Nearness.OURSELVES).connect_tcp("localhost", web.port, 5).close()


# Certificates


def test_https_is_checked_against_the_systems_authorities_or_the_given_one(spool, certificates):
    with Web({"/a": Page(b"1")}, tls=certificates.good.server()) as safe:
        assert b"1" == got(spool, {"a": safe.url("/a")}, ca=certificates.ca)
        assert b"1" == got(spool, {"a": safe.url("/a")}, insecure=True)
        error = got(spool, {"a": safe.url("/a")})
        assert isinstance(error, Denied)
        assert "certificate is not trusted" in str(error)


@pytest.mark.parametrize(("which", "text"), [("expired", "expired"), ("elsewhere", "not valid for"), ("foreign", "unable to get")])
def test_a_bad_certificate_is_named(spool, certificates, which, text):
    with Web({"/a": Page(b"1")}, tls=getattr(certificates, which).server()) as safe:
        error = got(spool, {"a": safe.url("/a")}, ca=certificates.ca)
    assert isinstance(error, Denied)
    assert text in str(error)


def test_a_client_certificate_is_shown_where_it_is_asked_for(spool, certificates):
    asking = certificates.good.server()
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(certificates.ca)
    with Web({"/a": Page(b"1")}, tls=asking) as safe:
        error = got(spool, {"a": safe.url("/a")}, ca=certificates.ca)
        assert isinstance(error, Denied)
        assert "client certificate" in str(error)
        key = {"file": str(certificates.folder / "ca.key")}
        assert b"1" == got(spool, {"a": safe.url("/a")}, ca=certificates.ca, cert=certificates.ca, key=key)


@pytest.mark.parametrize("setting", ["ca", "cert"])
def test_a_file_that_holds_no_certificate_is_named(web, tmp_path, setting):
    (tmp_path / "x.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=setting), session({"a": web.url("/a")}, **{setting: tmp_path / "x.pem"}):
        pass


def test_a_server_that_speaks_no_tls_is_told(web, spool):
    error = got(spool, {"a": web.url("/a").replace("http:", "https:")})
    assert isinstance(error, Unreachable)
    assert "TLS failed" in str(error)


# Proxies


@pytest.mark.parametrize("kind", ["http", "socks4", "socks5"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_files_come_by_a_proxy(spool, certificates, kind, scheme):
    tls = certificates.good.server() if scheme == "https" else None
    with Web({"/a": Page(b"1" * 300_000)}, tls=tls) as far, Proxy(kind) as proxy:
        assert 300_000 == len(got(spool, {"a": far.url("/a")}, proxy=proxy.url, ca=certificates.ca))
        assert 0 < proxy.connections(far.port)


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_told_who_we_are(spool, certificates, secret, kind, scheme):
    tls = certificates.good.server() if scheme == "https" else None
    with Web({"/a": Page(b"1")}, tls=tls) as far, Proxy(kind, login="joe:let me") as proxy:
        right = {"ca": certificates.ca, "proxy": proxy.url, "proxy_password": secret("let me")}
        assert b"1" == got(spool, {"a": far.url("/a")}, **right)
        assert isinstance(got(spool, {"a": far.url("/a")}, **right | {"proxy_password": secret("wrong")}), Denied | Unreachable)


def test_a_proxy_that_is_away_is_told(web, spool):
    for kind in ("http", "socks5"):
        error = got(spool, {"a": web.url("/a")}, proxy=f"{kind}://127.0.0.1:9")
        assert isinstance(error, Unreachable)


# nginx


def test_nginx_gives_files_plain_private_and_resumed(nginx: Nginx, spool, secret):
    data = bytes(range(251)) * 20_000
    (nginx.root / "private").mkdir(exist_ok=True)
    (nginx.root / "private" / "a b#1.csv").write_bytes(data)
    files = {"a": nginx.url("/private/a%20b%231.csv")}
    login = {"user": USER, "password": secret(PASSWORD)}
    assert data == got(spool, files, **login)
    assert isinstance(got(spool, files), Denied)
    with session(files, **login) as connected:
        (entry,) = connected.list("", recursive=True)
        assert (len(data), True) == (entry.size, entry.settles)
        part = spool.part(entry)
        part.write(data[:1_000_000])
        part.keep()
        (outcome,) = connected.fetch([entry], spool)
        spool.commit([outcome.spooled])
        with spool.open(outcome.spooled.sha256) as file:
            assert data == file.read()


def test_nginx_over_https_hangs_up_and_is_asked_anew(spool, certificates):
    with Nginx(certificate=certificates.good, more="keepalive_timeout 1s; keepalive_requests 2;") as nginx:
        (nginx.root / "a.csv").write_bytes(b"1\n")
        assert isinstance(nginx, Peer)
        with session({key: nginx.url("/a.csv") for key in "abcdefg"}, ca=certificates.ca) as connected:
            outcomes = list(connected.fetch(list(connected.list("", recursive=True)), spool))
        assert [None] * 7 == [outcome.error for outcome in outcomes]
        nginx.stop()
        assert isinstance(got(spool, {"a": nginx.url("/a.csv")}, ca=certificates.ca), Unreachable)
