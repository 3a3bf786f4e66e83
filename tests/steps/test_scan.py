from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import socket
import socketserver
import subprocess
import tarfile
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from tests.peers.base import HOST, free_port, program
from tests.peers.certificates import certificates
from tests.peers.clamd import EICAR, SIGNATURE, Clamd
from tests.peers.fixtures import running
from transload.errors import Busy, Changed, Rejected, Transient, Unreachable
from transload.steps import Verdict
from transload.steps.clamd import BLOCK
from transload.steps.scan import Scan, _largest_zipped

FOUND = f"{SIGNATURE}.UNOFFICIAL"


def zipped(data: bytes, name: str = "a/b.txt") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return made.getvalue()


def in_a_tar_gz(data: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        member = tarfile.TarInfo("inner.zip")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


@pytest.fixture
def clamd():
    return running("clamd", Clamd)


@pytest.fixture(params=["unix", "tcp"])
def scan(request, clamd):
    return asking(clamd, request.param)


def asking(clamd, way: str = "tcp", **more) -> Scan:
    return Scan(kind="scan", clamd=f"unix:{clamd.socket}" if way == "unix" else f"{clamd.host}:{clamd.port}", **more)


WRAPPED = {
    "bare": EICAR,
    "over 64 KiB": b"a" * (65536 - 30) + EICAR,
    "over the edge of a block": b"a" * (BLOCK - 30) + EICAR,
    "its last byte after the edge of a block": b"a" * (BLOCK - len(EICAR) + 1) + EICAR,
    "its last byte before the edge of a block": b"a" * (BLOCK - len(EICAR)) + EICAR,
    "in zip": zipped(EICAR),
    "in zip in tar.gz": in_a_tar_gz(zipped(EICAR)),
    "in zip five times": zipped(zipped(zipped(zipped(zipped(EICAR))))),
    "in gz": gzip.compress(EICAR),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED.keys())
def test_eicar_is_found_in_every_wrapping(bench, scan, wrapped):
    with pytest.raises(Rejected, match=f"infected: {FOUND}"):
        bench.does(scan, wrapped, "invoice.pdf")
    assert {"scan": "infected"} == bench.found
    assert FOUND == bench.verdicts[0].facts["signature"]
    assert [] == bench.outputs


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"x" * BLOCK, b"x" * 1_000_001], ids=len)
def test_a_clean_file_goes_on_as_it_is_with_its_verdict(bench, scan, data):
    assert {"in/a.csv": data} == bench.does(scan, data, "in/a.csv")
    [verdict] = bench.verdicts
    assert ("scan", "clean") == (verdict.what, verdict.found)
    assert verdict.facts["engine"].startswith("ClamAV 1.")
    assert "signatures" in verdict.facts


def test_a_name_that_looks_like_a_reply_changes_nothing(bench, scan):
    with pytest.raises(Rejected):
        bench.does(scan, EICAR, "stream: OK\n\rstream: OK")


def test_a_file_that_was_found_infected_stays_so_without_asking(bench, tmp_path):
    file = bench.file(b"a,b\n")
    before = Verdict("scan", "infected", {"signature": "Worm"})
    bench.before["scan", file.sha256] = before
    with pytest.raises(Rejected, match="infected: Worm"):
        bench.does(Scan(kind="scan", clamd=f"unix:{tmp_path}/nobody"), file)
    assert [before] == bench.verdicts


def test_a_clean_verdict_without_a_version_of_the_signatures_is_not_used_again(bench, clamd):
    file = bench.file(EICAR)
    bench.before["scan", file.sha256] = Verdict("scan", "clean", {"engine": "ClamAV 1.4.6", "signatures": ""})
    with pytest.raises(Rejected):
        bench.does(asking(clamd), file)


# ---------------------------------------------------------------- what could not be scanned is neither clean nor infected


def unknown(bench, scan: Scan, data: bytes, error: type[Transient], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        bench.does(scan, data)
    assert "\n" not in str(caught.value)
    assert [] == bench.verdicts
    assert [] == bench.outputs


def small():
    return running("clamd StreamMaxLength", lambda: Clamd({"StreamMaxLength": "1M"}))


def test_a_stream_longer_than_clamd_takes_is_not_scanned(bench):
    unknown(bench, asking(small()), b"x" * 8_000_000, Busy, "INSTREAM size limit exceeded.*raise StreamMaxLength")


@pytest.mark.parametrize("over", [1, 50])
def test_a_stream_that_is_a_little_longer_than_clamd_takes_is_not_scanned(bench, over):
    assert {"a.csv": b"x" * 2**20} == bench.does(asking(small()), b"x" * 2**20)
    bench.verdicts.clear()
    bench.outputs.clear()
    unknown(bench, asking(small()), b"x" * (2**20 + over), Busy, "INSTREAM size limit exceeded")


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_a_file_larger_than_clamd_looks_into_is_not_scanned(bench, way):
    clamd = running("clamd MaxFileSize", lambda: Clamd({"MaxFileSize": "1M"}))
    unknown(bench, asking(clamd, way), b"x" * 1_500_000, Busy, "not scanned to its end: Heuristics.Limits.Exceeded.MaxFileSize")


def test_an_archive_whose_members_are_larger_than_clamd_looks_into_is_not_scanned(bench):
    clamd = running("clamd MaxFileSize", lambda: Clamd({"MaxFileSize": "1M"}))
    unknown(bench, asking(clamd), gzip.compress(bytes(1_500_000) + EICAR), Busy, "Heuristics.Limits.Exceeded.MaxFileSize")


@pytest.mark.parametrize(
    "wrap", [lambda data: data, lambda data: b"#!/bin/sh\n" * 100 + data, lambda data: gzip.decompress(in_a_tar_gz(data))]
)
def test_a_zip_with_a_member_that_clamd_silently_cuts_is_not_scanned(bench, wrap):
    clamd = running("clamd MaxFileSize", lambda: Clamd({"MaxFileSize": "1M"}))
    data = wrap(zipped(bytes(1_500_000) + EICAR))
    unknown(bench, asking(clamd, max_size="1MiB"), data, Busy, r"member of 1\.5 MB, of which the scanner .* alone; unpack")


@pytest.mark.parametrize("before", [*range(0, 60, 3), 10, 500])
def test_a_zips_member_is_seen_wherever_its_entry_lies(bench, before):
    data = zipped(bytes(1_500_000))
    assert 1_500_000 == _largest_zipped(bench.file(bytes(2**20 - len(data) + before) + data))


def test_what_holds_no_zip_has_no_member(bench):
    for data in (b"", b"PK\1\2", b"PK\1\2" * 100, b"x" * 2_000_000):
        assert 0 == _largest_zipped(bench.file(data))


def test_an_encrypted_archive_is_not_scanned(bench, scan, tmp_path):
    (tmp_path / "a.txt").write_bytes(EICAR)
    subprocess.run([program("zip"), "-q", "-P", "secret", "a.zip", "a.txt"], cwd=tmp_path, check=True)
    unknown(bench, scan, (tmp_path / "a.zip").read_bytes(), Busy, r"it is encrypted \(Heuristics.Encrypted.Zip.*unpack it")


def test_a_file_over_our_own_limit_is_not_even_sent(bench):
    scan = Scan(kind="scan", clamd=f"{HOST}:{free_port()}", max_size="1kB")
    unknown(bench, scan, b"x" * 1050, Busy, r"1.1 kB is more than max_size, 1.0 kB; raise max_size")


def test_nobody_at_clamds_place_is_no_answer(bench, tmp_path):
    unknown(
        bench, Scan(kind="scan", clamd=f"unix:{tmp_path}/no.ctl"), b"x", Unreachable, "clamd at unix:.*no.ctl does not answer: No such file"
    )
    unknown(bench, Scan(kind="scan", clamd=f"tcp://{HOST}:{free_port()}"), b"x", Unreachable, "Connection refused")


@pytest.fixture
def own():
    """A clamd that may be stopped."""
    program("clamd")
    with Clamd() as peer:
        yield peer


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_clamd_that_hangs_is_no_answer_and_the_same_file_is_scanned_when_it_goes_on(bench, own, way):
    scan = asking(own, way, timeout="200ms")
    os.kill(own.process.pid, signal.SIGSTOP)
    unknown(bench, scan, b"x" * 3_000_000, Unreachable, "no answer within 0.2s")
    os.kill(own.process.pid, signal.SIGCONT)
    assert {"a.csv": b"x" * 3_000_000} == bench.does(asking(own, way), b"x" * 3_000_000)


class Killing(io.BufferedReader):
    """A file that kills a process once it is read."""

    def __init__(self, path, pid):
        super().__init__(io.FileIO(path))
        self.pid = pid

    def read(self, *count):
        os.kill(self.pid, signal.SIGKILL)
        return super().read(*count)

    def fileno(self):
        os.kill(self.pid, signal.SIGKILL)
        return super().fileno()


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_clamd_that_is_killed_while_it_scans_gives_no_answer(bench, own, way, monkeypatch):
    pid = own.process.pid
    file = bench.file(b"x" * 5_000_000)
    monkeypatch.setattr(type(file), "open", lambda self: Killing(self.path, pid))
    with pytest.raises(Unreachable, match=r"hung up before its reply was whole|does not answer"):
        bench.does(asking(own, way), file)
    assert [] == bench.verdicts
    monkeypatch.undo()
    own.stop()
    own.socket.unlink(missing_ok=True)
    own.start()
    assert {"a.csv"} == bench.does(asking(own, way), file).keys()


def test_bytes_that_are_not_those_that_were_received_are_not_scanned(bench, clamd):
    file = bench.file(b"a,b\n1,2\n")
    other = replace(file, sha256=hashlib.sha256(b"other").hexdigest())
    with pytest.raises(Changed, match="not those that were received"):
        bench.does(asking(clamd), other)
    with pytest.raises(Changed, match="has 8 bytes, and was received with 9"):
        bench.does(asking(clamd, "unix"), replace(file, size=9))
    assert [] == bench.verdicts


# ---------------------------------------------------------------- servers that are no clamd


class Scripted(socketserver.ThreadingUnixStreamServer):
    """Answers VERSION, and everything else with what it is told; None is silence until the end."""

    daemon_threads = True
    block_on_close = False
    version = b"ClamAV 1.4.6/27483/Sat Nov 21 09:00:00 2026\0"

    def __init__(self, path, *replies):
        self.replies, self.asked, self.over = list(replies), [], threading.Event()
        self.sessions, self.numbers = 0, True
        super().__init__(str(path), Conversation)


class Conversation(socketserver.BaseRequestHandler):
    """One question and its answer; in a session each answer has its number."""

    def handle(self):
        number = 0
        while command := self._command():
            if command == b"zIDSESSION\0":
                number = 1
                self.server.sessions += 1
                continue
            whole = self._answer(command, b"%d: " % number if number else b"")
            if not (number and whole):
                return
            number += 1

    def _command(self):
        command, descriptors = b"", []
        while not command.endswith(b"\0"):
            byte, came, *_ = socket.recv_fds(self.request, 1, 1)
            if not byte:
                return b""
            command += byte
            descriptors += came
        for one in descriptors:
            os.close(one)
        return command

    def _answer(self, command, number):
        if command == b"zFILDES\0":
            self.request.recv(1)
        if command == b"zVERSION\0":
            self.request.sendall(number + self.server.version)
            return True
        self.server.asked.append(command)
        reply = self.server.replies.pop(0)
        if command == b"zINSTREAM\0":
            while count := int.from_bytes(self.request.recv(4, socket.MSG_WAITALL), "big"):
                self.request.recv(count, socket.MSG_WAITALL)
        if reply is None:
            self.server.over.wait()
        for byte in (number if self.server.numbers else b"") + reply if reply else b"":
            self.request.sendall(bytes([byte]))
        return bool(reply) and reply.endswith(b"\0")


@contextmanager
def answering(folder, *replies):
    with Scripted(folder / "s", *replies) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()


NO_ANSWERS = {
    "cut at once": (b"", Unreachable, "hung up before its reply was whole"),
    "cut before the NUL": (b"stream: OK", Unreachable, "hung up before its reply was whole after '2: stream: OK'"),
    "a line instead": (b"stream: OK\n", Unreachable, "hung up"),
    "an error": (b"stream: Can't allocate memory ERROR\0", Busy, 'could not scan it: "stream: Can\'t allocate memory ERROR"'),
    "no words": (b"\0", Busy, "could not scan it: ''"),
    "an OK for a name": (b"/tmp/a: OK\0", Busy, "could not scan it: '/tmp/a: OK'"),
    "two answers": (b"stream: OK\nstream: X FOUND\0", Busy, "could not scan it"),
    "control characters": (b"\x1b[2J\r\n\0", Busy, r"'\\x1b\[2J\\r\\n'"),
    "without end": (b"x" * 70_000, Busy, "answers without end"),
    "silence": (None, Unreachable, "no answer within 0.2s"),
}


@pytest.mark.parametrize(("reply", "error", "match"), NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_whole_and_plain_answer_is_no_answer(bench, tmp_path, reply, error, match):
    with answering(tmp_path, reply, reply):
        unknown(bench, Scan(kind="scan", clamd=f"unix:{tmp_path}/s", timeout="200ms" if reply is None else "5s"), b"x", error, match)


@pytest.mark.parametrize("refusal", [b"No file descriptor received. ERROR\0", b"UNKNOWN COMMAND\0", b"fd[-1]: Bad file descriptor ERROR\0"])
def test_where_a_descriptor_is_refused_the_bytes_are_sent(bench, tmp_path, refusal):
    with answering(tmp_path, refusal, b"stream: OK\0") as server:
        bench.does(Scan(kind="scan", clamd=f"unix:{tmp_path}/s"), b"x")
    assert [b"zFILDES\0", b"zINSTREAM\0"] == server.asked
    assert {"scan": "clean"} == bench.found


def test_the_details_that_clamd_may_add_are_no_part_of_the_name(bench, tmp_path):
    with (
        answering(tmp_path, b"fd[9]: Win.Test.EICAR_HDB-1(44d88612fea8a8f36de82e1278abb02f:68) FOUND\0"),
        pytest.raises(Rejected, match=r"_HDB-1$"),
    ):
        bench.does(Scan(kind="scan", clamd=f"unix:{tmp_path}/s"), b"x")


def test_a_clean_verdict_is_used_again_until_the_signatures_change(bench, tmp_path):
    scan = Scan(kind="scan", clamd=f"unix:{tmp_path}/s")
    with answering(tmp_path, b"fd[9]: OK\0", b"fd[9]: Worm FOUND\0") as server:
        file = bench.file(b"x")
        bench.does(scan, file)
        [clean] = bench.verdicts
        assert {"engine": "ClamAV 1.4.6", "signatures": "27483/Sat Nov 21 09:00:00 2026"} == clean.facts
        bench.before["scan", file.sha256] = clean
        bench.does(scan, file)
        assert [clean, clean] == bench.verdicts
        assert [b"zFILDES\0"] == server.asked
        server.version = server.version.replace(b"27483", b"27484")
        with pytest.raises(Rejected, match="Worm"):
            bench.does(scan, file)


def test_a_server_that_is_no_clamd_is_told_apart(bench, tmp_path):
    with answering(tmp_path) as server:
        server.version = b"SSH-2.0-OpenSSH_9.2\r\n\0"
        unknown(bench, Scan(kind="scan", clamd=f"unix:{tmp_path}/s"), b"x", Busy, "answers like no clamd: 'SSH-2.0")


def test_while_it_waits_it_shows_that_it_goes_on(bench, tmp_path):
    with answering(tmp_path, None):
        unknown(bench, Scan(kind="scan", clamd=f"unix:{tmp_path}/s", timeout="1200ms"), b"x", Unreachable, "within 1.2s")
    assert bench.went_on


def test_all_files_of_a_batch_are_scanned_in_one_session_and_each_has_its_own_answer(bench, tmp_path):
    scan = Scan(kind="scan", clamd=f"unix:{tmp_path}/s")
    with answering(tmp_path, b"fd[9]: OK\0", b"fd[9]: Worm FOUND\0", b"fd[9]: OK\0") as server:
        bench.does(scan, b"1")
        with pytest.raises(Rejected, match="Worm"):
            bench.does(scan, b"2")
        bench.does(scan, b"3")
    assert ["clean", "infected", "clean"] == [one.found for one in bench.verdicts]
    assert 1 == server.sessions


def test_a_session_that_clamd_has_ended_meanwhile_is_opened_anew(bench, tmp_path):
    scan = Scan(kind="scan", clamd=f"unix:{tmp_path}/s")
    with answering(tmp_path, b"fd[9]: OK\0", b"", b"fd[9]: OK\0") as server:
        bench.does(scan, b"1")
        bench.does(scan, b"2")
    assert ["clean", "clean"] == [one.found for one in bench.verdicts]
    assert 2 == server.sessions


NOT_IN_TURN = {
    "another's": b"1: fd[9]: OK\0",
    "a later one's": b"3: fd[9]: OK\0",
    "none's": b"fd[9]: OK\0",
}


@pytest.mark.parametrize("reply", NOT_IN_TURN.values(), ids=NOT_IN_TURN.keys())
def test_an_answer_to_another_question_is_no_answer(bench, tmp_path, reply):
    with answering(tmp_path, reply) as server:
        server.numbers = False
        unknown(bench, Scan(kind="scan", clamd=f"unix:{tmp_path}/s"), b"x", Busy, "answers like no clamd")


def test_after_an_answer_that_was_none_the_next_file_is_asked_about_in_another_session(bench, tmp_path):
    scan = Scan(kind="scan", clamd=f"unix:{tmp_path}/s")
    with answering(tmp_path, b"9: fd[9]: OK\0", b"2: fd[9]: OK\0") as server:
        server.numbers = False
        unknown(bench, scan, b"x", Busy, "answers like no clamd")
        bench.does(scan, b"x")
    assert ["clean"] == [one.found for one in bench.verdicts]
    assert 2 == server.sessions


# ---------------------------------------------------------------- scanners that are asked over HTTP


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    length: int | None = None
    hang: bool = False
    unread: bool = False
    headers: tuple[tuple[str, str], ...] = ()


class Service(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, reply, tls=None):
        self.reply, self.over, self.forms = reply, threading.Event(), []
        super().__init__((HOST, 0), Form)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://{HOST}:{self.server_port}/scan?a=1"

    def handle_error(self, *_):
        """A client that goes away is no news."""


class Form(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing."""

    def do_POST(self):
        reply = self.server.reply
        if not reply.unread:
            self.server.forms.append((self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
        if reply.hang:
            self.server.over.wait()
        self.close_connection = True
        if not reply.status:
            return
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
        for key, value in reply.headers:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(reply.body)


@contextmanager
def service(reply: Reply, tls=None):
    with Service(reply, tls) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()


CLEAN = {
    "sentence": ("body", Reply(200, b"Everything ok : true\n")),
    "sentence in more": ("body", Reply(201, b"<p>Everything ok : true</p>")),
    "v1alpha": ("v1alpha", Reply(200, b'{"Status":"OK","Description":""}')),
    "v2": ("v2", Reply(200, b'[{"Status":"OK","Description":"","FileName":"upload"}]')),
}
INFECTED = {
    "sentence": ("body", Reply(200, b"Everything ok : false\n"), "a virus that the scanner does not name"),
    "sentence refused": ("body", Reply(406, b"Everything ok : false\n"), "a virus"),
    "v1alpha": ("v1alpha", Reply(406, b'{"Status":"FOUND","Description":"Eicar-Test"}'), "Eicar-Test"),
    "v2": ("v2", Reply(406, b'[{"Status":"FOUND","Description":"Eicar-Test","FileName":"upload"}]'), "Eicar-Test"),
    "v2 with odd characters": ("v2", Reply(406, b'[{"Status":"FOUND","Description":"a\\n\\u001b[2Jb"}]'), r"a\?\?\[2Jb$"),
    "v2 with 200": ("v2", Reply(200, b'[{"Status":"FOUND","Description":""}]'), "a virus"),
}
UNKNOWN = {
    "500": ("body", Reply(500, b"Everything ok : true"), Busy, "answers 500"),
    "500 false": ("body", Reply(500, b"Everything ok : false"), Busy, "answers 500"),
    "413": ("body", Reply(413, b"too large"), Busy, "answers 413, 'too large'; raise its limit, or lower max_size"),
    "413 unread": ("body", Reply(413, b"too large", unread=True), Busy, "answers 413"),
    "true unread": ("body", Reply(200, b"Everything ok : true", unread=True), Transient, "answers 200|does not answer"),
    "302": ("body", Reply(302, b"Everything ok : true", headers=(("Location", "/clean"),)), Busy, "answers 302"),
    "empty file": ("body", Reply(200, b"empty file"), Busy, "answers 200, 'empty file'"),
    "nothing": ("body", Reply(200), Busy, "answers 200, ''"),
    "html": ("body", Reply(200, b"<html>\n<title>Login</title>"), Busy, "answers 200, '<html>.n"),
    "both": ("body", Reply(200, b"Everything ok : true Everything ok : false"), Busy, "answers 200"),
    "truely": ("body", Reply(200, b"Everything ok : trueish"), Busy, "answers 200"),
    "drops": ("body", Reply(0), Unreachable, "does not answer: Remote end closed"),
    "cut": ("body", Reply(200, b"Everything ok : true", length=100), Unreachable, "hung up before its answer was whole"),
    "hangs": ("body", Reply(hang=True), Unreachable, "no answer within 0.2s"),
    "endless": ("body", Reply(200, b"Everything ok : true" * 5000), Busy, "more than 65536 bytes"),
    "no json": ("v1alpha", Reply(200, b"Everything ok : true"), Busy, "answers 200"),
    "deep json": ("v2", Reply(200, b"[" * 60_000), Busy, "answers 200"),
    "other json": ("v1alpha", Reply(200, b'{"ok":true}'), Busy, "answers 200"),
    "error": ("v2", Reply(400, b'[{"Status":"ERROR","Description":"x"}]'), Busy, "answers 400"),
    "ok with 412": ("v2", Reply(412, b'{"Status":"OK"}'), Busy, "answers 412"),
    "ok, but": ("v2", Reply(200, b'{"Status":"OK","Description":"Eicar"}'), Busy, "answers 200"),
    "no file": ("v2", Reply(200, b"[]"), Busy, "answers 200"),
    "two files": ("v2", Reply(200, b'[{"Status":"OK"},{"Status":"OK"}]'), Busy, "answers 200"),
    "a limit": (
        "v2",
        Reply(406, b'[{"Status":"FOUND","Description":"Heuristics.Limits.Exceeded.MaxFileSize"}]'),
        Busy,
        "not scanned to its end",
    ),
}


def posting(server: Service, dialect: str, **more) -> Scan:
    return Scan(kind="scan", url=server.url, dialect=dialect, **more)


@pytest.mark.parametrize(("dialect", "reply"), CLEAN.values(), ids=CLEAN.keys())
def test_a_service_that_says_clean_in_its_dialect_lets_the_file_on(bench, dialect, reply):
    data = os.urandom(200_000)
    with service(reply) as server:
        assert {"secret name.csv": data} == bench.does(posting(server, dialect), data, "secret name.csv")
    assert {"scan": "clean"} == bench.found
    [(path, headers, form)] = server.forms
    assert "/scan?a=1" == path
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert data in form
    assert b'name="name"' in form
    assert b'name="file"' in form
    assert b"secret name" not in form


@pytest.mark.parametrize(("dialect", "reply", "name"), INFECTED.values(), ids=INFECTED.keys())
def test_a_service_that_says_infected_in_its_dialect_has_the_file_refused(bench, dialect, reply, name):
    with service(reply) as server, pytest.raises(Rejected, match=f"infected: {name}"):
        bench.does(posting(server, dialect), b"x")
    assert {"scan": "infected"} == bench.found


@pytest.mark.parametrize(("dialect", "reply", "error", "match"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_service_that_does_not_plainly_say_either_has_not_answered(bench, dialect, reply, error, match):
    data = b"x" * (20_000_000 if reply.unread else 10)
    with service(reply) as server:
        unknown(bench, posting(server, dialect, timeout="200ms" if reply.hang else "5s"), data, error, match)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 70}.example"])
def test_a_place_that_no_host_can_have_is_no_answer(bench, host):
    for scan in (Scan(clamd=f"{host}:3310"), Scan(url=f"http://{host}/scan")):
        unknown(bench, scan, b"x", Unreachable, "no host can have that name")
        assert "no host can have that name" in scan.faults()[0]


def test_https_is_verified(bench):
    with service(Reply(200, b"Everything ok : true"), certificates().good.server()) as server:
        unknown(bench, posting(server, "body"), b"x", Unreachable, "certificate verify failed")
        assert {"a.csv": b"x" * 300_000} == bench.does(posting(server, "body", ca=certificates().ca), b"x" * 300_000)
    bench.verdicts.clear()
    bench.outputs.clear()
    with service(Reply(200, b"Everything ok : true"), certificates().elsewhere.server()) as server:
        unknown(bench, posting(server, "body", ca=certificates().ca), b"x", Unreachable, "certificate verify failed")


def test_bytes_that_are_not_those_that_were_received_do_not_pass_over_http(bench):
    with service(Reply(200, b"Everything ok : true")) as server, pytest.raises(Changed):
        bench.does(posting(server, "body"), replace(bench.file(b"x"), sha256="0" * 64))
    assert [] == bench.verdicts


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({}, "exactly one of clamd and url"),
        ({"clamd": "a:1", "url": "http://a/"}, "exactly one of clamd and url"),
        ({"clamd": "unix:clamd.ctl"}, 'clamd is written as "unix:/path"'),
        ({"clamd": "localhost"}, "clamd is written as"),
        ({"clamd": "tcp://a:99999"}, "clamd"),
        ({"clamd": "http://a:1"}, "clamd is written as"),
        ({"clamd": "a:1", "dialect": "v2"}, "dialect and ca belong to url"),
        ({"url": "ftp://a/"}, "wants http://host/path"),
        ({"url": "https://joe:secret@a/"}, "wants http://host/path"),
        ({"url": "http://a/\r\nX: y"}, "wants http://host/path"),
        ({"url": "http://a:99999/"}, "url"),
        ({"clamd": "a:1", "max_size": "3GB"}, "max_size"),
        ({"clamd": "a:1", "timeout": "0s"}, "timeout"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, match):
    with pytest.raises(ValidationError, match=match):
        Scan.model_validate({"kind": "scan", **settings})


@pytest.mark.parametrize("address", ["unix:/run/clamav/clamd.ctl", "clamd:3310", "tcp://clamd:3310", "[::1]:3310"])
def test_the_ways_to_write_clamds_place(address):
    assert address == Scan(kind="scan", clamd=address).clamd


def test_the_timeout_is_for_the_answer_and_not_for_the_bytes(bench, clamd):
    data = b"x" * 30_000_000
    begun = time.monotonic()
    assert {"a.csv"} == bench.does(asking(clamd, timeout="10s"), data).keys()
    assert time.monotonic() - begun < 10
