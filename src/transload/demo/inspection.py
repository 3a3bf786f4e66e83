"""A look at sources and destinations that asks neither the ledger nor Transload: bytes against bytes, from the other side."""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from importlib import import_module
from urllib.parse import quote

from transload.demo import files, setting
from transload.demo.partners import Partners
from transload.model import unspell

Held = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Found:
    """What one destination holds, against what the sources have: counts of files."""

    destination: str
    owed: int
    whole: int
    missing: int
    wrong: int
    foreign: int

    @property
    def well(self) -> bool:
        """Whether every file is there once, whole, and nothing else."""
        return not (self.missing or self.wrong or self.foreign)

    @property
    def harmless(self) -> bool:
        """Whether all that is visible is whole, though some may be missing."""
        return not (self.wrong or self.foreign)


def at_sources(partners: Partners) -> dict[bytes, bytes]:
    """Every file of every partner as it should be at a destination: its name there, and its hash."""
    return {
        route.encode() + b"/" + name: digest
        for kind, route in setting.ROUTES.items()
        for name, digest in files.held(partners.root(kind)).items()
    }


def look(partners: Partners, wanted: Held) -> list[Found]:
    """What each destination holds of the files `wanted`."""
    return [_compared(name, setting.owed(name, wanted), _HOLDS[name](partners)) for name in setting.destinations(partners)]


def _compared(destination: str, wanted: Held, held: Held) -> Found:
    whole = sum(held.get(name) == digest for name, digest in wanted.items())
    missing = sum(name not in held for name in wanted)
    return Found(destination, len(wanted), whole, missing, len(wanted) - whole - missing, sum(name not in wanted for name in held))


def in_archive(partners: Partners) -> dict[bytes, bytes]:
    """Read from the disk."""
    return _seen(files.held(partners.place / "archive"))


def _in_warehouse(partners: Partners) -> dict[bytes, bytes]:
    """Read from the disk of that server, which holds raw bytes as the archive does."""
    return _seen(files.held(partners.root("ftps")))


def _seen(held: Held) -> dict[bytes, bytes]:
    """Without the temporary files of a transfer that was cut: hidden, and no reader takes them for the file."""
    return {name: digest for name, digest in held.items() if not name.rpartition(b"/")[2].startswith(b".")}


def _in_lake(partners: Partners) -> dict[bytes, bytes]:
    boto3 = import_module("boto3")
    address, key = f"http://127.0.0.1:{partners.ports['s3']}", "demo"
    store = boto3.client("s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=key)
    if not store.list_buckets()["Buckets"]:
        return {}  # the first delivery makes it
    pages = store.get_paginator("list_objects_v2").paginate(Bucket="landing")
    keys: list[str] = [one["Key"] for page in pages for one in page.get("Contents", ())]
    return _hashed(keys, lambda key: store.get_object(Bucket="landing", Key=key)["Body"].read())


def _in_cloud(partners: Partners) -> dict[bytes, bytes]:
    base, after, names = f"http://127.0.0.1:{partners.ports['azure']}/{setting.AZURE_ACCOUNT}/landing", "", []
    while True:
        page = ET.fromstring(_get(f"{base}?restype=container&comp=list{after}"))  # noqa: S314 - of the demo's own Azurite
        names += [name.text or "" for name in page.iterfind("Blobs/Blob/Name")]
        after = "&marker=" + quote(page.findtext("NextMarker") or "")
        if after == "&marker=":
            return _hashed(names, lambda name: _get(f"{base}/{quote(name)}"))


def _hashed(names: list[str], read: Callable[[str], bytes]) -> dict[bytes, bytes]:
    with ThreadPoolExecutor(8) as pool:
        digests = pool.map(lambda name: hashlib.sha256(read(name)).digest(), names)
        return dict(zip(map(unspell, names), digests, strict=True))


def open_container(partners: Partners) -> None:
    """Make a container that anybody may read, so that it can be looked at without a key."""
    path, when = f"/{setting.AZURE_ACCOUNT}/landing", formatdate(usegmt=True)
    told = {"x-ms-blob-public-access": "container", "x-ms-date": when, "x-ms-version": "2021-12-02"}
    lines = "".join(f"{key}:{value}\n" for key, value in told.items())
    text = f"PUT{chr(10) * 12}{lines}/{setting.AZURE_ACCOUNT}{path}\nrestype:container"
    sign = base64.b64encode(hmac.new(base64.b64decode(setting.AZURE_KEY), text.encode(), hashlib.sha256).digest()).decode()
    told |= {"Authorization": f"SharedKey {setting.AZURE_ACCOUNT}:{sign}", "Content-Length": "0"}
    address = f"http://127.0.0.1:{partners.ports['azure']}{path}?restype=container"
    with urllib.request.urlopen(urllib.request.Request(address, headers=told, method="PUT"), timeout=30):
        pass


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - an address of ours
        data: bytes = answer.read()
        return data


_HOLDS: dict[str, Callable[[Partners], dict[bytes, bytes]]] = {
    "archive": in_archive,
    "warehouse": _in_warehouse,
    "lake": _in_lake,
    "cloud": _in_cloud,
}
