"""Each config of examples/ run end to end: only hosts, ports and keys are changed to those of the servers that stand in."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.peers import azurite as azure
from tests.peers import moto as s3
from tests.peers.base import PASSWORD, USER
from tests.peers.clamd import Clamd
from tests.peers.web import Page, Web

EXAMPLES = Path(__file__).parent.parent / "examples"
RUN = """
import json, sys
from transload.app import Transload
from transload.config import Config
with Transload(Config.of(json.load(open("raw.json")), ".")) as app:
    summary = app.run()
print(json.dumps(summary.document()))
sys.exit(summary.exit_code)
"""
LONG_AGO = 1_700_000_000
SECRETS = {
    "PARTNER_PASSWORD": PASSWORD,
    "SURVEY_PASSWORD": PASSWORD,
    "FTPS_PASSWORD": PASSWORD,
    "CARRIER_PASSWORD": PASSWORD,
    "LAKE_KEY": s3.ACCESS_KEY,
    "LAKE_SECRET": s3.SECRET_KEY,
    "VAULT_KEY": s3.ACCESS_KEY,
    "VAULT_SECRET": s3.SECRET_KEY,
    "AZURE_KEY": azure.KEY,
    "SLACK_URL": "mmost://127.0.0.1:9/nobody",
}


class Example:
    """One example's tables, to be changed and run in a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.raw: dict[str, Any] = tomllib.loads((EXAMPLES / f"{name}.toml").read_text())
        self.raw["transload"]["spool"] = {"min_free": "1MB"}
        self.folder = folder

    def at(self, remote: str, **settings: Any) -> None:
        """The remote is elsewhere."""
        self.raw["remotes"][remote] |= settings

    def run(self) -> dict[str, dict[str, Any]]:
        """Run it in a process of its own; what it says of each route."""
        (self.folder / "raw.json").write_text(json.dumps(self.raw))
        env = os.environ | SECRETS
        done = subprocess.run(
            [sys.executable, "-c", RUN], cwd=self.folder, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return {route["route"]: route for route in json.loads(done.stdout)["routes"]}


def plant(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        os.utime(root / name, (LONG_AGO, LONG_AGO))


def login(sshd: Any, root: Path) -> dict[str, Any]:
    """The settings of a login at our sshd that begins in `root`."""
    entry = {"host": sshd.host, "port": sshd.port, "user": sshd.user, "host_key": sshd.host_key, "path": str(root)}
    return entry | ({} if sshd.passwords else {"key": {"file": str(sshd.key)}})


@pytest.mark.slow
def test_the_ingestion_batch_ends_in_the_container(tmp_path, vsftpd, sshd, azurite):
    export = vsftpd.root / tmp_path.name
    plant(export, {"2026/a #1.csv": b"a", "b.zip": b"b", "draft_c.csv": b"c", "d.txt": b"d"})
    plant(tmp_path / "survey", {"out/Tartu_26012026_155959.csv": b"t", "out/else.csv": b"e"})
    plant(tmp_path / "outbox", {"x/one.txt": b"same", "x/two.txt": b"same"})
    example, container = Example("ingestion", tmp_path), azurite.container()
    example.at("partner", host=vsftpd.host, port=vsftpd.port, user=USER, tls="off")
    example.raw["routes"][0]["from"] |= {"path": f"/{tmp_path.name}", "settle": "0s"}
    example.at("survey", **login(sshd, tmp_path / "survey"))
    example.at("landing", account=azure.ACCOUNT, container=container, endpoint=azurite.url, account_key={"env": "AZURE_KEY"})
    del example.raw["remotes"]["landing"]["sas"]
    example.run()
    digest = hashlib.sha256(b"same").hexdigest()[:8]
    names = {name.rpartition("/")[2]: name for name in azurite.names(container)}
    assert {"a #1.csv", "b.zip", "Tartu_26012026_155959.csv"} < names.keys()
    assert "survey/Tartu/2023/11/Tartu_26012026_155959.csv" == names["Tartu_26012026_155959.csv"]
    # Of two files with the same bytes one is delivered; both are moved away or left, neither is stored twice.
    assert 1 == len({f"one-{digest}.txt", f"two-{digest}.txt"} & names.keys())
    assert 4 == len(names)
    assert b"a" == azurite.get(container, names["a #1.csv"])
    assert [0, 0, 0] == [route["fetched"] for route in example.run().values()]


@pytest.mark.slow
def test_lists_from_the_web_end_in_the_folder_on_the_ftps_server(tmp_path, vsftpd_explicit, certificates):
    pages = {
        "/exports/sdn.csv": Page(b"sdn,1\n"),
        "/exports/alt.csv": Page(b"alt,1\n"),
        "/download/consolidated-list-of-2026.csv": Page(b"o,1\n"),
    }
    root = vsftpd_explicit.root / tmp_path.name
    root.mkdir()
    with Web(pages) as web:
        example = Example("web-to-ftps", tmp_path)
        files = example.raw["remotes"]["web"]["files"]
        example.at("web", files={key: web.url("/" + url.split("/", 3)[3]) for key, url in files.items()})
        server = {"host": vsftpd_explicit.host, "port": vsftpd_explicit.port, "user": USER, "ca": str(certificates.ca)}
        example.at("warehouse", **server, path=f"/{tmp_path.name}/incoming/lists")
        example.run()
        target = root / "incoming" / "lists"
        assert {"sdn.csv": b"sdn,1\n", "alt.csv": b"alt,1\n", "ofsi.csv": b"o,1\n"} == {
            one.name: one.read_bytes() for one in target.iterdir()
        }
        pages = web.pages
        pages["/exports/sdn.csv"] = Page(b"sdn,2\n")
        assert 1 == example.run()["lists"]["fetched"]
        assert b"sdn,2\n" == (target / "sdn.csv").read_bytes()
        assert 3 == len(list(target.iterdir()))


@pytest.fixture
def clamd():
    with Clamd() as clamd:
        yield clamd


@pytest.mark.slow
def test_the_gate_delivers_to_both_buckets_and_then_deletes_the_source(tmp_path, sshd, moto, clamd):
    roll, odd, other = "ACL_HomeOfficeRoll3_20260101.csv", "[-PRMD=EG-ADMD=ICAO-C=XX-;MTA-EGGG-1-MTCU_0123456789ABCDEF].json", "readme.txt"
    plant(tmp_path / "carrier", {f"out/{roll}": b"1,2\n", f"out/{odd}": b"{}", f"out/{other}": b"no"})
    example, lake, vault = Example("gate", tmp_path), moto.bucket(), moto.bucket()
    example.at("carrier", **login(sshd, tmp_path / "carrier"))
    for remote, bucket in (("lake", lake), ("vault", vault)):
        example.at(remote, bucket=bucket, endpoint=moto.url, region=s3.REGION)
    example.raw["routes"][0]["steps"][0]["clamd"] = f"unix:{clamd.socket}"
    example.run()
    client = moto.client()
    stored = {name: [one["Key"] for one in client.list_objects_v2(Bucket=name)["Contents"]] for name in (lake, vault)}
    assert {roll, f"{roll}.done", odd, f"{odd}.done"} == {key.rpartition("/")[2] for key in stored[lake]}
    assert [f"2023/11/14/{roll}"] == stored[vault]
    assert "aws:kms" == client.head_object(Bucket=vault, Key=stored[vault][0])["ServerSideEncryption"]
    assert [other] == os.listdir(tmp_path / "carrier" / "out")
    assert 0 == example.run()["acl"]["fetched"]
