"""TLS of our FTP server: certificates that are renewed while it runs, clients that log in by theirs, both kinds beside each other."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import shutil
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.peers.certificates import certificates
from tests.servers.ftp_ground import PASSWORD, USER, FtpGround, trusting
from transload.accounts import Limits
from transload.errors import ConfigError


class Authority:
    """Signs clients' certificates."""

    def __init__(self, folder):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients")])
        self.path = folder / "clients.crt"
        self.path.write_bytes(self._signed(self.title, self.key, authority=True).public_bytes(serialization.Encoding.PEM))

    def _signed(self, title, key, *, authority=False):
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(title).issuer_name(self.title).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        made = made.not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(authority, None), critical=True)
        if not authority:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return made.sign(self.key, hashes.SHA256())

    def client(self, name):
        """TLS of a client with a certificate of that common name."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._signed(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        path = self.folder / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = trusting()
        context.load_cert_chain(path)
        return context


def test_a_clients_certificate_is_a_login(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    authority, foreign = Authority(ours), Authority(theirs)
    with FtpGround(settings={"client_ca": str(authority.path)}, certificate="device-7") as ground:
        with ground.raw(login=False, context=authority.client("device-7")) as raw:
            raw.secure()
            raw.asks(f"USER {USER}", 232)
            with raw.data("STOR by-certificate") as line:
                line.sendall(b"x")
                line.unwrap()
            raw.hears(226)
        with ground.raw(login=False, context=authority.client("device-8")) as raw:
            raw.secure()
            raw.asks(f"USER {USER}", 331)
            raw.asks("PASS wrong", 530)
            raw.login()  # by password, as ever
        with ground.raw(login=False) as raw:
            raw.secure()
            raw.asks(f"USER {USER}", 331)
        with ground.raw(login=False, context=foreign.client("device-7")) as raw:
            raw.asks("AUTH TLS", 234)
            with contextlib.suppress(OSError):  # by TLS 1.3 it hears of that only afterwards
                raw.shake()
                raw.say("NOOP")
            assert raw.gone()


def test_a_certificate_is_renewed_without_a_restart(tmp_path):
    cert, key = tmp_path / "server.crt", tmp_path / "server.key"
    good, elsewhere = certificates().good, certificates().elsewhere

    def put(pair):
        shutil.copy(pair.cert, cert)
        shutil.copy(pair.key, key)

    def shown(raw):
        return raw.line.getpeercert()["subject"], raw.line.getpeercert()["serialNumber"]

    context = trusting()
    context.check_hostname = False
    put(good)
    with FtpGround(settings={"certificate": str(cert), "key": str(key)}) as ground, ground.raw(login=False, context=context) as old:
        old.secure()
        old.login()
        put(elsewhere)
        ground.door.reload()
        with ground.raw(login=False, context=context) as new:
            new.secure()
            assert shown(old) != shown(new)
        shutil.copy(good.key, key)  # not that certificate's
        with pytest.raises(ConfigError):
            ground.door.reload()
        with ground.raw(login=False, context=context) as newer:
            newer.secure()
            assert shown(old) != shown(newer)
        with old.data("STOR still") as line:  # who came before goes on
            line.sendall(b"x")
            line.unwrap()
        old.hears(226)


def test_explicit_and_implicit_and_clear_are_beside_each_other():
    data = os.urandom(2_000_000)
    with FtpGround() as ground:
        with ground.raw() as clear, ground.raw(login=False) as explicit, ground.raw(implicit=True, login=False) as implicit:
            explicit.secure()
            explicit.login()
            implicit.login()
            for number, raw in enumerate((explicit, implicit)):
                with raw.data(f"STOR tls-{number}") as line:
                    line.sendall(data)
                    line.unwrap()
                raw.hears(226)
            assert b"226" == clear.put("clear", data)[:3]
            assert [data] * 3 == [clear.get(f"RETR {name}") for name in ("tls-0", "tls-1", "clear")]
            implicit.asks("AUTH TLS", 503)
        assert 3 == len(ground.uploads())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_files_go_both_ways_by_each_version(version):
    data = os.urandom(20_000_000)
    context = trusting()
    context.minimum_version = context.maximum_version = version
    with FtpGround() as ground, ftplib.FTP_TLS(context=context) as client:
        client.connect("localhost", ground.port)
        client.login(USER, PASSWORD)
        client.prot_p()
        assert client.storbinary("STOR large", io.BytesIO(data)).startswith("226")
        got = io.BytesIO()
        client.retrbinary("RETR large", got.write)
        assert data == got.getvalue()
        assert ["large"] == client.nlst()


def test_who_may_not_come_in_clear_does_not():
    with FtpGround(limits=Limits(protocols=("ftps",))) as ground:
        with ground.raw(login=False) as raw:
            raw.asks(f"USER {USER}", 331)
            raw.asks(f"PASS {PASSWORD}", 530)
        with ground.raw(login=False) as raw:
            raw.secure()
            raw.login()
        with ground.raw(implicit=True):
            pass


def test_the_files_of_who_may_not_come_in_clear_do_not_go_in_clear_either():
    with FtpGround(limits=Limits(protocols=("ftps",))) as ground:
        with ground.raw(login=False) as raw:
            raw.secure(data=False)
            raw.login()
            raw.port()
            for command in ("STOR a", "RETR a", "LIST"):
                raw.asks(command, 521)
            raw.asks("PBSZ 0", 200)
            raw.asks("PROT C", 534)
            raw.asks("PROT P", 200)
            with raw.data("STOR a") as line:
                line.sendall(b"hello")
                line.unwrap()
            raw.hears(226)
        assert {"a": b"hello"} == ground.files()


def test_a_certificate_of_its_own_is_made_where_none_is_named(tmp_path):
    with FtpGround(tmp_path / "work", settings={"certificate": None, "key": None}) as ground:
        context = ssl.create_default_context(cafile=str(ground.work / "keys" / "server.crt"))
        with ground.raw(login=False, context=context) as raw:
            raw.secure()
            raw.login()
