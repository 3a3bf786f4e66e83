"""The commands about all users of our servers: user ls, user import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transload.cli.base import WELL, ConfigOption, JsonOption, counted, load, say, show_json, table, warn, who
from transload.cli.people import at_users, reading_users, refuse_declared
from transload.cli.users import user
from transload.errors import ConfigError
from transload.units import show_size

if TYPE_CHECKING:
    from transload.accounts import Account


@user.command()
def ls(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Which users; all by default.")] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """List the users.

    How they log in, what they may do, where, and how much.
    """
    with reading_users(config) as users:
        found = [users.get(name) for name in names] if names else list(users.list())
    if as_json:
        show_json([document(account) for account in found])
    elif found:
        table(("USER", "LOGS IN BY", "MAY", "HOME", "LIMITS"), [_row(account) for account in found])
    else:
        say("there are no users yet; transload user add makes one")
    return WELL


def document(account: Account) -> dict[str, Any]:
    """A user for programs; of a password only whether there is one."""
    from transload.accounts.keys import fingerprint

    limits = account.limits.model_dump(mode="json", exclude_unset=True)
    return {
        "name": account.name,
        "enabled": account.enabled,
        "declared": account.declared,
        "password": account.password is not None,
        "keys": [{"type": key.split()[0], "fingerprint": fingerprint(key)} for key in account.keys],
        "certificate": account.certificate,
        "methods": account.methods,
        "home": account.home,
        "permissions": account.rights.letters,
        "folders": dict(account.rights.folders),
        "limits": limits,
    }


def _row(account: Account) -> tuple[str, ...]:
    ways = ["password"] if account.password else []
    ways += [counted(len(account.keys), "key")] if account.keys else []
    ways += [f"certificate {account.certificate}"] if account.certificate else []
    login = (" and " if account.methods == "key+password" else ", ").join(ways) or "nothing yet"
    may = " ".join([account.rights.letters or "nothing", *(f"{at}={to or 'nothing'}" for at, to in account.rights.folders.items())])
    state = ("" if account.enabled else "DISABLED ") + ("declared" if account.declared else "")
    return account.name, login, may, account.home, " ".join(filter(None, [state.strip(), *_limits(account)])) or "-"


def _limits(account: Account) -> list[str]:
    told = account.limits.model_dump(mode="json", exclude_defaults=True)
    return [f"{key} {_shown(key, value)}" for key, value in told.items()]


def _shown(key: str, value: Any) -> str:
    if key.endswith("rate"):
        return f"{show_size(value)}/s"
    if key in ("quota", "min_size", "max_size"):
        return show_size(value)
    return ",".join(value) if isinstance(value, list) else str(value)


@user.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file, or a TOML file (.toml) with tables [users.NAME].")],
    config: ConfigOption = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Users there are become what the file says, wholly.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only check the file.")] = False,
) -> int:
    """Make many users from a file, all or none.

    Every fault is named with its line. A CSV begins with a line of heads: `name`, and any of password, password_hash (argon2),
    keys, certificate, methods, home, permissions, folders, enabled, quota, quota_files, upload_rate, download_rate, connection_upload_rate,
    connection_download_rate, sessions, protocols, addresses, hours, expires, match, min_size, max_size. What is empty is not
    said. Several keys, patterns or folders in one cell are parted by semicolons, networks and protocols by spaces.
    """
    from transload.cli.rollfile import accounts

    loaded = load(config, secrets=False)
    with reading_users(config) as users:
        made, lines = accounts(file, users)
        there = {account.name for account in users.list()}
        faults = [f"{file}:{lines[name]}: {fault}" for name in lines if (fault := _unwelcome(loaded, name, there, replace=replace))]
        if faults:
            raise ConfigError("\n".join(faults))
    if not dry:
        with at_users(config) as (ledger, users):
            users.put(made, replace=replace)
            ledger.hand.note(who(), "user import", ", ".join(lines), f"from {file}")
    again = len(there & lines.keys())
    word = "would be " if dry else ""
    say(f"{counted(len(made) - again, 'user')} {word}made, {again:,} {word}replaced")
    lacking = [one.name for one in made if not (one.password or one.keys or one.certificate)]
    if lacking:
        warn(f"without a password, key or certificate, so that nobody can log in as: {', '.join(lacking)}")
    return WELL


def _unwelcome(loaded: Any, name: str, there: set[str], *, replace: bool) -> str:
    try:
        refuse_declared(loaded, name)
    except ConfigError as error:
        return str(error)
    return f"{name}: there is a user of that name already; --replace makes it what the file says" if name in there and not replace else ""
