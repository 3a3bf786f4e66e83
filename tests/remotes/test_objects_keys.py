"""Keys that others made and that are no names: each is passed over and told of, and hides no other."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.peers import azurite as az
from tests.peers.base import HOST
from tests.peers.certificates import certificates
from tests.remotes.test_objects import Shelf, fetched
from tests.remotes.test_objects_faults import Between, RcloneS3
from transload.errors import Busy, Denied, Refused, Unreachable
from transload.model import Name
from transload.remotes.objects import AzureRemote, GcsRemote, S3Remote, plainly
from transload.remotes.objects import session as listing
from transload.remotes.objects.signing import by_private_key, by_secret, signed

HOSTILE = ["a//b", "//", "x/../y", "../x", "..", "x/.", "tab\tx", "del\x7f/x", "cr\rx", "dir/full/"]
ONLY = {"s3": ["\x01x", "esc\x1b[2Jx"], "azure": ["nl\nx", "..\\w", "a\\..\\..\\x"]}
GOOD = ["0", "a b+c%2B/ü", "a/b", "dir/x", "tab", "x/y", "zz/&amp;<>", "\u2028"]


@pytest.fixture(params=["s3", "azure"])
def shelf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    peer = request.getfixturevalue("moto" if request.param == "s3" else "azurite")
    return Shelf(request.param, peer, monkeypatch)


def listed(shelf: Shelf, folder: str = "", *, recursive: bool = True, **more: Any) -> tuple[list[str], list[str]]:
    """The names that were told, and what was refused."""
    with shelf.remote(**more).connect() as session:
        return [str(entry.name) for entry in session.list(folder, recursive=recursive)], session.refused


def test_hostile_keys_are_passed_over_and_told_and_all_others_come(shelf, spool):
    for key in GOOD:
        shelf.put(key, key.encode())
    hostile = HOSTILE + ONLY[shelf.kind]
    for key in hostile:
        shelf.put(key, b"hostile")
    with shelf.remote().connect() as session:
        entries = list(session.list("", recursive=True))
        assert {key.encode(): key.encode() for key in GOOD} == fetched(session, spool, entries)
        assert len(hostile) == len(session.refused)
        assert all(line.isprintable() for line in session.refused)
        again = list(session.list("", recursive=True))
        assert entries == again
        assert len(hostile) == len(session.refused)


@pytest.mark.parametrize("key", [key for key in HOSTILE if not key.endswith("full/")])
def test_each_hostile_key_alone_is_passed_over_below_a_prefix_and_in_one_folder(shelf, key):
    for name in ("in/a", "in/sub/b", "out", f"in/{key}", f"in/sub/{key}"):
        shelf.put(name, b"x")
    assert (["a", "sub/b"], 2) == _counted(*listed(shelf, prefix="in"))
    assert (["b"], 1) == _counted(*listed(shelf, "in/sub"))
    names, refused = listed(shelf, "in/sub", recursive=False)
    assert ["b"] == names
    assert len(refused) == ("/" not in key)


def _counted(names: list[str], refused: list[str]) -> tuple[list[str], int]:
    return names, len(refused)


@pytest.mark.parametrize("others", [[], ["lead"], ["-", "0", "zz"]])
def test_a_key_that_begins_with_a_slash_is_no_other(shelf, others):
    for key in ("/lead", *others):
        shelf.put(key, key.encode())
    names, refused = listed(shelf)
    assert sorted(others) == sorted(names)
    assert ["'/lead' is not a safe name: it is absolute"] == refused


def test_an_entry_is_told_alike_whoever_asks(shelf):
    shelf.put("a", b"12345")
    with shelf.remote().connect() as session:
        (usual,) = session.list("", recursive=True)
        shelf.put("x//y", b"1")
        (plain,) = session.list("", recursive=True)
    assert (usual.name, usual.size, usual.etag, usual.settles) == (plain.name, plain.size, plain.etag, plain.settles)
    assert abs(usual.modified - plain.modified) <= usual.precision * 1_000_000


def test_markers_of_folders_are_not_told(shelf):
    for key in ("a/", "b/c/"):
        shelf.put(key, b"")
    shelf.put("a/x", b"1")
    shelf.put("a//y", b"1")
    assert (["a/x"], 1) == _counted(*listed(shelf))


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_what_came_before_the_hostile_key_comes_once_and_many_pages_are_whole(shelf, monkeypatch, page):
    monkeypatch.setattr(listing, "PAGE", 3)
    monkeypatch.setattr(plainly, "PAGE", page)
    names = [f"{number:02}" for number in range(9)]
    for key in (*names, "05//x", "07\x7f"):
        shelf.put(key, b"x")
    found, refused = listed(shelf)
    assert (names, 2) == (sorted(found), len(refused))


def test_all_come_again_when_the_key_that_came_last_is_gone(shelf, monkeypatch):
    for key in ("a", "b", "c", "d//x"):
        shelf.put(key, b"x")
    told = listing.ObjectSession._told

    def cut(self, base, *, recursive):
        yield [self._bucket.head("b")]
        shelf_delete(shelf, "b")
        yield from told(self, base, recursive=recursive)

    monkeypatch.setattr(listing.ObjectSession, "_told", cut)
    found, _ = listed(shelf)
    assert ["a", "b", "c"] == sorted(set(found))


def shelf_delete(shelf: Shelf, key: str) -> None:
    if shelf.kind == "s3":
        shelf.peer.client().delete_object(Bucket=shelf.bucket, Key=key)
    else:
        shelf.peer.delete(shelf.bucket, key)


def test_a_sas_is_enough(azurite, monkeypatch):
    shelf = Shelf("azure", azurite, monkeypatch)
    shelf.put("a", b"x")
    shelf.put("b//c", b"x")
    monkeypatch.setenv("THE_SECRET", azurite.sas(shelf.bucket))
    remote = AzureRemote.model_validate(
        {"container": shelf.bucket, "account": az.ACCOUNT, "endpoint": azurite.url, "sas": {"env": "THE_SECRET"}}
    )
    with remote.connect() as session:
        assert [Name("a")] == [entry.name for entry in session.list("", recursive=True)]
        assert 1 == len(session.refused)


def test_keys_from_the_environment_are_enough_and_a_role_is_told_what_is_missing(moto, monkeypatch):
    shelf = Shelf("s3", moto, monkeypatch)
    shelf.put("a", b"x")
    shelf.put("b//c", b"x")
    remote = S3Remote.model_validate({"bucket": shelf.bucket, "endpoint": moto.url, "region": "eu-west-1"})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY7secret")
    with remote.connect() as session:
        assert [Name("a")] == [entry.name for entry in session.list("", recursive=True)]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
        with pytest.raises(Refused, match=r"b//c.*takes access_key and secret_key, not a role"):
            list(session.list("", recursive=True))


def test_another_s3_server_is_asked_alike(monkeypatch):
    with RcloneS3() as peer:
        (peer.root / "bucket/a").mkdir()
        for name in ("1", "a/b c+d", "a/ü%41"):
            (peer.root / "bucket" / name).write_bytes(b"x")
        monkeypatch.setenv("THE_KEY", "testing")
        monkeypatch.setenv("THE_SECRET", "testing-secret")
        keys = {"access_key": {"env": "THE_KEY"}, "secret_key": {"env": "THE_SECRET"}}
        remote = S3Remote.model_validate({"bucket": "bucket", "endpoint": f"http://{HOST}:{peer.port}", "region": "eu-west-1", **keys})
        with remote.connect() as session:
            for base, names in ("", ["1", "a/b c+d", "a/ü%41"]), ("a", ["a/b c+d", "a/ü%41"]):
                assert names == sorted(meta["path"] for page in remote.pages(session._bucket, base, recursive=True) for meta in page)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><ListBucketResult><Name>&b;</Name></ListBucketResult>'
PAGE_OF = "<ListBucketResult><IsTruncated>true</IsTruncated>{}</ListBucketResult>"


@pytest.mark.parametrize(
    ("status", "answer", "kind", "text"),
    [
        (200, BOMB, Unreachable, "declares a document type"),
        (200, "<ListBucketResult><Contents>", Unreachable, "cannot be read"),
        (200, "", Unreachable, "cannot be read"),
        (200, "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", Unreachable, "cannot be read"),
        (200, PAGE_OF.format(""), Unreachable, "there is more, and not where"),
        (200, PAGE_OF.format("<NextContinuationToken>same</NextContinuationToken>"), Unreachable, "there is more, and not where"),
        (200, " " * (16 * 2**20 + 1), Refused, "more than 16 MiB"),
        (403, "<Error><Code>AccessDenied</Code></Error>", Denied, "AccessDenied"),
        (503, "<Error><Code>SlowDown</Code></Error>", Busy, "SlowDown"),
        (307, "", Denied, "somewhere else"),
    ],
)
def test_an_answer_that_is_no_listing_never_ends_quietly(moto, monkeypatch, status, answer, kind, text):
    shelf = Shelf("s3", moto, monkeypatch)
    shelf.put("a//b", b"x")
    with Between(moto.port) as between:
        between.answer = lambda _, path, __: (status, answer) if "encoding-type" in path else None
        with shelf.remote(endpoint=f"http://{HOST}:{between.port}").connect() as session, pytest.raises(kind, match=text) as caught:
            list(session.list("", recursive=True))
    assert "Signature" not in f"{caught.value}{caught.value.__cause__}"


# The signatures: without a query of our own they are obstore's


def _told(url: str, what: str) -> list[str]:
    return next(value for name, value in parse_qs(urlsplit(url).query).items() if name.endswith(what))


def _signed_at_once(store: Any, method: Any, key: str) -> tuple[str, str]:
    """What obstore signs for the bucket and for `key`, in the same second."""
    while True:
        root, whole = (obstore.sign(store, method, path, timedelta(minutes=5)) for path in ("", key))
        if _told(root, "Date") == _told(whole, "Date"):
            return root, whole


@pytest.mark.parametrize("virtual_hosted", [False, True])
@pytest.mark.parametrize("key", ["", "a b/ü+~%'!"])
def test_a_request_to_s3_is_signed_as_obstore_signs_it(monkeypatch, virtual_hosted, key):
    for name, value in {"THE_KEY": "AKIA", "THE_SECRET": "se/cret+", "TOKEN": "to/ken=="}.items():
        monkeypatch.setenv(name, value)
    keys = {"access_key": {"env": "THE_KEY"}, "secret_key": {"env": "THE_SECRET"}, "session_token": {"env": "TOKEN"}}
    store = S3Remote.model_validate({"bucket": "b", "region": "eu-west-3", "virtual_hosted": virtual_hosted, **keys}).store(10)
    root, whole = _signed_at_once(store, "DELETE", key)
    assert _told(whole, "Signature") == _told(signed(root, "DELETE", key, {}, by_secret("se/cret+")), "Signature")


@pytest.mark.parametrize("key", ["", "a b/ü"])
def test_a_request_to_google_is_signed_as_obstore_signs_it(tmp_path, key):
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    account = {"private_key": pem, "private_key_id": "1", "client_email": "a@b", "client_id": "2"}
    (tmp_path / "account.json").write_text(json.dumps(account))
    remote = GcsRemote.model_validate({"bucket": "landing", "credentials": {"file": str(tmp_path / "account.json")}})
    root, whole = _signed_at_once(remote.store(10), "GET", key)
    assert _told(whole, "Signature") == _told(signed(root, "GET", key, {}, by_private_key(pem)), "Signature")


# The way there is obstore's way


def test_an_own_authority_is_trusted(moto, monkeypatch):
    shelf = Shelf("s3", moto, monkeypatch)
    shelf.put("a", b"x")
    shelf.put("b//c", b"x")
    with Between(moto.port) as between:
        between.server.socket = certificates().good.server().wrap_socket(between.server.socket, server_side=True)
        names, refused = listed(shelf, endpoint=f"https://localhost:{between.port}", ca=str(certificates().ca))
    assert (["a"], 1) == (names, len(refused))
    assert any("encoding-type" in line for line in between.asked)


def test_a_proxy_carries_all_requests_with_its_password(moto, monkeypatch):
    shelf = Shelf("s3", moto, monkeypatch)
    shelf.put("a", b"x")
    shelf.put("b//c", b"x")
    monkeypatch.setenv("WORD", "w:o/rd@")
    given = []
    with Between(moto.port) as proxy:
        proxy.answer = lambda _, __, headers: given.append({name.lower(): text for name, text in headers.items()}["proxy-authorization"])
        login = {"proxy": f"http://me@{HOST}:{proxy.port}", "proxy_password": {"env": "WORD"}}
        assert (["a"], 1) == _counted(*listed(shelf, **login))
    assert any("encoding-type" in line for line in proxy.asked)
    assert {"Basic " + base64.b64encode(b"me:w:o/rd@").decode()} == set(given)


def test_who_may_list_and_not_look_gets_the_listing(moto, monkeypatch):
    shelf = Shelf("s3", moto, monkeypatch)
    shelf.put("a", b"x")
    with Between(moto.port) as between:
        between.answer = lambda method, *_: (403, "") if method == "HEAD" else None
        assert (["a"], []) == listed(shelf, endpoint=f"http://{HOST}:{between.port}")
