"""Azure Blob storage as Azurite tells it, and a small client of its REST interface that shares nothing with ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import itertools
import urllib.parse
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

from tests.peers.base import INSTALLED, Peer, program

ACCOUNT = "devstoreaccount1"
# Azurite's well-known development key; it opens nothing else.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-12-02"
_numbers = itertools.count(1)


class Azurite(Peer):
    """A blob endpoint at `url` for ACCOUNT with KEY; `container()` makes a new container; put, get, delete, names look behind our back."""

    name = "azurite"

    def start(self) -> None:
        """Start it; returns when it accepts."""
        command = [
            program("node"),
            program("azurite-blob", INSTALLED / "node/node_modules/.bin"),
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ]
        place = ["--silent", "--location", str(self.root), "--blobHost", self.host, "--blobPort", str(self.port)]
        self.spawn([*command, *place], env={"NODE_NO_WARNINGS": "1"})

    @property
    def url(self) -> str:
        """The endpoint, the account included."""
        return f"http://{self.host}:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """What a client's configuration takes."""
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.url};"

    def container(self) -> str:
        """The name of a new, empty container."""
        name = f"container-{self.port}-{next(_numbers)}"
        self._ask("PUT", f"/{name}", {"restype": "container"})
        return name

    def put(self, container: str, name: str, data: bytes) -> None:
        """Store a blob."""
        self._ask("PUT", _path(container, name), headers={"x-ms-blob-type": "BlockBlob"}, body=data)

    def get(self, container: str, name: str) -> bytes:
        """A blob's bytes; FileNotFoundError."""
        return self._ask("GET", _path(container, name))

    def delete(self, container: str, name: str) -> None:
        """Delete a blob; FileNotFoundError."""
        self._ask("DELETE", _path(container, name))

    def names(self, container: str, *, uncommitted: bool = False) -> list[str]:
        """The names of all blobs, on request those too that have only uncommitted blocks."""
        query = {"restype": "container", "comp": "list"} | ({"include": "uncommittedblobs"} if uncommitted else {})
        answer = ET.fromstring(self._ask("GET", f"/{container}", query))
        return [found.text or "" for found in answer.iterfind("Blobs/Blob/Name")]

    def sas(self, container: str, rights: str = "racwdl", *, hours: float = 1) -> str:
        """A shared access signature for one container."""
        until = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = [rights, since, until, f"/blob/{ACCOUNT}/{container}", "", "", "", VERSION, "c", "", "", *[""] * 5]
        query = {"sp": rights, "st": since, "se": until, "sv": VERSION, "sr": "c", "sig": _sign("\n".join(fields))}
        return urllib.parse.urlencode(query)

    def _ask(
        self, method: str, path: str, query: dict[str, str] | None = None, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        all_headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION} | (headers or {})
        whole = f"/{ACCOUNT}{path}"
        named = "".join(f"{key}:{value}\n" for key, value in sorted(all_headers.items()))
        asked = "".join(f"\n{key}:{value}" for key, value in sorted((query or {}).items()))
        length = str(len(body)) if body else ""
        text = f"{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{named}/{ACCOUNT}{whole}{asked}"
        all_headers |= {"Authorization": f"SharedKey {ACCOUNT}:{_sign(text)}"}
        line = http.client.HTTPConnection(self.host, self.port, timeout=30)
        line.request(
            method,
            whole + ("?" + urllib.parse.urlencode(query) if query else ""),
            body or None,
            {**all_headers, "Content-Length": str(len(body))},
        )
        answer = line.getresponse()
        data = answer.read()
        line.close()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            raise FileNotFoundError(path)
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            message = f"Azurite answered {answer.status} to {method} {path}: {data[:500]!r}"
            raise RuntimeError(message)
        return data


def _path(container: str, name: str) -> str:
    return f"/{container}/{urllib.parse.quote(name, safe='/')}"


def _sign(text: str) -> str:
    return base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
