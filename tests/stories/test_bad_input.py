"""Bad input in whole runs: servers that are not to be trusted or do not answer, names with every odd character, no bytes and very many."""

from __future__ import annotations

import os
import socket

import pytest

from tests.peers.base import PASSWORD, USER
from tests.peers.fake_ftp import FakeFtp
from tests.peers.sshd import make_key
from tests.peers.web import Page, Web
from tests.remotes.contract.asking import HOSTILE, LINE_ENDS
from tests.stories.outside import blobs, objects
from tests.stories.stage import s3
from tests.stories.test_web_to_ftps import memory_of_a_run
from transload.model import unspell

LONG_AGO = 1_700_000_000.0
LOGIN = f'user = "{USER}"\npassword = {{ env = "PASSWORD_OF_ALL" }}\ntimeout = "1s"\n'
GOOD = '[remotes.good]\nkind = "folder"\npath = "in"\n[remotes.archive]\nkind = "folder"\npath = "out"\n'
GIB = 1 << 30


def route(name: str, *, source: str = "", to: str = "archive") -> str:
    tries = 'attempts = 2\nbackoff = { first = "20ms", cap = "20ms" }\n'
    return f'[[routes]]\nname = "{name}"\nfrom = {{ remote = "{source or name}", settle = "0s" }}\nto = [{{ remote = "{to}" }}]\n{tries}'


def at(peer) -> str:
    return f'host = "{peer.host}"\nport = {peer.port}\n'


@pytest.fixture
def silent():
    """A port where somebody accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_servers_that_are_not_to_be_trusted_or_do_not_answer_get_a_line_each_and_the_other_routes_go_on(
    stage, certificates, asyncssh_server, silent, tmp_path
):
    stage.secrets["PASSWORD_OF_ALL"] = PASSWORD
    (stage.folder / "in").mkdir()
    (stage.folder / "in/a.csv").write_text("x\n")
    other_key = " ".join(make_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2])
    refused = closed_port()
    with (
        FakeFtp({"a": b"a"}, tls=certificates.expired.server()) as expired,
        FakeFtp({"a": b"a"}, tls=certificates.elsewhere.server()) as elsewhere,
        Web({"/a.csv": Page(b"a")}, tls=certificates.foreign.server()) as foreign,
        Web({"/a.csv": Page(hang="answer")}) as hanging,
    ):
        remotes = {
            "expired": f'kind = "ftp"\n{at(expired)}{LOGIN}ca = "{certificates.ca}"\n',
            "elsewhere": f'kind = "ftp"\n{at(elsewhere)}{LOGIN}ca = "{certificates.ca}"\n',
            "foreign": f'kind = "http"\nfiles = {{ a = "{foreign.url("/a.csv")}" }}\nca = "{certificates.ca}"\n',
            "hanging-http": f'kind = "http"\nfiles = {{ a = "{hanging.url("/a.csv")}" }}\ntimeout = "1s"\n',
            "changed-key": f'kind = "sftp"\n{at(asyncssh_server)}{LOGIN}host_key = "{other_key}"\n',
            "hanging-ftp": f'kind = "ftp"\nhost = "127.0.0.1"\nport = {silent}\ntls = "off"\n{LOGIN}',
            "hanging-sftp": f'kind = "sftp"\nhost = "127.0.0.1"\nport = {silent}\n{LOGIN}host_key = "{other_key}"\n',
            "hanging-s3": f'kind = "s3"\nbucket = "b"\nendpoint = "http://127.0.0.1:{silent}"\n{KEYS}timeout = "1s"\n',
            "refused-s3": f'kind = "s3"\nbucket = "b"\nendpoint = "http://127.0.0.1:{refused}"\n{KEYS}',
            "refused-azure": f'kind = "azure"\naccount = "a"\ncontainer = "c"\nendpoint = "http://127.0.0.1:{refused}/a"\n{AZURE}',
            "refused-http": f'kind = "http"\nfiles = {{ a = "http://127.0.0.1:{refused}/a.csv" }}\n',
            "unnamed-sftp": f'kind = "sftp"\nhost = "no-such-host.invalid"\n{LOGIN}host_key = "{other_key}"\n',
            "unnamed-http": 'kind = "http"\nfiles = { a = "http://no-such-host.invalid/a.csv" }\n',
        }
        stage.secrets |= {"KEY_OF_ALL": "a2V5LWNhbmFyeS0wMDA0"}
        tables = "".join(f"[remotes.{name}]\n{lines}" for name, lines in remotes.items())
        stage.config(
            GOOD
            + tables
            + "".join(map(route, remotes))
            + route("fine", source="good")
            + f'[remotes.nowhere]\nkind = "s3"\nbucket = "b"\nendpoint = "http://127.0.0.1:{refused}"\n{KEYS}'
            + route("to-nowhere", source="good", to="nowhere")
        )
        told = stage.give("run")
    assert 1 == told.code
    assert "x\n" == (stage.folder / "out/a.csv").read_text()
    lines = {name: line for name, _, line in (one.partition(": ") for one in told.err.splitlines())}
    assert {*remotes, "to-nowhere"} == set(lines)
    said = {
        "expired": "certificate",
        "elsewhere": "certificate",
        "foreign": "certificate",
        "changed-key": "host key",
        "unnamed-sftp": "does not resolve",
        "unnamed-http": "does not resolve",
        "to-nowhere": str(refused),
        **{name: str(silent) for name in ("hanging-ftp", "hanging-sftp", "hanging-s3")},
        "hanging-http": "127.0.0.1",
        **{name: str(refused) for name in remotes if name.startswith("refused")},
    }
    assert {} == {name: (word, lines[name]) for name, word in said.items() if word not in lines[name]}
    assert [] == [line for line in lines.values() if len(line) > 400 or "Traceback" in line or "Error(" in line]
    assert [] == [line for line in told.out.splitlines() if "Traceback" in line]
    status = stage.give("status", "--json").document
    assert {*remotes} == {one["route"] for one in status["routes"] if one["error"]}


KEYS = 'access_key = { env = "KEY_OF_ALL" }\nsecret_key = { env = "KEY_OF_ALL" }\n'
AZURE = 'account_key = { env = "KEY_OF_ALL" }\n'

ODD = sorted(
    {
        *HOSTILE,
        *(b"ascii-%c-" % code for code in range(1, 128) if code != ord("/")),
        *(b"byte-%c-" % code for code in range(128, 256)),
        "\U0001f600 emoji.csv".encode(),
        "مرحبا RTL.csv".encode(),
        "e\u0301 nfd.csv".encode(),
        b"x" * 255,
        b"zero.csv",
    }
)


@pytest.mark.parametrize("kind", ["ftp", "sftp"])
def test_names_with_every_odd_character_pass_from_ftp_and_sftp_to_folder_s3_and_azure(stage, request, disk, sshd, moto, azurite, kind):
    peer = request.getfixturevalue("proftpd") if kind == "ftp" else sshd
    there = disk(peer)
    # A name with a line end cannot be said in FTP.
    names = [name for name in ODD if kind == "sftp" or not any(end in name for end in LINE_ENDS)]
    data = {b"deep er/" + name: b"" if name == b"zero.csv" else b"%d" % number for number, name in enumerate(names)}
    for name, body in data.items():
        there.plant(name, body, LONG_AGO)
    bucket, container = moto.bucket(), azurite.container()
    stage.secrets |= {"PASSWORD_OF_ALL": PASSWORD, "KEY_OF_ALL": "a2V5LWNhbmFyeS0wMDA0", "SAS": azurite.sas(container)}
    user = f'user = "{getattr(peer, "user", USER)}"\npassword = {{ env = "PASSWORD_OF_ALL" }}\npath = "{there.name}"\n'
    extra = 'tls = "off"\n' if kind == "ftp" else f'host_key = "{sshd.host_key}"\n'
    stage.config(
        f'[remotes.source]\nkind = "{kind}"\n{at(peer)}{user}{extra}'
        '[remotes.archive]\nkind = "folder"\npath = "out"\n'
        f'[remotes.lake]\nkind = "s3"\nbucket = "{bucket}"\n{s3(moto)}\n{KEYS}'
        f'[remotes.blobs]\nkind = "azure"\naccount = "devstoreaccount1"\nendpoint = "{azurite.url}"\n'
        f'container = "{container}"\nsas = {{ env = "SAS" }}\n'
        '[[routes]]\nname = "all"\nfrom = { remote = "source", settle = "0s", temporary = [] }\n'
        'to = [{ remote = "archive" }, { remote = "lake" }, { remote = "blobs" }]\n'
    )
    done = stage.run()["all"]
    assert (len(names), 3 * len(names)) == (done["fetched"], done["delivered"])
    raw = os.fsencode(stage.folder / "out/deep er")
    delivered = {}
    for name in os.listdir(raw):
        with open(raw + b"/" + name, "rb") as file:
            delivered[b"deep er/" + name] = file.read()
    assert data == delivered
    assert data == {unspell(name): body for name, body in objects(moto, bucket).items()}
    assert data == {unspell(name): body for name, body in blobs(azurite, container).items()}
    assert 0 == stage.run()["all"]["fetched"]


def test_a_file_of_no_bytes_passes_every_kind_of_destination(stage, moto, azurite, vsftpd, sshd, disk):
    ftp, sftp, bucket, container = disk(vsftpd), disk(sshd), moto.bucket(), azurite.container()
    stage.secrets |= {"PASSWORD_OF_ALL": PASSWORD, "KEY_OF_ALL": "a2V5LWNhbmFyeS0wMDA0", "SAS": azurite.sas(container)}
    (stage.folder / "in").mkdir()
    (stage.folder / "in/zero.csv").touch()
    word = 'password = { env = "PASSWORD_OF_ALL" }\n'
    stage.config(
        GOOD + f'[remotes.ftp]\nkind = "ftp"\n{at(vsftpd)}user = "{USER}"\n{word}tls = "off"\npath = "{ftp.name}"\n'
        f'[remotes.sftp]\nkind = "sftp"\n{at(sshd)}user = "{sshd.user}"\n{word}host_key = "{sshd.host_key}"\npath = "{sftp.name}"\n'
        f'[remotes.lake]\nkind = "s3"\nbucket = "{bucket}"\n{s3(moto)}\n{KEYS}'
        f'[remotes.blobs]\nkind = "azure"\naccount = "devstoreaccount1"\nendpoint = "{azurite.url}"\n'
        f'container = "{container}"\nsas = {{ env = "SAS" }}\n'
        '[[routes]]\nname = "all"\nfrom = { remote = "good", settle = "0s" }\nto = ['
        + ", ".join(f'{{ remote = "{name}", verify = "hash" }}' for name in ("archive", "ftp", "sftp", "lake", "blobs"))
        + "]\n"
    )
    assert 5 == stage.run()["all"]["delivered"]
    assert {b"zero.csv": b""} == ftp.files() == sftp.files()
    assert {"zero.csv": b""} == objects(moto, bucket) == blobs(azurite, container)
    assert b"" == (stage.folder / "out/zero.csv").read_bytes()


@pytest.mark.timeout(300)
@pytest.mark.prove
@pytest.mark.parametrize("kind", ["folder", "sftp"])
def test_a_sparse_file_of_five_gib_passes_in_little_memory(tmp_path, stage, sshd, disk, kind):
    """On a disk, not in memory: its bytes are really copied."""
    there = disk(sshd)
    size = 5 * GIB
    source = (there.path if kind == "sftp" else tmp_path / "in") / "large.bin"
    source.parent.mkdir(exist_ok=True)
    with source.open("wb") as file:
        file.truncate(size)
        for at_byte in (0, size // 2, size - 9):
            file.seek(at_byte)
            file.write(b"not a hole"[: size - at_byte])
    os.utime(source, (LONG_AGO, LONG_AGO))
    stage.secrets["PASSWORD_OF_ALL"] = PASSWORD
    word = 'password = { env = "PASSWORD_OF_ALL" }\n'
    remote = (
        f'kind = "folder"\npath = "{tmp_path}/in"\n'
        if kind == "folder"
        else f'kind = "sftp"\n{at(sshd)}user = "{sshd.user}"\n{word}host_key = "{sshd.host_key}"\npath = "{there.name}"\n'
    )
    stage.config(
        f'[transload]\ndata = "{tmp_path}/data"\n[remotes.source]\n{remote}[remotes.archive]\nkind = "folder"\npath = "{tmp_path}/out"\n'
        + route("large", source="source")
    )
    try:
        used = memory_of_a_run(stage)
        out = tmp_path / "out/large.bin"
        assert size == out.stat().st_size
        with out.open("rb") as file:
            for at_byte in (0, size // 2, size - 9):
                file.seek(at_byte)
                assert b"not a hole"[: size - at_byte] == file.read(10)
        assert 150_000_000 > used
    finally:
        for path in (source, *tmp_path.rglob("*")):
            if path.is_file():
                path.unlink(missing_ok=True)
