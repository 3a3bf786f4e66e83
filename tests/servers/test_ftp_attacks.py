"""What no FTP client says: every way in that others' servers have left open, knocked at over raw sockets."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import threading
import time

import OpenSSL
import pytest

from tests.peers.certificates import certificates
from tests.servers.ftp_ground import FtpGround, Raw, free_range, trusting
from transload.servers import slow


@pytest.fixture(scope="module")
def ground():
    with FtpGround() as ground:
        yield ground


@pytest.fixture
def raw(ground):
    with ground.raw() as client:
        yield client


@pytest.fixture
def stranger(ground):
    with ground.raw(login=False) as client:
        yield client


# --- PORT and EPRT


@pytest.mark.parametrize(
    "line",
    [
        "PORT 192,0,2,1,200,1",
        "PORT 127,0,0,2,200,1",
        "PORT 127,0,0,1,0,25",
        "PORT 127,0,0,1,3,255",
        "PORT 127,0,0,1,0",
        "PORT 127,0,0,1,999,1",
        "PORT 127,0,0,1,-1,1",
        "PORT a,b,c,d,e,f",
        "EPRT |1|192.0.2.1|50000|",
        "EPRT |1|127.0.0.1|25|",
        "EPRT |1|127.0.0.1|99999|",
        "EPRT |1|127.0.0.1|",
        "EPRT |2|127.0.0.1|50000|",
        "EPRT |2|::ffff:127.0.0.1|50000|",
        "EPRT |1|::1|50000|",
        "EPRT |9|127.0.0.1|50000|",
        "EPRT",
    ],
)
def test_nobody_is_called_but_the_client_at_a_port_of_its_own(raw, line):
    raw.say(line)
    assert raw.answer()[:3] in {b"501", b"522"}
    raw.asks("LIST", 425)  # and there is no data connection


def test_active_mode_can_be_off():
    with FtpGround(settings={"active": False}) as ground, ground.raw() as raw:
        raw.asks("PORT 127,0,0,1,200,1", 502)
        raw.asks("EPRT |1|127.0.0.1|50000|", 502)
        assert b"EPRT" not in raw.asks("FEAT", 211)


# --- data connections that are not the client's


def test_a_data_connection_from_elsewhere_is_dropped_and_told_as_425(ground):
    with ground.raw() as raw:
        port = raw.port()
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as thief:
            thief.settimeout(5)
            assert b"" == thief.recv(1)
        raw.asks("STOR a", 150)
        assert b"another address" in raw.hears(425)
    assert {} == ground.files()


def test_a_thief_does_not_keep_the_client_itself_out(ground):
    with ground.raw() as raw:
        port = raw.port()
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as thief:
            assert b"" == thief.recv(1)
        with socket.create_connection(("127.0.0.1", port)) as line:
            raw.say("STOR not-stolen")
            assert raw.answer()[:3] in {b"125", b"150"}
            line.sendall(b"mine")
        raw.hears(226)
        raw.asks("DELE not-stolen", 250)


def test_a_second_connection_to_the_same_port_finds_nobody(raw):
    port = raw.port()
    with socket.create_connection(("127.0.0.1", port)):
        raw.asks("NOOP", 200)
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as second:
            second.recv(1)


def test_when_all_ports_are_taken_it_is_425_and_no_other_port():
    first, last = free_range(2)
    with FtpGround(settings={"passive_ports": f"{first}-{last}"}) as ground:
        holders = [ground.raw(), ground.raw()]
        assert {first, last} == {holder.port() for holder in holders}
        with ground.raw() as raw:
            raw.line.settimeout(20)
            raw.asks("PASV", 425)
            holders.pop().close()
            assert raw.port() in {first, last}
        for holder in holders:
            holder.close()


# --- TLS


def test_what_is_said_between_auth_and_tls_is_never_done(ground, stranger):
    stranger.line.sendall(b"AUTH TLS\r\nUSER ann\r\nPASS open sesame, please\r\nMKD injected\r\n")
    assert stranger.answer()[:3] == b"421"
    assert stranger.gone()
    assert not (ground.home / "injected").exists()


def test_where_tls_is_required_nothing_goes_in_clear():
    with FtpGround(settings={"tls": "required"}) as ground, ground.raw(login=False) as raw:
        raw.asks("USER ann", 530)
        raw.asks("PASS open sesame, please", 530)
        raw.asks("PWD", 530)
        raw.secure(data=False)
        raw.login()
        raw.asks("EPSV", 229)
        raw.asks("STOR a", 521)
        raw.asks("LIST", 521)
        raw.asks("PBSZ 0", 200)
        raw.asks("PROT C", 534)
        raw.asks("PROT P", 200)
        with raw.data("STOR a") as line:
            line.sendall(b"x")
            line.unwrap()
        raw.hears(226)


def test_tls_stays_once_it_is_there(stranger):
    stranger.asks("CCC", 533)
    stranger.secure()
    stranger.asks("CCC", 534)
    stranger.asks("AUTH TLS", 503)
    stranger.asks("PROT E", 536)
    stranger.asks("PROT X", 504)


def test_where_there_is_no_tls_it_is_not_offered():
    with FtpGround(settings={"tls": "off", "implicit_listen": None}) as ground, ground.raw() as raw:
        assert b"AUTH" not in raw.asks("FEAT", 211)
        raw.asks("AUTH TLS", 502)
        raw.asks("PBSZ 0", 503)
        raw.asks("PROT P", 503)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(ground, version):
    context = trusting()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with ground.raw(login=False, context=context) as raw:
        raw.asks("AUTH TLS", 234)
        with pytest.raises((ssl.SSLError, OSError)):
            raw.shake()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tls_client_that_means_another_protocol_is_refused(ground, version):
    context = trusting()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with ground.raw(login=False, context=context) as raw:
        raw.asks("AUTH TLS", 234)
        with pytest.raises((ssl.SSLError, OSError)):
            raw.shake()
    context.set_alpn_protocols(["http/1.1", "ftp"])
    with ground.raw(login=False, context=context) as raw:
        raw.asks("AUTH TLS", 234)
        raw.shake()
        assert "ftp" == raw.line.selected_alpn_protocol()
        raw.login()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tls_client_that_means_another_host_is_shown_our_name_and_finds_out(ground, version):
    context = trusting()
    context.minimum_version = context.maximum_version = version
    with ground.raw(login=False, context=context) as raw:
        raw.asks("AUTH TLS", 234)
        with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'elsewhere\.example'"):
            context.wrap_socket(raw.line, server_hostname="elsewhere.example")
    with ground.raw(login=False) as raw:
        raw.secure().login()


def test_tls_is_agreed_upon_once_and_not_again(ground):
    """Renegotiation lets a client make the server work for nothing, or be taken for another (RFC 5746)."""
    context = OpenSSL.SSL.Context(OpenSSL.SSL.TLSv1_2_METHOD)
    with socket.create_connection(("127.0.0.1", ground.implicit), timeout=10) as line:
        line.settimeout(None)
        client = OpenSSL.SSL.Connection(context, line)
        client.set_connect_state()
        client.do_handshake()
        assert client.recv(100).startswith(b"220")
        before = client.get_finished()
        client.renegotiate()
        with pytest.raises(OpenSSL.SSL.Error):
            for _ in range(20):
                client.do_handshake()
                client.sendall(b"NOOP\r\n")
                client.recv(100)
        assert before == client.get_finished()
    with ground.raw(login=False) as raw:
        raw.secure().login()


def test_first_words_of_tls_that_come_byte_by_byte_are_waited_for(ground):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    said = outgoing.read()
    with ground.raw(login=False) as raw:
        raw.asks("AUTH TLS", 234)
        for at in range(len(said)):
            raw.line.sendall(said[at : at + 1])
        raw.line.settimeout(10)
        assert b"\x16" == raw.line.recv(1)


@pytest.mark.parametrize("said", [b"USER ann\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 20000, b"\x16\x03\x01\0\x05\x02\0\0\1\0", b"\0"])
def test_what_is_no_tls_at_all_is_hung_up_on(ground, said):
    with ground.raw(login=False) as raw:
        raw.asks("AUTH TLS", 234)
        raw.line.sendall(said)
        assert raw.gone()


def test_a_data_connection_must_resume_the_tls_session_where_that_is_required():
    with FtpGround(settings={"require_tls_reuse": True}) as ground, ground.raw(login=False) as raw:
        raw.secure()
        raw.login()
        with raw.data("STOR resumed") as line:
            line.sendall(b"x")
            line.unwrap()
        raw.hears(226)
        with raw.passive() as bare:
            raw.say("STOR not-resumed")
            assert raw.answer()[:1] == b"1"
            line = raw.context.wrap_socket(bare, server_hostname="localhost")
            with contextlib.suppress(OSError):  # it is closed before it has got anything
                line.sendall(b"x")
                assert b"" == line.recv(1)
            line.close()
        raw.hears(522)
        assert ["resumed"] == list(ground.files())


def test_a_data_connection_cut_without_the_word_of_tls_is_426(ground):
    with ground.raw(login=False) as raw:
        raw.secure()
        raw.login()
        line = raw.data("STOR truncated")
        line.sendall(b"x" * 100_000)
        line.close()  # no close_notify
        raw.hears(426)
        assert "truncated" not in ground.files()
        assert b"truncated" not in ground.uploads()
        assert 99_999 == int(raw.asks("SIZE truncated", 213))
        raw.asks("DELE truncated", 250)


# --- other protocols, and nonsense


@pytest.mark.parametrize("verb", ["GET / HTTP/1.1", "POST /x HTTP/1.0", "PUT a", "OPTIONS *", "CONNECT a:1 HTTP/1.1", "HEAD /"])
def test_a_browser_is_hung_up_on_at_its_first_word(ground, stranger, verb):
    stranger.line.sendall(verb.encode() + b"\r\nUSER ann\r\nPASS open sesame, please\r\nMKD browsed\r\n\r\n")
    stranger.hears(500)
    assert stranger.gone()
    assert not (ground.home / "browsed").exists()


def test_ten_commands_that_make_no_sense_before_the_login_are_enough(stranger):
    for _ in range(9):
        stranger.asks("EHLO me", 500)
    stranger.asks("MAIL FROM", 421)
    assert stranger.gone()


def test_after_three_wrong_logins_the_line_is_cut(stranger):
    for _ in range(2):
        stranger.asks("USER nobody", 331)
        stranger.asks("PASS wrong", 530)
    stranger.asks("USER nobody", 331)
    stranger.asks("PASS wrong", 530)
    assert stranger.gone()


@pytest.mark.parametrize(
    "said",
    [
        b"NOOP " + b"x" * 2044 + b"\r\n",
        b"x" * 2049,
        b"MKD bare\nMKD tail\r\n",
        b"\n",
        b"MKD one\rMKD two\r\n",
        b"x" * 5_000_000,
    ],
    ids=["2049 bytes", "no end", "bare LF", "LF", "bare CR", "5 MB"],
)
def test_a_line_that_is_none_ends_the_session_and_nothing_behind_it_is_done(ground, said):
    with ground.raw() as raw:
        with contextlib.suppress(OSError):
            raw.line.sendall(said + b"MKD tail\r\n")
        assert raw.answer()[:3] in {b"500", b""}
        assert raw.gone()
    assert [] == [path.name for path in ground.home.iterdir() if path.is_dir()]


def test_a_nul_is_501_and_the_session_goes_on(raw):
    raw.asks(b"MKD a\0b", 501)
    raw.asks("NOOP", 200)


def test_the_words_of_telnet_before_a_command_are_not_heard(ground, raw):
    raw.asks(b"\xff\xf4\xff\xf2ABOR", 225)
    raw.asks(b"\xff\xfd\x06NOOP", 200)
    raw.asks(b"MKD a\xff\xffb", 257)
    assert (ground.home / "a\udcffb").is_dir()
    assert b"/a\xff\xffb" in raw.asks(b"MLST a\xff\xffb", 250)
    assert b"a\xffb\r\n" in raw.get("NLST")
    raw.asks(b"RMD a\xff\xffb", 250)


# --- ABOR and its likes


def test_abor_has_one_answer_at_any_moment(ground, raw):
    raw.asks("ABOR", 225)
    raw.port()
    raw.asks("ABOR", 225)

    line = raw.passive()
    raw.say("STOR aborted")
    assert raw.answer()[:1] == b"1"
    line.sendall(b"x" * 1000)
    raw.say("ABOR")
    raw.hears(426)
    raw.hears(226)
    line.close()

    raw.port()
    raw.asks("STOR aborted", 150)  # nobody comes
    raw.asks("ABOR", 426)
    raw.hears(226)

    raw.put("whole")
    raw.asks("ABOR", 225)
    raw.asks("NOOP", 200)
    assert ["whole"] == list(ground.files())
    raw.asks("DELE whole", 250)


def test_abor_by_urgent_data_is_heard(raw):
    line = raw.passive()
    raw.say("STOR aborted")
    assert raw.answer()[:1] == b"1"
    line.sendall(b"x")
    raw.line.sendall(b"\xff\xf4\xff")
    raw.line.send(b"\xf2", socket.MSG_OOB)
    raw.say("ABOR")
    raw.hears(426)
    raw.hears(226)
    line.close()


def test_a_command_that_ends_like_abor_breaks_nothing_off(ground, raw):
    line = raw.passive()
    raw.say("STOR whole")
    assert raw.answer()[:1] == b"1"
    line.sendall(b"x" * 1000)
    raw.say("CWD labor")
    time.sleep(0.05)
    line.sendall(b"x" * 1000)
    line.close()
    raw.hears(226)
    raw.hears(550)
    assert 2000 == len(ground.files()["whole"])
    raw.asks("DELE whole", 250)


def test_a_thousand_abors_have_a_thousand_answers(raw):
    raw.line.sendall(b"ABOR\r\n" * 1000)
    for _ in range(1000):
        raw.hears(225)


def test_a_thousand_ports_at_once_have_a_thousand_answers(raw):
    raw.line.sendall(b"EPSV\r\n" * 1000)
    for _ in range(1000):
        raw.hears(229)


def test_what_is_said_during_a_transfer_waits_for_its_end(ground, raw):
    line = raw.passive()
    raw.say("STOR slow")
    assert raw.answer()[:1] == b"1"
    raw.line.sendall(b"STAT\r\nPWD\r\nDELE slow\r\nREIN\r\nPWD\r\nUSER ann\r\nQUIT\r\n")
    raw.hears(211)
    line.sendall(b"x" * 1000)
    line.close()
    assert [226, 257, 250, 220, 530, 331, 221] == [int(raw.answer()[:3]) for _ in range(7)]
    assert raw.gone()
    assert {} == ground.files()


def test_quit_during_a_transfer_lets_it_end(ground):
    with ground.raw() as raw:
        line = raw.passive()
        raw.say("STOR last")
        assert raw.answer()[:1] == b"1"
        raw.say("QUIT")
        line.sendall(b"x" * 1000)
        line.close()
        raw.hears(226)
        raw.hears(221)
    assert 1000 == ground.uploads()[b"last"]


# --- arguments that lie


def test_lies_about_offsets_and_sizes_are_told_as_such(ground, raw):
    raw.put("size", b"x" * 100)
    for wrong in ("-1", "x", "1 2", "9" * 30):
        raw.asks(f"REST {wrong}", 501)
    raw.asks("REST 101", 350)
    assert b"554" == raw.put("size", b"y")[:3]
    raw.asks("REST 101", 350)
    line = raw.passive()
    raw.asks("RETR size", 554)
    line.close()
    raw.asks("REST 5", 350)
    raw.asks("STOU", 501)
    raw.asks("REST 5", 350)
    assert b"501" == raw.put("size", b"y", "APPE")[:3]
    raw.asks("ALLO -5", 501)
    raw.asks("ALLO 5", 200)
    assert raw.put("lie", b"four")[:1] in {b"4", b"5"}
    assert "lie" not in ground.files()
    raw.asks("DELE lie", 250)
    raw.asks("ALLO 4", 200)
    assert b"226" == raw.put("truth", b"four")[:3]
    assert b"x" * 100 == ground.files()["size"]
    for name in ("size", "truth"):
        raw.asks(f"DELE {name}", 250)


def test_no_file_gets_bits_or_times_that_nobody_should_have(ground, raw):
    raw.put("a")
    for mode in ("6777", "4755", "1777"):
        raw.asks(f"SITE CHMOD {mode} a", 550)
    for mode in ("8", "77777", "rwx", ""):
        raw.asks(f"SITE CHMOD {mode} a", 501)
    raw.asks("SITE EXEC ls", 504)
    raw.asks("SITE CHMOD 640 a", 200)
    assert 0o640 == (ground.home / "a").stat().st_mode & 0o7777
    for wrong in ("20211301000000 a", "x a", "20210101000000", "2021 a", "99999999999999 a"):
        raw.asks(f"MFMT {wrong}", 501)
    for when in ("16010101000000", "99991231235959"):
        raw.say(f"MFMT {when} a")
        assert raw.answer()[:3] in {b"213", b"550"}
    raw.asks("MFMT 20200102030405 a", 213)
    assert b"20200102030405" == raw.asks("MDTM a", 213)
    raw.asks("DELE a", 250)


def test_patterns_cost_one_folder_at_most(ground, raw):
    raw.asks("MKD patterns", 257)
    raw.asks("CWD patterns", 250)
    raw.asks("STAT */*/*", 550)
    for name in ("one.csv", "two.csv", "three.txt"):
        raw.put(name)
    assert b"one.csv\r\ntwo.csv\r\n" == raw.get("NLST *.csv")
    line = raw.passive()
    raw.asks("LIST */*/*", 550)
    line.close()
    assert 3 == raw.get("LIST -laR").count(b"\r\n")
    for name in ("one.csv", "two.csv", "three.txt"):
        raw.asks(f"DELE {name}", 250)


@pytest.mark.slow
def test_a_hundred_thousand_names_are_listed_while_others_work(ground):
    folder = ground.home / "many"
    folder.mkdir()
    for number in range(100_000):
        os.close(os.open(folder / f"name-{number}", os.O_CREAT | os.O_WRONLY))
    listed = []
    try:
        with ground.raw() as lister, ground.raw() as other:
            listing = threading.Thread(target=lambda: listed.append(lister.get("MLSD many")))
            listing.start()
            worst = 0.0
            while listing.is_alive():
                begun = time.monotonic()
                other.asks("PWD", 257)
                worst = max(worst, time.monotonic() - begun)
        assert 100_000 == listed[0].count(b"type=file;")
        assert worst < 5
    finally:
        shutil.rmtree(folder)


# --- those who wait for us to get tired


def test_sessions_that_say_nothing_are_ended():
    with FtpGround(settings={"idle": 0.3, "login_time": 0.3, "stalled": 0.3}) as ground:
        with ground.raw(login=False) as stranger, ground.raw() as silent, ground.raw() as stalled, ground.raw() as absent:
            line = stalled.passive()
            stalled.say("STOR stalled")
            stalled.answer()
            line.sendall(b"x")
            absent.port()
            absent.asks("STOR absent", 150)
            assert b"421" == stranger.answer()[:3]
            assert b"421" == silent.answer()[:3]
            assert b"426" == stalled.answer()[:3]
            assert b"425" == absent.answer()[:3]
            line.close()
        with socket.create_connection(("127.0.0.1", ground.implicit), timeout=5) as half:
            half.sendall(b"\x16")
            with contextlib.suppress(ConnectionResetError):
                assert b"" == half.recv(1)
        assert {"stalled": 1} == ground.kept()
        assert {} == ground.files()


def test_whoever_logs_in_once_more_has_the_time_of_a_login_again():
    with FtpGround(settings={"login_time": 1.0}) as ground, ground.raw() as raw:
        for session in ground.door._hall.sessions:
            session.since -= 10  # it came long ago
            session.asked -= 10
        raw.asks("REIN", 220)
        time.sleep(0.4)
        raw.login()
        raw.asks("REIN", 220)
        assert b"421" == raw.answer()[:3]


def test_a_transfer_has_a_deadline():
    with FtpGround(settings={"deadline": 0.4}) as ground, ground.raw() as raw:
        line = raw.passive()
        raw.say("STOR long")
        raw.answer()
        until = time.monotonic() + 10
        try:
            while time.monotonic() < until:
                line.sendall(b"x")
        except OSError:
            pass
        line.close()
        assert b"longer than" in raw.hears(426)


def test_a_transfer_that_crawls_is_cut_and_one_that_does_not_is_not(monkeypatch):
    monkeypatch.setattr(slow, "_MINUTE", 0.3)
    with FtpGround(settings={"least_rate": 1000}) as ground, ground.raw() as raw, ground.raw() as good:
        crawling, walking = raw.passive(), good.passive()
        for client, command in ((raw, "STOR crawls"), (good, "STOR walks")):
            client.say(command)
            assert b"1" == client.answer()[:1]
        until = time.monotonic() + 20
        raw.line.settimeout(0)
        while time.monotonic() < until:
            walking.sendall(b"x" * 1000)
            with contextlib.suppress(OSError):
                crawling.sendall(b"x")
            time.sleep(0.02)
            with contextlib.suppress(BlockingIOError):
                if raw.line.recv(1, socket.MSG_PEEK):
                    break
        raw.line.settimeout(20)
        assert b"slower than 1000 bytes a second" in raw.hears(426)
        crawling.close()
        walking.close()
        good.hears(226)
        assert ["walks"] == list(ground.files())


def test_crawling_strangers_do_not_keep_an_honest_client_waiting(ground):
    crawlers = [socket.create_connection(("127.0.0.1", ground.port)) for _ in range(200)]
    for crawler in crawlers:
        crawler.sendall(b"U")
    with ground.raw() as raw:
        assert b"226" == raw.put("honest")[:3]
        raw.asks("DELE honest", 250)
    for crawler in crawlers:
        crawler.close()


def test_too_many_connections_are_told_so():
    with FtpGround(settings={"sessions": 2}) as ground, ground.raw(), ground.raw(), Raw(ground.port) as third:
        third.hears(421)
        assert third.gone()


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path):
    from transload.errors import ConfigError

    pair = certificates().good
    with pytest.raises(ConfigError, match="cannot be used"):
        FtpGround(tmp_path, settings={"key": str(certificates().foreign.key), "certificate": str(pair.cert)})
