"""What the commands about users share: their options, the users themselves, keys and passwords from where they are."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transload.cli.base import load, reading, warn, writing
from transload.errors import ConfigError

if TYPE_CHECKING:
    from transload.accounts import Account
    from transload.accounts.people import People
    from transload.accounts.users import Users
    from transload.config import Config
    from transload.ledger import Ledger

UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user: letters, digits, _, . and -.")]
Keys = Annotated[list[str] | None, typer.Option("--key", metavar="FILE", help="A file of public SSH keys, - for stdin; may be repeated.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")]
SETTINGS: Mapping[str, Any] = {
    "certificate": Annotated[str | None, typer.Option(metavar="NAME", help="The common name of a client certificate that is a login.")],
    "methods": Annotated[str | None, typer.Option(metavar="any|key+password", help="Whether one proof is enough, or both are wanted.")],
    "home": Annotated[str | None, typer.Option(metavar="DIR", help="Its folder; below inbox/ in the data folder unless absolute.")],
    "permissions": Annotated[
        str | None, typer.Option(metavar="LETTERS", help="What it may do [elradfmw]; transload user grant --help has the letters.")
    ],
    "quota": Annotated[str | None, typer.Option(metavar="SIZE", help="Bytes that may lie in the home: 2GB.")],
    "quota_files": Annotated[str | None, typer.Option(metavar="N", help="Files that may lie in the home.")],
    "upload_rate": Annotated[str | None, typer.Option(metavar="RATE", help="Over all its sessions: 5MB/s.")],
    "download_rate": Annotated[str | None, typer.Option(metavar="RATE", help="Over all its sessions.")],
    "connection_upload_rate": Annotated[str | None, typer.Option(metavar="RATE", help="For each session.")],
    "connection_download_rate": Annotated[str | None, typer.Option(metavar="RATE", help="For each session.")],
    "sessions": Annotated[str | None, typer.Option(metavar="N", help="Sessions at once.")],
    "protocols": Annotated[
        list[str] | None, typer.Option("--protocol", metavar="ftp|ftps|sftp", help="The only ways in; may be repeated.")
    ],
    "addresses": Annotated[list[str] | None, typer.Option("--address", metavar="NETWORK", help="The only networks; may be repeated.")],
    "hours": Annotated[str | None, typer.Option(metavar="HH:MM-HH:MM", help="The only hours, in UTC.")],
    "expires": Annotated[str | None, typer.Option(metavar="TIME", help="Until when: 2026-12-31, 2026-12-31T18:00Z.")],
    "match": Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="The only names that may be uploaded; may be repeated.")],
    "min_size": Annotated[str | None, typer.Option(metavar="SIZE", help="Smaller uploads are refused.")],
    "max_size": Annotated[str | None, typer.Option(metavar="SIZE", help="Larger uploads are refused.")],
}
"""What may be set of a user, each with its option."""


def with_settings(command: Callable[..., int]) -> Callable[..., int]:
    """Give `command` an option for each of SETTINGS in place of its `**settings`; None where one was not given."""
    told = inspect.signature(command, eval_str=True)
    own = [one for one in told.parameters.values() if one.kind is not one.VAR_KEYWORD]
    options = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in SETTINGS.items()]
    command.__signature__ = told.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in [*own, *options]}
    return command


@contextmanager
def at_users(config: Path | None, name: str | None = None) -> Iterator[tuple[Ledger, Users]]:
    """The ledger, and the users in it, to change `name`; ConfigError when the config declares that one."""
    loaded = load(config, secrets=False)
    refuse_declared(loaded, name)
    with writing(loaded) as ledger:
        yield ledger, _users(loaded, ledger.people)


@contextmanager
def reading_users(config: Path | None) -> Iterator[Users]:
    """The users for a command that only reads; the ledger is not made for that."""
    from transload.accounts.file import FilePeople

    loaded = load(config, secrets=False)
    with reading(loaded) as ledger:
        yield _users(loaded, ledger.people if ledger else FilePeople())


def _users(loaded: Config, people: People) -> Users:
    from transload.accounts.users import Users
    from transload.servers.sound import check_account

    return Users(people, loaded.data / "inbox", loaded.data, check=check_account)


def refuse_declared(loaded: Config, name: str | None) -> None:
    """Raise ConfigError when the config declares that user: it would be as it says there at the next start."""
    if name is not None and name in loaded.users:
        raise ConfigError(f"{name}: is declared in {loaded.file}: change [users.{name}] there")


def keys_in(files: Sequence[str]) -> list[str]:
    """The keys of these files, - being stdin; ConfigError names the file and its line."""
    from transload.accounts.keys import parse_all

    found: list[str] = []
    for file in files:
        try:
            found += parse_all(sys.stdin.read() if file == "-" else Path(file).read_text())
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    return found


def asked(name: str, *, stdin: bool) -> str:
    """A new password, from stdin, or asked for twice on a terminal."""
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ConfigError("passwd: here is no terminal to ask at: give the password on stdin, with --password-stdin")
    import getpass

    first = getpass.getpass(f"New password of {name}: ")
    if getpass.getpass("Again: ") != first:
        raise ConfigError("passwd: the two are not the same; nothing was changed")
    return first


def say_lack(account: Account) -> None:
    """Tell when nobody can log in as this user, and what to do about it."""
    if account.methods == "key+password" and not (account.password and (account.keys or account.certificate)):
        warn(f"{account.name}: cannot log in yet, it wants both a key and a password: transload user key, transload user passwd")
    elif not (account.password or account.keys or account.certificate):
        warn(f"{account.name}: cannot log in yet: transload user passwd {account.name}, or transload user key {account.name} FILE")
