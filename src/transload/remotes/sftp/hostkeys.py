"""Which host keys are the right ones, and what is said when another one is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import asyncssh

from transload.errors import ConfigError, Denied
from transload.remotes.sftp.settings import Jump, SftpRemote

_USUAL = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256")
_FAMILIES = (_USUAL[:1], _USUAL[1:4], _USUAL[4:])


class HostKeys(NamedTuple):
    """What is known of a host: what asyncssh takes as known hosts (None: anything goes), fingerprints, and where both stand."""

    trusted: tuple[Any, ...] | None
    fingerprints: frozenset[str]
    source: str

    @property
    def shown(self) -> list[str]:
        """The fingerprints of all that would be right."""
        keys = self.trusted[0] if self.trusted else ()
        return [*(describe(key) for key in keys), *sorted(self.fingerprints)]

    def offers(self, legacy: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The key types to ask for, one try after the other, until one shows the right key."""
        if self.fingerprints:
            # A fingerprint does not tell its type, and a server shows one key at a time.
            return [*_FAMILIES, *((one,) for one in legacy)]
        keys = self.trusted[0] if self.trusted else ()
        known = [alg for key in keys for alg in _algorithms(key)]
        certified = [f"{alg}-cert-v01@openssh.com" for alg in _USUAL] if self.trusted and self.trusted[1] else []
        return [tuple(dict.fromkeys([*certified, *known, *_USUAL, *legacy]))]


class Doorman(asyncssh.SSHClient):
    """Looks at the host key that is shown, when it is not among the trusted ones."""

    def __init__(self, fingerprints: frozenset[str]) -> None:
        self._fingerprints = fingerprints
        self.seen: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        """Whether its fingerprint is a pinned one."""
        self.seen = key
        return key.get_fingerprint() in self._fingerprints


def known(login: SftpRemote | Jump, host: str, port: int, files: list[str] | None) -> HostKeys:
    """What is known of `host`: what is pinned, else what stands in `files` or the user's own known_hosts."""
    if login.insecure:
        return HostKeys(None, frozenset(), "")
    if login.host_key:
        lines = [line for line in login.host_key if not line.startswith("SHA256:")]
        fingerprints = frozenset(line.rstrip("=") for line in login.host_key if line.startswith("SHA256:"))
        return HostKeys((_imported(lines), [], []), fingerprints, "host_key")
    if login.known_hosts is not None:
        files = [str(login.known_hosts)]
    files = files or [str(Path("~/.ssh/known_hosts").expanduser())]
    return HostKeys(_matching(files, host, port), frozenset(), " and ".join(files))


def _imported(lines: list[str]) -> list[asyncssh.SSHKey]:
    try:
        return [asyncssh.import_public_key(line) for line in lines]
    except asyncssh.KeyImportError as error:
        raise ConfigError(f"host_key: {error}") from error


def _matching(files: list[str], host: str, port: int) -> tuple[Any, ...]:
    there = [file for file in files if Path(file).is_file()]
    try:
        return tuple(asyncssh.match_known_hosts(asyncssh.read_known_hosts(there), host, "", None if port == 22 else port))
    except (OSError, ValueError) as error:
        raise ConfigError(f"known_hosts: {', '.join(there)} cannot be used: {error}") from error


def wrong(where: str, keys: HostKeys, seen: list[asyncssh.SSHKey], why: str) -> Denied:
    """What to say of a host whose key is not the right one."""
    shown = " and ".join(describe(key) for key in seen) or f"none that can be checked ({why})"
    if not keys.shown:
        return Denied(
            f"{where}: its host key is not known (there is none in {keys.source}). It shows {shown}; if the partner confirms that, "
            "write it as host_key (`transload test REMOTE --pin` prints the line)"
        )
    return Denied(
        f"{where}: the host key has CHANGED, so nothing was sent. Expected by {keys.source}: {' or '.join(keys.shown)}; seen: {shown}. "
        "Ask the partner; only if they confirm the new key, write it as host_key (`transload test REMOTE --pin` prints the line)"
    )


def describe(key: asyncssh.SSHKey) -> str:
    """A key's type and fingerprint."""
    return f"{key.get_algorithm()} {key.get_fingerprint()}"


def line(key: asyncssh.SSHKey) -> str:
    """A key as it is pinned."""
    return " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])


def _algorithms(key: asyncssh.SSHKey) -> tuple[str, ...]:
    algorithm = key.get_algorithm()
    return ("rsa-sha2-512", "rsa-sha2-256") if algorithm == "ssh-rsa" else (algorithm,)
