"""Object stores that refuse, break, lie or forget, and processes that die: nothing lost, nothing doubled, no secret told."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from tests.peers import azurite as az
from tests.peers import moto as s3
from tests.peers.base import HOST, REPOSITORY, Peer, program
from tests.peers.moto import Moto
from tests.peers.relay import Relay
from transload.errors import Busy, ConfigError, Denied, Permanent, Refused, Transient, TransloadError, Unreachable
from transload.model import Entry, Name, Parcel, Verify
from transload.remotes.objects import AzureRemote, S3Remote

MIB = 2**20
CANARY = "CANARY7secret"


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    values = {"THE_KEY": s3.ACCESS_KEY, "THE_SECRET": s3.SECRET_KEY, "AZURE_KEY": az.KEY, "CANARY": CANARY}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def parcel(tmp_path):
    def make(name: str, data: bytes, key: str = "d1-c1", **more: Any) -> Parcel:
        file = tmp_path / f"parcel-{len(list(tmp_path.iterdir()))}"
        file.write_bytes(data)
        return Parcel(1, key, Name(name), str(file), len(data), hashlib.sha256(data).hexdigest(), **more)

    return make


def s3_at(bucket: str, port: int, **more: object) -> S3Remote:
    keys = {"access_key": {"env": "THE_KEY"}, "secret_key": {"env": "THE_SECRET"}}
    settings = {"bucket": bucket, "endpoint": f"http://{HOST}:{port}", "region": s3.REGION, "timeout": 10}
    return S3Remote.model_validate({**settings, **keys, **more})


def azure_at(container: str, port: int, **more: object) -> AzureRemote:
    settings = {"container": container, "account": az.ACCOUNT, "endpoint": f"http://{HOST}:{port}/{az.ACCOUNT}", "timeout": 10}
    return AzureRemote.model_validate({**settings, **(more or {"account_key": {"env": "AZURE_KEY"}})})


def publish(remote, *parcels: Parcel):
    with remote.connect() as session:
        return list(session.publish(list(session.stage(parcels))))


def told(error: BaseException | None) -> str:
    """All that a log could show of an error."""
    return f"{error!r} {error}\n{told(error.__cause__)}{told(error.__context__)}" if error else ""


def faults_of(remote, one: Parcel) -> list[TransloadError]:
    """What listing, looking, fetching and putting answer."""
    found = []
    with remote.connect() as session:
        for act in (
            lambda: list(session.list("", recursive=True)),
            lambda: session.look(Name("x")),
            lambda: [outcome.error for outcome in session.fetch([Entry("", Name("x"), 1)], spool=None)],
            lambda: [receipt.error for receipt in session.publish(list(session.stage([one])))],
        ):
            try:
                found += act() or []
            except TransloadError as error:
                found.append(error)
    return found


class Between:
    """A server between us and a store: `answer` may reply in its place (status, body), `alter` changes what is passed on."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.answer: Callable[[str, str, dict[str, str]], tuple[int, str] | None] = lambda *_: None
        self.alter: Callable[[str, bytes], bytes] = lambda _, body: body
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append(f"{self.command} {self.path}")
                own = outer.answer(self.command, self.path, dict(self.headers))
                status, headers, data = (own[0], [], own[1].encode()) if own else outer.forward(self, body)
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                        self.send_header(name, value)
                length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else data)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.port: int = self.server.server_address[1]

    def forward(self, asked: http.server.BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        line = http.client.HTTPConnection(HOST, self.target, timeout=10)
        body = self.alter(asked.command, body)
        line.request(asked.command, asked.path, body, {**dict(asked.headers), "Content-Length": str(len(body))})
        answer = line.getresponse()
        try:
            return answer.status, answer.getheaders(), answer.read()
        finally:
            line.close()

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def between(moto):
    with Between(moto.port) as made:
        yield made


# Who may not come in


def test_a_wrong_account_key_is_denied_and_never_told(azurite, monkeypatch, parcel):
    wrong = "Q0FOQVJZN3NlY3JldA=="
    monkeypatch.setenv("AZURE_KEY", wrong)
    errors = faults_of(azure_at(azurite.container(), azurite.port), parcel("x", b"1"))
    assert [Denied] * 4 == [type(error) for error in errors]
    assert not any(wrong in told(error) or "sig=" in told(error) for error in errors)


def test_an_expired_sas_is_denied_and_never_told(azurite, monkeypatch, parcel):
    container = azurite.container()
    sas = azurite.sas(container, hours=-0.5)
    monkeypatch.setenv("SAS", sas)
    errors = faults_of(azure_at(container, azurite.port, sas={"env": "SAS"}), parcel("x", b"1"))
    assert [Denied] * 4 == [type(error) for error in errors]
    signature = sas.partition("sig=")[2]
    assert not any(signature in told(error) or sas in told(error) for error in errors)


def test_a_secret_that_is_no_sas_is_the_operators_to_mend_and_never_told(parcel):
    (error,) = {str(error): error for error in faults_of(azure_at("c", 1, sas={"env": "CANARY"}), parcel("x", b"1"))}.values()
    assert isinstance(error, ConfigError)
    assert CANARY not in told(error)


def test_the_secrets_of_an_unreachable_store_are_never_told(monkeypatch, parcel):
    monkeypatch.setenv("SAS", f"sv=2024-11-04&sig={CANARY}")
    for remote in (azure_at("c", 1, sas={"env": "SAS"}), s3_at("b", 1, secret_key={"env": "CANARY"}, session_token={"env": "CANARY"})):
        errors = faults_of(remote, parcel("x", b"1"))
        assert [Unreachable] * 4 == [type(error) for error in errors]
        assert all(f"http://{HOST}:1" in str(error) and "refuses the connection" in str(error) for error in errors)
        assert not any(CANARY in told(error) for error in errors)


def test_unknown_keys_are_denied_and_never_told(monkeypatch, parcel):
    monkeypatch.setenv("INITIAL_NO_AUTH_ACTION_COUNT", "1")
    with Moto() as strict:
        remote = s3_at(strict.bucket(), strict.port, access_key={"env": "CANARY"}, secret_key={"env": "CANARY"})
        errors = faults_of(remote, parcel("x", b"1"))
    assert [Denied] * 4 == [type(error) for error in errors]
    assert not any(CANARY in told(error) for error in errors)


@pytest.mark.parametrize("way", ["sas", "connection_string", "connection_string with sas"])
def test_every_way_into_azure_works(azurite, monkeypatch, parcel, way):
    container = azurite.container()
    sas = azurite.sas(container)
    with_sas = f"BlobEndpoint={azurite.url};AccountName={az.ACCOUNT};SharedAccessSignature={sas}"
    monkeypatch.setenv("WAY", {"sas": "?" + sas, "connection_string": azurite.connection_string}.get(way, with_sas))
    settings = {"container": container, way.partition(" ")[0]: {"env": "WAY"}}
    if way == "sas":
        settings |= {"account": az.ACCOUNT, "endpoint": azurite.url}
    receipts = publish(AzureRemote.model_validate(settings), parcel("x", b"1"), parcel("y", b"2" * 9 * MIB, key="d2-c1"))
    assert [None, None] == [receipt.error for receipt in receipts]
    assert ["x", "y"] == azurite.names(container)


def test_a_connection_string_makes_the_container(azurite, monkeypatch, parcel):
    monkeypatch.setenv("WAY", azurite.connection_string)
    remote = AzureRemote.model_validate({"container": f"made-{azurite.port}", "connection_string": {"env": "WAY"}, "create": True})
    assert [None] == [receipt.error for receipt in publish(remote, parcel("x", b"1"))]


def test_a_bucket_that_may_not_be_made_is_said_to_be_missing_and_why(azurite, monkeypatch, parcel):
    monkeypatch.setenv("SAS", azurite.sas(azurite.container()))
    remote = azure_at("not-ours", azurite.port, sas={"env": "SAS"}, create=True)
    (receipt,) = publish(remote, parcel("x", b"1"))
    assert isinstance(receipt.error, Denied)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"kind": "s3", "bucket": "b", "access_key": {"env": "X"}}, "access_key and secret_key"),
        ({"kind": "s3", "bucket": "b", "kms_key": "k"}, "aws:kms"),
        ({"kind": "azure", "account": "a", "container": "c", "sas": {"env": "X"}, "account_key": {"env": "X"}}, "sas and account_key"),
        ({"kind": "azure", "container": "c", "sas": {"env": "X"}}, "wants account"),
        ({"kind": "s3", "bucket": "b", "endpoint": "ftp://x"}, "endpoint"),
        ({"kind": "s3", "bucket": "b", "proxy": "http://user:word@x"}, "proxy"),
        ({"kind": "s3", "bucket": "b", "proxy": "socks5://x"}, "proxy"),
    ],
)
def test_settings_that_cannot_work_are_told_at_once(settings, text):
    kind = S3Remote if settings["kind"] == "s3" else AzureRemote
    with pytest.raises(ValueError, match=text):
        kind.model_validate(settings)


# What the store answers


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", Busy),
        (500, "InternalError", Busy),
        (429, "TooManyRequests", Busy),
        (409, "OperationAborted", Busy),
        (400, "ExpiredToken", Denied),
        (403, "RequestTimeTooSkewed", Denied),
        (301, "PermanentRedirect", Denied),
        (400, "InvalidArgument", Refused),
    ],
)
def test_what_a_store_says_decides_whether_to_try_again(between, parcel, status, code, kind):
    between.answer = lambda *_: (status, f"<Error><Code>{code}</Code><Message>So it is.</Message></Error>")
    errors = faults_of(s3_at("bucket", between.port), parcel("x", b"1"))
    assert 4 == len(errors)
    assert isinstance(errors[0], kind)
    assert status == 409 or isinstance(errors[3], kind)
    assert isinstance(errors[0], Permanent) is issubclass(kind, Permanent)
    assert status == 301 or code in str(errors[0])


def test_one_object_that_is_answered_busy_stops_no_other(between, moto, spool, parcel):
    bucket = moto.bucket()
    for name in ("a", "b", "c"):
        moto.client().put_object(Bucket=bucket, Key=name, Body=name.encode())
    between.answer = lambda _, path, __: (503, "<Error><Code>SlowDown</Code></Error>") if path.endswith(("/b", "/y")) else None
    remote = s3_at(bucket, between.port)
    with remote.connect() as session:
        outcomes = {outcome.entry.name.raw: outcome.error for outcome in session.fetch(session.list("", recursive=True), spool)}
    assert {b"a": None, b"c": None} == {name: error for name, error in outcomes.items() if name != b"b"}
    assert isinstance(outcomes[b"b"], Busy)
    receipts = {receipt.parcel.name.raw: receipt.error for receipt in publish(remote, parcel("y", b"1"), parcel("z", b"1"))}
    assert isinstance(receipts[b"y"], Busy)
    assert receipts[b"z"] is None


def test_a_store_without_conditional_puts_is_asked_before(between, moto, parcel):
    bucket = moto.bucket()
    moto.client().put_object(Bucket=bucket, Key="old", Body=b"old")
    between.answer = lambda _, __, headers: (501, "<Error><Code>NotImplemented</Code></Error>") if "if-none-match" in headers else None
    receipts = {
        receipt.parcel.name.raw: receipt for receipt in publish(s3_at(bucket, between.port), parcel("new", b"1"), parcel("old", b"2"))
    }
    assert receipts[b"new"].error is None
    assert "already has that name" in str(receipts[b"old"].error)
    assert b"old" == moto.client().get_object(Bucket=bucket, Key="old")["Body"].read()


@pytest.mark.parametrize("size", [1000, 9 * MIB])
@pytest.mark.parametrize("verify", [Verify.HASH, Verify.READ_BACK])
def test_a_store_that_keeps_other_bytes_is_found_out(between, moto, parcel, verify, size):
    bucket = moto.bucket()
    between.alter = lambda method, body: body[:-1] + b"X" if method == "PUT" and len(body) > 100 else body
    (receipt,) = publish(s3_at(bucket, between.port), parcel("x", b"a" * size, verify=verify))
    assert type(receipt.error) is Transient
    assert "SHA-256 were sent" in str(receipt.error)
    assert "Contents" not in moto.client().list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("number_of", [1, 40])
def test_a_store_that_keeps_fewer_bytes_is_found_out(between, moto, parcel, number_of):
    bucket = moto.bucket()
    between.alter = lambda method, body: body[:-1] if method == "PUT" and len(body) > 100 else body
    parcels = [parcel(f"{number}", b"a" * 1000) for number in range(number_of)]
    errors = [receipt.error for receipt in publish(s3_at(bucket, between.port), *parcels)]
    assert [Transient] * number_of == [type(error) for error in errors]
    assert all("1000 bytes were sent, 999 arrived" in str(error) for error in errors)


def test_encryption_is_asked_for_and_an_etag_that_is_no_md5_is_not_missed(moto, parcel):
    bucket, key = moto.bucket(), "arn:aws:kms:eu-west-1:123456789012:key/abcd"
    remote = s3_at(bucket, moto.port, encryption="aws:kms", kms_key=key)
    receipts = publish(remote, parcel("small", b"1"), parcel("large", b"1" * 9 * MIB, key="d2-c1"))
    assert [(None, Verify.SIZE)] * 2 == [(receipt.error, receipt.verified) for receipt in receipts]
    for name in ("small", "large"):
        seen = moto.client().head_object(Bucket=bucket, Key=name)
        assert ("aws:kms", key) == (seen["ServerSideEncryption"], seen["SSEKMSKeyId"])
    assert [None] == [receipt.error for receipt in publish(s3_at(bucket, moto.port, encryption="AES256"), parcel("other", b"1"))]
    assert "AES256" == moto.client().head_object(Bucket=bucket, Key="other")["ServerSideEncryption"]


# Lines that break, processes that die


@pytest.mark.parametrize("kind", ["s3", "azure"])
@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_a_put_whose_answer_was_lost_is_settled_by_the_next_try(request, parcel, kind, size):
    peer = request.getfixturevalue("moto" if kind == "s3" else "azurite")
    bucket = peer.bucket() if kind == "s3" else peer.container()
    at = s3_at if kind == "s3" else azure_at
    one = parcel("x", os.urandom(size))
    (receipt,) = publish(at(bucket, peer.port), one)
    assert receipt.error is None
    with Relay(peer.port) as relay:
        (again,) = publish(at(bucket, relay.port), one)
        assert again.error is None
        assert receipt.etag == again.etag
        if size > MIB:
            assert relay.carried < MIB


def test_a_reply_cut_off_is_unreachable_and_the_object_is_there_once(moto, parcel):
    bucket, one = moto.bucket(), parcel("x", b"bytes")
    with Relay(moto.port) as relay:
        with pytest.raises(Unreachable):
            relay.down_left = 5
            publish(s3_at(bucket, relay.port), one)
        assert b"bytes" == moto.client().get_object(Bucket=bucket, Key="x")["Body"].read()
        relay.mend()
        assert [None] == [receipt.error for receipt in publish(s3_at(bucket, relay.port), one)]


PUBLISH = """
import sys
from transload.model import Name, Parcel, Staged
from tests.remotes.test_objects_faults import s3_at, azure_at
kind, bucket, port, file, size, sha = sys.argv[1:]
with {"s3": s3_at, "azure": azure_at}[kind](bucket, int(port)).connect() as session:
    list(session.publish([Staged(Parcel(1, "d1-c1", Name("x"), file, int(size), sha), "put")]))
"""


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_a_process_killed_in_the_middle_of_a_large_put_shows_nothing(request, parcel, kind):
    peer = request.getfixturevalue("moto" if kind == "s3" else "azurite")
    bucket = peer.bucket() if kind == "s3" else peer.container()
    one = parcel("x", os.urandom(48 * MIB))
    with Relay(peer.port) as relay:
        relay.up_left, relay.stall = 24 * MIB, True
        words = [kind, bucket, str(relay.port), one.file, str(one.size), one.sha256]
        child = subprocess.Popen([sys.executable, "-c", PUBLISH, *words], cwd=REPOSITORY)
        while relay.carried < 24 * MIB:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
    remote = s3_at(bucket, peer.port) if kind == "s3" else azure_at(bucket, peer.port)
    with remote.connect() as session:
        assert [] == list(session.list("", recursive=True))
        assert session.look(one.name) is None
    assert [None] == [receipt.error for receipt in publish(remote, one)]
    with remote.connect() as session:
        assert one.sha256 == session._bucket.read_back("x")


def test_a_large_put_that_fails_here_leaves_no_parts_there(moto, parcel):
    bucket, one = moto.bucket(), parcel("x", b"1" * 20 * MIB, verify=Verify.HASH)
    with open(one.file, "r+b") as file:
        file.write(b"another beginning")
    (receipt,) = publish(s3_at(bucket, moto.port), one)
    assert "not those that were hashed" in str(receipt.error)
    assert "Contents" not in moto.client().list_objects_v2(Bucket=bucket)
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=bucket)


def test_a_part_that_is_refused_ends_the_upload_for_good(between, moto, parcel):
    bucket, one = moto.bucket(), parcel("x", b"1" * 40 * MIB)
    between.answer = lambda method, path, _: (
        (400, "<Error><Code>Bad</Code></Error>") if "partNumber=3" in path and method == "PUT" else None
    )
    (receipt,) = publish(s3_at(bucket, between.port), one)
    assert isinstance(receipt.error, Refused)
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket=bucket)


class RcloneS3(Peer):
    """S3 as rclone serves a folder: on disk, where moto keeps all of an object in memory twice."""

    name = "rclone"

    def start(self) -> None:
        (self.root / "bucket").mkdir()
        login = ["--auth-key", f"{s3.ACCESS_KEY},{s3.SECRET_KEY}", "--vfs-cache-mode", "off"]
        rclone = program("rclone", Path(sys.executable).parent)
        self.spawn([rclone, "serve", "s3", "--config", "", "--addr", f"{self.host}:{self.port}", *login, str(self.root)])


@pytest.mark.parametrize("size", [0, 1000, 20 * MIB])
def test_another_s3_server_takes_and_gives_the_same(spool, parcel, size):
    one = parcel("a b/ü#1", os.urandom(size), verify=Verify.READ_BACK)
    with RcloneS3() as peer, s3_at("bucket", peer.port).connect() as session:
        (receipt,) = session.publish(list(session.stage([one])))
        assert (None, Verify.READ_BACK) == (receipt.error, receipt.verified)
        (outcome,) = session.fetch(session.list("", recursive=True), spool)
        assert one.sha256 == outcome.spooled.sha256


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_five_gibibytes_pass_in_little_memory(tmp_path, kind):
    file, size = tmp_path / "sparse", 5 * 2**30 + 1
    with file.open("wb") as made:
        made.truncate(size)
    code = PUBLISH + "\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    with (RcloneS3 if kind == "s3" else az.Azurite)() as peer:
        bucket = "bucket" if kind == "s3" else peer.container()
        words = [kind, bucket, str(peer.port), str(file), str(size), "0" * 64]
        child = subprocess.run([sys.executable, "-c", code, *words], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        print(f"{kind}: {child.stdout.strip()} kB")
        assert int(child.stdout) < 150_000
        with (s3_at if kind == "s3" else azure_at)(bucket, peer.port).connect() as session:
            assert size == session.look(Name("x")).size
