"""The [servers] and [users] tables, and what a route or a user says about arrivals and hooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from transload.accounts import ALL, Limits, Rights
from transload.accounts.keys import parse
from transload.accounts.rights import folder_of
from transload.config.words import Globs, Marking, Table
from transload.errors import ConfigError
from transload.explain import Hinted
from transload.secret import RelativePath, Secret
from transload.units import Duration, Rate


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise Hinted("is no address to listen at", 'write "0.0.0.0:2121", "[::]:2121" or "127.0.0.1:2121"')
    return text


def _ports(value: Any) -> Any:
    found = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", value) if isinstance(value, str) else None
    if found is None or not 1024 <= int(found[1]) <= int(found[2]) <= 65535:
        raise Hinted("is no range of ports", 'write two ports from 1024 to 65535, such as "30000-30010"')
    return value.replace(" ", "")


Address = Annotated[str, AfterValidator(_address)]
Ports = Annotated[str, BeforeValidator(_ports), WithJsonSchema({"type": "string", "examples": ["30000-30010"]})]


class Server(Table):
    """What all our servers have in common."""

    listen: Address = Field(description="Address and port; [::]:port also serves IPv4.")
    banner: str = Field("Transload", max_length=200, description="The first line that a client reads.")
    idle: Duration = Field(300.0, gt=0, description="A session that says nothing for so long is closed.")
    stalled: Duration = Field(60.0, gt=0, description="A transfer that moves no byte for so long is cut.")
    deadline: Duration = Field(86400.0, gt=0, description="A transfer that takes longer in all is cut.")
    least_rate: Rate = Field(0, ge=0, description="A transfer that is slower than this over a minute is cut; 0 lets it.")
    login_time: Duration = Field(60.0, gt=0, description="A client that has not logged in after so long is dropped.")
    sessions: int = Field(1024, ge=1, description="How many sessions in all.")
    sessions_per_address: int = Field(256, ge=1, description="How many from one address.")
    sessions_per_user: int = Field(256, ge=1, description="How many of one user, unless the user has a number of its own.")


class FtpServer(Server):
    """FTP and FTPS."""

    listen: Address | None = Field(None, description="Address and port of FTP and explicit FTPS.")  # type: ignore[assignment]
    tls: Literal["off", "explicit", "required"] = Field("explicit", description="off; offered; or nothing in clear.")
    implicit_listen: Address | None = Field(None, description="Address and port of implicit FTPS, if wanted.")
    certificate: RelativePath | None = Field(None, description="PEM chain; keys/server.crt in the data folder by default.")
    key: RelativePath | None = Field(None, description="Its PEM key; keys/server.key in the data folder by default.")
    client_ca: RelativePath | None = Field(None, description="PEM bundle: client certificates that it signed are a login.")
    require_tls_reuse: bool = Field(default=False, description="Whether data connections must resume the control connection's TLS session.")
    passive_ports: Ports | None = Field(None, description="The ports of passive data connections; any free one by default.")
    public_address: str | dict[str, str] | None = Field(
        None,
        description='The address that clients are told, or one per client network: { "10.0.0.0/8" = "10.1.2.3", default = "1.2.3.4" }.',
    )
    active: bool = Field(default=True, description="Whether clients may ask for active mode (PORT, EPRT) to their own address.")
    data_from_same_address: bool = Field(default=True, description="Whether a data connection must come from the client's address.")
    anonymous: bool = Field(default=False, description="Whether anybody may log in as `anonymous`; then [users.anonymous] says what for.")

    @model_validator(mode="after")
    def _some_door(self) -> FtpServer:
        if self.listen is None and self.implicit_listen is None:
            raise Hinted("listens nowhere", 'write listen = "127.0.0.1:2121"')
        return self


class SftpServer(Server):
    """SFTP."""

    host_keys: tuple[RelativePath, ...] = Field((), description="Private host keys; keys/host_ed25519 in the data folder by default.")


class Bans(Table):
    """What wrong logins lead to, on all our servers together."""

    after: int = Field(
        5, ge=1, description="Wrong logins in a row of one user from one address, after which that address cannot be that user."
    )
    after_any: int = Field(20, ge=1, description="Wrong logins from one address, whoever it says it is, after which it is shut out.")
    time: Duration = Field(60.0, gt=0, description="How long the first ban lasts; each further wrong login doubles it.")
    longest: Duration = Field(86400.0, gt=0, description="The longest ban.")
    allow: tuple[str, ...] = Field((), description="Networks that are never banned.")

    @field_validator("allow")
    @classmethod
    def _networks(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        return Limits(addresses=allow).addresses


class Servers(Table):
    """The [servers] table."""

    ftp: FtpServer | None = None
    sftp: SftpServer | None = None
    bans: Bans = Field(Bans(), description="What wrong logins lead to.")
    upload_rate: Rate | None = Field(None, gt=0, description="Bytes a second that all users together may send.")
    download_rate: Rate | None = Field(None, gt=0, description="Bytes a second that all users together may fetch.")

    @property
    def any(self) -> bool:
        """Whether there is a server at all."""
        return self.ftp is not None or self.sftp is not None


class Arriving(Table):
    """When an upload counts as an arrival, and what becomes of a name that is uploaded again."""

    complete: Literal["rename-or-close", "close", "rename", "marker", "sidecar", "quiet"] = Field(
        "rename-or-close", description="What says that a file is whole."
    )
    exists: Literal["version", "replace", "refuse"] = Field("version", description="What becomes of a name that is uploaded again.")
    lenient: bool = Field(default=False, description="Whether an upload counts though its client hung up without a word.")
    expire: Duration = Field(7 * 86400.0, gt=0, description="How long a cut upload is kept for resuming.")
    marker: Marking | None = Field(
        None, description='With complete = "marker": the name of the file that says so; "{name}.done" by default.'
    )
    quiet: Duration = Field(30.0, gt=0, description='With complete = "quiet": how long nothing must have changed.')
    grace: Duration | None = Field(None, gt=0, description="How long to look for a client that died; a few round trips by default.")


class Hook(Table):
    """Who is told of each arrival: a command, or a URL."""

    command: tuple[str, ...] | None = Field(
        None, min_length=1, description="A program and its arguments; the arrival comes as JSON on stdin."
    )
    url: str | None = Field(None, pattern=r"^https?://", description="An address that gets the arrival as JSON by POST.")
    secret: Secret | None = Field(None, description="Signs what is posted: HMAC-SHA256 over timestamp and body.")
    timeout: Duration = Field(60.0, gt=0, description="How long one call may take.")

    @field_validator("url")
    @classmethod
    def _no_login(cls, url: str | None) -> str | None:
        if url is not None and "@" in urlsplit(url).netloc:
            raise Hinted("holds a login", "leave it away; a secret signs what is posted")
        return url

    @model_validator(mode="after")
    def _one_of_two(self) -> Hook:
        if (self.command is None) == (self.url is None):
            raise ValueError("wants command or url")
        if self.secret is not None and self.url is None:
            raise ValueError("has a secret but no url to sign for")
        return self


def _letters(text: str) -> str:
    wrong = sorted(set(text) - set(ALL))
    if wrong:
        raise Hinted(
            f'has no letter "{wrong[0]}"', "e enter, l list, r read, a append, d delete, f rename, m make folder, w write, M mode, T time"
        )
    return text


Letters = Annotated[str, AfterValidator(_letters)]


class User(Table):
    """A user whom the config declares: made or updated at start."""

    password: Secret | None = Field(None, description="Its password, by reference.")
    keys: tuple[str, ...] = Field((), description="Public SSH keys, as in authorized_keys.")
    certificate: str | None = Field(None, description="The common name of the client certificate that is a login.")
    methods: Literal["any", "key+password"] = Field("any", description="Whether one proof is enough, or key and password are wanted.")
    home: Path | None = Field(None, description="Its folder: below inbox/ in the data folder unless absolute; the user's name by default.")
    permissions: Letters = Field("elradfmw", description="What it may do, in letters.")
    folders: dict[str, Letters] = Field({}, description='Other letters for folders of the home: { "/out" = "elr" }.')
    limits: Limits = Limits()
    arrival: Arriving | None = Field(None, description="How its uploads arrive; a route's own word goes before it.")
    enabled: bool = True

    @field_validator("keys")
    @classmethod
    def _sound(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(dict.fromkeys(parse(key) for key in keys))
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @field_validator("folders")
    @classmethod
    def _absolute(cls, folders: dict[str, str]) -> dict[str, str]:
        for folder in folders:
            if not folder.startswith("/"):
                raise Hinted(f'"{folder}" is no folder of a home', "begin with a slash: the home itself is /")
        return {folder_of(folder): letters for folder, letters in folders.items()}

    @property
    def rights(self) -> Rights:
        """Its letters, by folder."""
        return Rights(self.permissions, self.folders)


__all__ = ["Arriving", "Bans", "FtpServer", "Globs", "Hook", "Server", "Servers", "SftpServer", "User"]
