"""What `init` makes beside the config: keys, a first user, and the client lines that work."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from transload.cli.base import writing

if TYPE_CHECKING:
    from transload.config import Config

USER = "sender"
_KNOWN_HOSTS = "known_hosts"


def make_keys(config: Config) -> None:
    """Host key and certificate, where they are missing, and what clients on this machine trust them by."""
    from transload.servers import keys

    folder = config.data / "keys"
    line = keys.public_line(keys.host_key(folder))
    keys.certificate(folder)
    if config.servers.sftp is not None:
        host, _, port = config.servers.sftp.listen.rpartition(":")
        (folder / _KNOWN_HOSTS).write_text(f"[{host}]:{port} {line}\n")


def make_user(config: Config) -> str | None:
    """The first user, with a home of its own; gives its password, which is kept as a hash only, or None when the user is there."""
    from transload.accounts import Account
    from transload.accounts.passwords import hashed

    with writing(config) as ledger:
        if ledger.people.find(USER) is not None:
            return None
        password = secrets.token_urlsafe(12)
        ledger.people.put(Account(name=USER, password=hashed(password), home=str(config.data / "inbox" / USER)))
    return password


def client_lines(config: Config) -> list[str]:
    """What to type in the config's folder to send a file; each asks for the password, which so is in no list of processes."""
    keys = Path("data") / "keys"
    lines = []
    if config.servers.ftp is not None and config.servers.ftp.listen is not None:
        address = f"ftp://{config.servers.ftp.listen}"
        trusted = shlex.quote(str(keys / "server.crt"))
        lines += [
            f"curl --ssl-reqd --cacert {trusted} -u {USER} -T FILE {address}/",
            f"lftp -e 'set ftp:ssl-force true; set ssl:ca-file {trusted}' -u {USER} {address}",
        ]
    if config.servers.sftp is not None:
        host, _, port = config.servers.sftp.listen.rpartition(":")
        lines.append(f"sftp -P {port} -o UserKnownHostsFile={keys / _KNOWN_HOSTS} {USER}@{host}")
    return lines
