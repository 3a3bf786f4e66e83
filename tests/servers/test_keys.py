from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from transload.errors import ConfigError
from transload.servers import keys


def test_a_host_key_is_made_once_for_its_owner_alone(tmp_path: Path):
    folder = tmp_path / "data" / "keys"
    path = keys.host_key(folder)
    made = path.read_bytes()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert path == keys.host_key(folder)
    assert made == path.read_bytes()
    assert [path.name] == [one.name for one in folder.iterdir()]


def test_openssh_reads_the_host_key_and_sees_the_fingerprint_that_we_tell(tmp_path: Path):
    path = keys.host_key(tmp_path)
    told = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True, timeout=10).stdout
    assert keys.fingerprint(keys.public_line(path)) == told.split()[1]


def test_a_certificate_is_made_for_this_host_and_a_client_that_trusts_it_gets_through(tmp_path: Path):
    pair = keys.certificate(tmp_path)
    assert 0o600 == stat.S_IMODE(pair.key.stat().st_mode)
    until = keys.valid_until(pair.certificate)
    assert timedelta(days=700) < until - datetime.now(UTC) < timedelta(days=731)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*pair)
    for name in ("localhost", "127.0.0.1", socket.gethostname()):
        one, other = socket.socketpair()
        one.settimeout(10)
        other.settimeout(10)
        client = ssl.create_default_context(cafile=str(pair.certificate))

        def greet(other: socket.socket = other) -> None:
            server.wrap_socket(other, server_side=True).close()

        thread = threading.Thread(target=greet)
        thread.start()
        with client.wrap_socket(one, server_hostname=name) as secured:
            assert secured.version() == "TLSv1.3"
        thread.join()


def test_many_at_once_make_one_pair(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        assert 1 == len({keys.certificate(tmp_path).key.read_bytes() for _ in [*pool.map(lambda _: keys.certificate(tmp_path), range(8))]})
        assert 1 == len({key.read_bytes() for key in pool.map(lambda _: keys.host_key(tmp_path), range(8))})


def test_a_private_key_that_everybody_can_read_is_refused_in_one_line(tmp_path: Path):
    path = keys.host_key(tmp_path)
    path.chmod(0o644)
    with pytest.raises(ConfigError) as told:
        keys.host_key(tmp_path)
    assert f"{path} is a private key that everybody on this machine can get at: chmod o-rwx {path}" == str(told.value)
    pair = keys.certificate(tmp_path)
    pair.key.chmod(0o604)
    with pytest.raises(ConfigError, match="everybody"):
        keys.certificate(tmp_path)


def test_a_certificate_without_its_key_or_with_another_is_told_and_nothing_is_overwritten(tmp_path: Path):
    pair = keys.certificate(tmp_path / "one")
    other = keys.certificate(tmp_path / "other")
    whole = pair.key.read_bytes()
    pair.key.unlink()
    with pytest.raises(ConfigError, match=r"server.crt is there, but .*server.key is not"):
        keys.certificate(tmp_path / "one")
    assert not pair.key.exists()
    pair.key.write_bytes(other.key.read_bytes())
    pair.key.chmod(0o600)
    with pytest.raises(ConfigError, match="the key is not the certificate's"):
        keys.check_pair(pair)
    pair.key.write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="a PEM key in clear"):
        keys.check_pair(pair)
    pair.key.write_bytes(whole)
    keys.check_pair(pair)


def test_a_key_with_a_passphrase_is_refused_without_asking_on_the_terminal(tmp_path: Path):
    pair = keys.certificate(tmp_path)
    key = load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))
    with pytest.raises(ConfigError, match="a PEM key in clear"):
        keys.check_pair(pair)


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        keys.host_key(tmp_path / "file" / "keys")
