"""The settings of an SFTP remote, and of SSH hosts on the way to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from transload.remotes.base import NetworkSettings
from transload.remotes.sftp.session import SftpSession
from transload.secret import RelativePath, Secret
from transload.units import Duration

_KEY = re.compile(r"[a-z0-9@.-]+ AAAA[A-Za-z0-9+/]+={0,3}( .*)?")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")


def _host_keys(value: object) -> object:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list | tuple):
        return value
    stripped = [line.strip() if isinstance(line, str) else line for line in lines]
    for line in stripped:
        if isinstance(line, str) and not (_KEY.fullmatch(line) or _FINGERPRINT.fullmatch(line)):
            message = 'wants "ssh-ed25519 AAAA..." or "SHA256:..." (`transload test REMOTE --pin` prints the line)'
            raise ValueError(message)
    return tuple(stripped)


def _jump(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(?:([^@\s]+)@)?(\[[^\]]+\]|[^:\s@]+)(?::(\d+))?", value)
    if found is None:
        message = 'wants "user@host:port", or a table with host, user, key, ...'
        raise ValueError(message)
    user, host, port = found.groups()
    return {"host": host.strip("[]"), "user": user or "", "port": port}


class Algorithms(BaseModel):
    """What an old server needs beyond the usual; each is offered last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kex: tuple[str, ...] = Field((), description='Key exchange, e.g. "diffie-hellman-group1-sha1".')
    ciphers: tuple[str, ...] = Field((), description='Ciphers, e.g. "aes128-cbc".')
    macs: tuple[str, ...] = Field((), description='Message authentication, e.g. "hmac-sha1".')
    host_keys: tuple[str, ...] = Field((), description='Host key types, e.g. "ssh-rsa".')
    signatures: tuple[str, ...] = Field((), description='Signatures made with our key, e.g. "ssh-rsa".')


class Login(BaseModel):
    """How to log in to an SSH host, and how to know that it is the right one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key: Secret | None = Field(None, description="The private key, in OpenSSH or PEM form.")
    passphrase: Secret | None = Field(None, description="What opens the private key.")
    agent: bool = Field(False, description="Ask the running ssh-agent for keys.")
    ssh_config: RelativePath | None = Field(None, description='An OpenSSH configuration to follow, e.g. "~/.ssh/config".')
    host_key: Annotated[tuple[str, ...], BeforeValidator(_host_keys)] = Field(
        (), description='The server\'s own key, "ssh-ed25519 AAAA...", or its fingerprint, "SHA256:..."; one or several.'
    )
    known_hosts: RelativePath | None = Field(
        None, description="Where known host keys are when none is pinned; ~/.ssh/known_hosts by default."
    )
    insecure: bool = Field(False, description="Accept any host key. Whoever is in between can read and change everything.")
    jump: Annotated[Jump | None, BeforeValidator(_jump)] = Field(
        None, description='An SSH host to go through: "user@host:port", or a table with its own login.'
    )
    algorithms: Algorithms = Algorithms()

    @model_validator(mode="after")
    def _fits(self) -> Login:
        if self.insecure and (self.host_key or self.known_hosts):
            message = "insecure = true contradicts host_key and known_hosts: leave it out"
            raise ValueError(message)
        if self.passphrase is not None and self.key is None:
            message = "passphrase is there, but no key that it could open"
            raise ValueError(message)
        return self


class Jump(Login):
    """An SSH host to go through; without a login of its own it is shown the remote's key or agent (never its password)."""

    host: str = Field(min_length=1)
    port: int | None = Field(None, ge=1, le=65535)
    user: str = ""
    password: Secret | None = None


class SftpRemote(NetworkSettings, Login):
    """Files on an SFTP server."""

    session: ClassVar[type] = SftpSession

    kind: Literal["sftp"] = "sftp"
    keepalive: Duration = Field(15.0, description='How often a silent line is tried; "0s" is never.')
    sync: bool = Field(True, description="Have the server write what it received to its disk before it counts as delivered, where it can.")

    @model_validator(mode="after")
    def _can_log_in(self) -> SftpRemote:
        if not (self.password or self.key or self.agent or self.ssh_config):
            message = "wants a way to log in: password, key, agent = true or ssh_config"
            raise ValueError(message)
        return self

    @contextmanager
    def connect(self) -> Iterator[SftpSession]:
        """A session, logged in; raises Unreachable, Busy or Denied."""
        from transload.remotes.sftp.login import connected

        with connected(self) as (wire, patient):
            yield SftpSession(self, wire, patient=patient)


Login.model_rebuild()
Jump.model_rebuild()
SftpRemote.model_rebuild()
