"""The config that the demo runs by: what a user would write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from transload.demo import files
from transload.demo.partners import Partners

AZURE_ACCOUNT = "devstoreaccount1"
# Azurite's well-known development key; it opens nothing else.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_CONFIG = """\
# Three partners' files, to every destination below, each file once.

[transload]
data = "data"
spool = {{ min_free = "10MB" }}
alerts = {{ disk = "10MB" }}

[remotes.harbour]
kind = "ftp"
host = "127.0.0.1"
port = {ftp}
tls = "off"
user = "partner"
password = {{ file = "partners/secrets/password" }}

[remotes.carrier]
kind = "sftp"
host = "127.0.0.1"
port = {sftp}
user = "partner"
password = {{ file = "partners/secrets/password" }}
host_key = "{host_key}"

[remotes.treasury]
kind = "http"
[remotes.treasury.files]
{addresses}

[remotes.archive]
kind = "folder"
path = "archive"

[remotes.warehouse]
kind = "ftp"
host = "127.0.0.1"
port = {ftps}
tls = "explicit"
ca = "partners/secrets/server.crt"
user = "partner"
password = {{ file = "partners/secrets/password" }}

[remotes.lake]
kind = "s3"
endpoint = "http://127.0.0.1:{s3}"
bucket = "landing"
create = true
access_key = {{ file = "partners/secrets/s3_key" }}
secret_key = {{ file = "partners/secrets/s3_secret" }}
{azure}"""

_AZURE = """
[remotes.cloud]
kind = "azure"
endpoint = "http://127.0.0.1:{azure}/devstoreaccount1"
account = "devstoreaccount1"
container = "landing"
account_key = {{ file = "partners/secrets/azure_key" }}
"""

_ROUTE = """
[[routes]]
name = "{name}"
from = {{ remote = "{name}" }}
to = [{to}]
"""

ROUTES = {"ftp": "harbour", "sftp": "carrier", "web": "treasury"}


def destinations(partners: Partners) -> list[str]:
    """The remotes that every file goes to."""
    return ["archive", "warehouse", "lake", *(["cloud"] if partners.azure else [])]


def write(partners: Partners) -> None:
    """transload.toml, and the secrets that it refers to."""
    folder = partners.place / "partners" / "secrets"
    for name, text in (("s3_key", "demo"), ("s3_secret", "demo-secret"), ("azure_key", AZURE_KEY)):
        (folder / name).write_text(text)
    base = f"http://127.0.0.1:{partners.ports['web']}/"
    addresses = [f"{_text(name.decode())} = {_text(base + quote(name))}" for name, _ in files.of_web()]
    azure = _AZURE.format(azure=partners.ports["azure"]) if partners.azure else ""
    text = _CONFIG.format(**partners.ports | {"azure": azure}, host_key=partners.host_key, addresses="\n".join(addresses))
    for route in ROUTES.values():
        text += _ROUTE.format(name=route, to=", ".join(map(_to, destinations(partners))))
    (partners.place / "transload.toml").write_text(text)


def _to(remote: str) -> str:
    # A line end would end the command in which FTP names the file.
    sayable = ', match = "(?s)[^\\\\n]*"' if remote == "warehouse" else ""
    return f'{{ remote = "{remote}", name = "{{route}}/{{folder}}/{{name}}"{sayable} }}'


def owed(remote: str, wanted: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What of `wanted` goes there."""
    return {name: digest for name, digest in wanted.items() if remote != "warehouse" or b"\n" not in name}


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, but for those of halves of characters."""
    return json.dumps(value, ensure_ascii=False)
