"""T8: delivered to object stores, beside obstore alone on the same store."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.peers import azurite as azure
from tests.peers import moto as s3
from tests.peers.azurite import Azurite
from tests.peers.moto import Moto

from bench import pull, who
from bench.race import Contestant, Row, Wrong, race, rows

SMALL = 2_000
LARGE = 2**30
_AT_ONCE = {"remote": who.REMOTE, "settle": "0s"}


def t8(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Deliver small files and a large one to S3 and Azure."""
    os.environ |= {"BENCH_S3_KEY": s3.ACCESS_KEY, "BENCH_S3_SECRET": s3.SECRET_KEY, "BENCH_AZURE_KEY": azure.KEY}
    count, size = round(SMALL * scale), round(LARGE * scale)
    small, large = pull.small_files(work / "small", count), pull.large_file(work / "large", size)
    loads = {f"{count:,} files of 4 KB": (work / "small", small), f"one file of {size / 2**30:.3g} GiB": (work / "large", large)}
    with Moto() as server:
        client = server.client()
        client.create_bucket(Bucket="bench", CreateBucketConfiguration={"LocationConstraint": s3.REGION})
        remote = {"kind": "s3", "endpoint": server.url, "bucket": "bench", "region": s3.REGION}
        remote |= {"access_key": {"env": "BENCH_S3_KEY"}, "secret_key": {"env": "BENCH_S3_SECRET"}}
        for told, (folder, wanted) in loads.items():
            check = partial(_same, wanted, partial(_in_s3, client))
            found = race(_both(work / "us", folder, remote, "bench", server.url, partial(_emptied_s3, client), check), pairs)
            yield from rows("T8", f"deliver {told}, S3 (moto)", found, {"obstore": 1.1})
    with Azurite(work / "azurite") as server:
        for told, (folder, wanted) in loads.items():
            container = server.container()
            remote = {"kind": "azure", "endpoint": server.url, "account": azure.ACCOUNT, "container": container}
            remote |= {"account_key": {"env": "BENCH_AZURE_KEY"}}
            check = partial(_same, wanted, partial(_in_azure, server, container))
            found = race(
                _both(work / "us", folder, remote, container, server.url, partial(_emptied_azure, server, container), check), pairs
            )
            yield from rows("T8", f"deliver {told}, Azure (Azurite)", found, {"obstore": 1.1})


def _both(
    us: Path, folder: Path, remote: dict[str, object], root: str, url: str, empty: Callable[[], None], check: Callable[[], None]
) -> list[Contestant]:
    remotes = {who.REMOTE: {"kind": "folder", "path": str(folder)}, "out": remote}
    file = who.config(us / "transload.toml", remotes, {"from": _AT_ONCE, "to": [{"remote": "out"}]})

    def prepare() -> None:
        who.emptied(us / "data")()
        empty()

    bare = [sys.executable, "-m", "bench.bare", remote["kind"], str(folder), root, url]
    return [who.ours(file, prepare, check), Contestant("obstore", bare, prepare=empty, check=check)]


def _same(wanted: dict[str, bytes], held: Callable[[], dict[str, bytes]]) -> None:
    found = held()
    if found != wanted:
        raise Wrong(f"the store holds {len(found)} of {len(wanted)} files, or other bytes")


def _in_s3(client: Any) -> dict[str, bytes]:
    return {key: hashlib.file_digest(_Read(client.get_object(Bucket="bench", Key=key)["Body"]), "sha256").digest() for key in _keys(client)}


class _Read:
    """What file_digest wants of a file."""

    def __init__(self, body: Any) -> None:
        self.body = body

    def readinto(self, buffer: bytearray) -> int:
        data = self.body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        return True


def _keys(client: Any) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bench")
    return [one["Key"] for page in pages for one in page.get("Contents", ())]


def _emptied_s3(client: Any) -> None:
    for key in _keys(client):
        client.delete_object(Bucket="bench", Key=key)


def _in_azure(server: Azurite, container: str) -> dict[str, bytes]:
    sas = server.sas(container)
    found = {}
    for name in server.names(container):
        with urllib.request.urlopen(f"{server.url}/{container}/{urllib.parse.quote(name)}?{sas}", timeout=60) as answer:
            found[name] = hashlib.file_digest(answer, "sha256").digest()
    return found


def _emptied_azure(server: Azurite, container: str) -> None:
    for name in server.names(container):
        server.delete(container, name)
