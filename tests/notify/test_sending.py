"""Every way to tell somebody, against real servers and programs: taken, away, slow, or refused; and no secret in any error."""

from __future__ import annotations

import hmac
import json
import logging
import os
import signal
import socket
import threading
import time
from contextlib import suppress

import pytest

from transload.errors import Busy, ConfigError, Denied, Permanent, Refused, Transient, TransloadError, Unreachable
from transload.notify import Target
from transload.remotes.hook.web import SIGNATURE, TIMESTAMP, signature

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # a part of Apprise for signed mail

CANARY = "canary-4711"


@pytest.fixture
def apprise(monkeypatch):
    def make(url: str, **more) -> Target:
        monkeypatch.setenv("NOTIFY_URL", url)
        return Target(url={"env": "NOTIFY_URL"}, **more)

    return make


@pytest.fixture
def nowhere():
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(autouse=True)
def no_secret_is_logged(capfd, monkeypatch):
    # pytest's own handler listens to silenced loggers, too; the log's does not.
    root, kept = logging.getLogger(), _Kept()
    level = root.level
    root.addHandler(kept)
    root.setLevel(1)
    yield
    root.removeHandler(kept)
    root.setLevel(level)
    out, err = capfd.readouterr()
    assert CANARY not in out + err
    assert [] == [line for line in kept.lines if CANARY in line]


def _fault(target: Target, message) -> TransloadError:
    with pytest.raises(TransloadError) as told:
        target.send(message)
    error = told.value
    while error is not None:
        assert CANARY not in f"{error} {error.args!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told.value


# Apprise


def test_an_apprise_target_gets_title_and_text(apprise, receiver, message):
    apprise(f"json://user:{CANARY}@{receiver.at}/{CANARY}/in").send(message)
    ((path, _, body),) = receiver.got
    told = json.loads(body)
    assert (f"/{CANARY}/in", message.title, message.text, "failure") == (path, told["title"], told["message"], told["type"])


def test_a_form_target_gets_it_too(apprise, receiver, message):
    apprise(f"form://{receiver.at}/in").send(message)
    assert b"quarantined" in receiver.got[0][2]


def test_slack_gets_it_and_a_files_name_calls_nobody(apprise, receiver, message, monkeypatch):
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{receiver.at}/services")
    slack = apprise("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general")
    slack.send(message)
    ((path, _, body),) = receiver.got
    assert "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ" == path
    assert "&lt;!channel&gt;" in json.loads(body)["attachments"][0]["text"]
    receiver.status = 404
    assert "Slack answered 404" == str(_fault(slack, message))
    receiver.status = 500
    assert "Slack answered 500" == str(_fault(slack, message))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, Busy), (503, Busy), (429, Busy), (408, Busy), (401, Denied), (403, Denied), (404, Refused), (400, Refused), (302, Refused)],
)
def test_an_answer_that_is_not_yes_says_whether_trying_again_can_help(apprise, receiver, message, status, kind):
    receiver.status, receiver.more = status, {"Location": f"http://{receiver.at}/elsewhere"}
    for target in (apprise(f"json://user:{CANARY}@{receiver.at}/{CANARY}"), Target(webhook=f"http://{receiver.at}/in")):
        fault = _fault(target, message)
        assert kind is type(fault)
        assert f"answered {status}" in str(fault)
    assert 2 == len(receiver.got)


def test_a_target_that_is_away_may_be_asked_again(apprise, nowhere, message):
    assert "JSON cannot be reached, or did not take it" == str(_fault(apprise(f"json://{CANARY}:{CANARY}@{nowhere}/{CANARY}"), message))
    assert isinstance(_fault(apprise(f"json://{nowhere}/"), message), Unreachable)
    assert isinstance(_fault(Target(webhook=f"http://{nowhere}/{CANARY}"), message), Unreachable)


def test_a_target_that_is_slow_is_not_waited_for_longer_than_it_says(apprise, receiver, message):
    receiver.wait.clear()
    for target in (apprise(f"json://{receiver.at}/{CANARY}", timeout="300ms"), Target(webhook=f"http://{receiver.at}/", timeout="300ms")):
        begun = time.monotonic()
        fault = _fault(target, message)
        assert isinstance(fault, Unreachable)
        assert "did not answer in time" in str(fault)
        assert time.monotonic() - begun < 3


def test_a_target_that_answers_byte_by_byte_is_not_waited_for_either(apprise, message):
    def take() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

    def drip(line: socket.socket) -> None:
        with line, suppress(OSError):
            line.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.05):
                line.sendall(b"X: y\r\n")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=take, daemon=True).start()
        try:
            for target in (apprise(f"json://{at}/", timeout="300ms"), Target(webhook=f"http://{at}/", timeout="300ms")):
                begun = time.monotonic()
                assert "did not answer in time" in str(_fault(target, message))
                assert time.monotonic() - begun < 3
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "url", [f"nonsense://{CANARY}", f"slack://{CANARY}", "", CANARY, f"json://{CANARY}:{CANARY}@", f"jsons://{CANARY}/?verify=no"]
)
def test_a_url_that_cannot_be_used_is_for_the_operator_and_is_not_shown(apprise, message, url):
    fault = _fault(apprise(url), message)
    assert isinstance(fault, ConfigError)
    assert str(fault).startswith("url: ")


def test_a_url_that_is_not_there_says_where_it_was_looked_for(message, monkeypatch):
    monkeypatch.delenv("NOTIFY_URL", raising=False)
    assert "the environment variable NOTIFY_URL is not set" == str(_fault(Target(url={"env": "NOTIFY_URL"}), message))


# TLS


def test_a_certificate_of_an_authority_that_is_trusted_is_taken(apprise, secure, certificates, message, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    server = secure()
    apprise(f"jsons://{server.at}/{CANARY}").send(message)
    Target(webhook=f"https://{server.at}/in").send(message)
    assert [f"/{CANARY}", "/in"] == [path for path, _, _ in server.got]


@pytest.mark.parametrize("which", ["expired", "elsewhere", "foreign"])
def test_any_other_certificate_is_told_nothing(apprise, secure, certificates, message, monkeypatch, which):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.ca))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    server = secure(which)
    assert isinstance(_fault(apprise(f"jsons://{server.at}/{CANARY}"), message), Transient)
    assert isinstance(_fault(Target(webhook=f"https://{server.at}/"), message), Transient)
    assert [] == server.got


# Webhooks


def test_a_webhook_gets_json_that_is_signed_as_hooks_are(receiver, message, monkeypatch):
    monkeypatch.setenv("NOTIFY_SECRET", f"{CANARY}\n")
    Target(webhook=f"http://{receiver.at}/in?x=1", secret={"env": "NOTIFY_SECRET"}).send(message)
    ((path, headers, body),) = receiver.got
    told = json.loads(body)
    assert ("/in?x=1", "application/json", message.id, 1) == (path, headers["Content-Type"], told["id"], told["count"])
    assert ("in/a b.csv", "EICAR was found", "sftp://carrier/out") == tuple(
        told["notices"][0][key] for key in ("subject", "reason", "source")
    )
    at = headers[TIMESTAMP]
    assert abs(time.time() - int(at)) < 300
    assert signature(CANARY.encode(), at, body) == headers[SIGNATURE]
    assert hmac.new(CANARY.encode(), at.encode() + b"." + body, "sha256").hexdigest() == headers[SIGNATURE]


def test_a_webhook_without_a_secret_is_not_signed(receiver, message):
    Target(webhook=f"http://{receiver.at}/").send(message)
    assert SIGNATURE not in receiver.got[0][1]


def test_an_address_by_reference_is_never_shown(receiver, message, monkeypatch, nowhere):
    monkeypatch.setenv("NOTIFY_HOOK", f"http://user:{CANARY}@{receiver.at}/{CANARY}\n")
    target = Target(webhook={"env": "NOTIFY_HOOK"})
    target.send(message)
    assert f"/{CANARY}" == receiver.got[0][0]
    receiver.status = 500
    assert "the webhook answered 500" == str(_fault(target, message))
    monkeypatch.setenv("NOTIFY_HOOK", f"http://user:{CANARY}@{nowhere}/{CANARY}")
    assert "the webhook cannot be reached, or broke off: ConnectError" == str(_fault(target, message))
    for bad in (f"http://{CANARY}.example/", f"ftp://{CANARY}", CANARY, f"https://{CANARY}:port/", f"https://[{CANARY}", ""):
        monkeypatch.setenv("NOTIFY_HOOK", bad)
        assert isinstance(_fault(target, message), ConfigError)


# Commands


def test_a_command_gets_the_message_as_json(tmp_path, message):
    Target(command=("/bin/sh", "-c", f"cat > {tmp_path}/told")).send(message)
    assert message.body == (tmp_path / "told").read_bytes()


def test_a_command_that_fails_says_how_and_may_be_asked_again(message):
    fault = _fault(Target(command=("/bin/sh", "-c", "echo first >&2; printf 'no\\033[1m good' >&2; exit 7")), message)
    assert ("/bin/sh ended with exit code 7: no%1B[1m good", Busy) == (str(fault), type(fault))
    fault = _fault(Target(command=("/no/such",)), message)
    assert ("/no/such cannot be started: No such file or directory", Unreachable) == (str(fault), type(fault))
    fault = _fault(Target(command=("/bin/sh", "-c", "yes loud | head -c 5000000 >&2; kill -9 $$")), message)
    assert "/bin/sh was killed by signal 9: loud" == str(fault)
    assert not isinstance(fault, Permanent)


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path, message):
    hanging = Target(command=("/bin/sh", "-c", f"sleep 61 & echo $! > {tmp_path}/child; echo sorry >&2; wait"), timeout="300ms")
    assert "/bin/sh did not end within 0.3s and was killed: sorry" == str(_fault(hanging, message))
    until = time.monotonic() + 5
    while _runs(int((tmp_path / "child").read_text())):
        assert time.monotonic() < until


def test_a_command_that_leaves_a_child_behind_or_reads_nothing_has_ended_when_it_ended(tmp_path, message):
    begun = time.monotonic()
    Target(command=("/bin/sh", "-c", f"sleep 30 & echo $! > {tmp_path}/child; exit 0")).send(message)
    assert time.monotonic() - begun < 15
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def _runs(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    return False
