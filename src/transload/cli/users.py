"""The commands about one user of our servers: user add, change, passwd, key, grant, rm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from transload.cli.base import WELL, ConfigOption, app, say, who
from transload.cli.people import FromStdin, Keys, UserName, asked, at_users, keys_in, reading_users, say_lack, with_settings
from transload.errors import ConfigError

user = typer.Typer(
    help="Say who may come in by our servers, and what for.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(user, name="user")


@user.command()
@with_settings
def add(name: UserName, config: ConfigOption = None, *, password_stdin: FromStdin = False, key: Keys = None, **settings: Any) -> int:
    """Make a user, who can log in at once.

    Without --permissions it may do all but set modes and times. Without a password, key or certificate it exists, but cannot
    log in. Limits that are not given do not limit.

    \b
    transload user add logger7 --password-stdin --permissions elw --upload-rate 300KB/s < secret
    transload user add partner --key partner.pub --protocol sftp --address 203.0.113.0/24
    """  # noqa: D301 - typer's own mark for lines that are to stay as they are
    settings = _given(settings)
    if key:
        settings["keys"] = keys_in(key)
    if password_stdin:
        settings["password"] = asked(name, stdin=True)
    with at_users(config, name) as (ledger, users):
        account = users.add(name, **settings)
        ledger.hand.note(who(), "user add", name, _named(settings))
    say(f"{name}: made; its home is {account.home}")
    say_lack(account)
    return WELL


@user.command()
@with_settings
def change(
    name: UserName,
    config: ConfigOption = None,
    *,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Let it in, or not.")] = None,
    **settings: Any,
) -> int:
    """Change what is named of a user, and leave the rest.

    `none` takes a limit away: --quota none. Its sessions feel it within five seconds: new rights and limits hold from then on;
    they end where the user is disabled, may no longer be where it is, or has got another home.
    """
    settings = _given({"enabled": enabled, **settings})
    if not settings:
        raise ConfigError("change: name what is to change, such as --disable or --quota 2GB; transload user change --help has all")
    with at_users(config, name) as (ledger, users):
        account = users.change(name, **settings)
        ledger.hand.note(who(), "user change", name, _named(settings))
    say(f"{name}: changed: {_named(settings)}")
    say_lack(account)
    return WELL


@user.command()
def passwd(
    name: UserName,
    config: ConfigOption = None,
    *,
    password_stdin: FromStdin = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the password away: keys and certificates are left.")] = False,
) -> int:
    """Give a user another password.

    It is asked for on a terminal, or read from stdin; never from the command line, which others can see. Sessions that came in
    by the old one end within five seconds.
    """
    with at_users(config, name) as (ledger, users):
        users.get(name)
        account = users.change(name, password=None if remove else asked(name, stdin=password_stdin))
        ledger.hand.note(who(), "user passwd", name, "removed" if remove else None)
    say(f"{name}: the password was {'taken away' if remove else 'changed'}")
    say_lack(account)
    return WELL


@user.command()
def key(
    name: UserName,
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Files of public SSH keys to add, - for stdin.")] = None,
    config: ConfigOption = None,
    *,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="SHA256:...", help="A key to take away, by fingerprint.")] = None,
) -> int:
    """Show, add or remove a user's SSH keys.

    Sessions that came in by a key that is taken away end within five seconds.
    """
    from transload.accounts.keys import fingerprint

    if not files and not remove:
        with reading_users(config) as users:
            for one in users.get(name).keys:
                say(f"{fingerprint(one)} {one.split()[0]}")
        return WELL
    new = keys_in(files or [])
    with at_users(config, name) as (ledger, users):
        has = {fingerprint(one): one for one in users.get(name).keys}
        for one in remove or []:
            if one not in has:
                raise ConfigError(f"{name}: has no key {one}; transload user key {name} shows those it has")
        kept = [one for print_, one in has.items() if print_ not in (remove or [])]
        account = users.change(name, keys=kept + new)
        told = ", ".join([f"added {fingerprint(one)}" for one in new] + [f"removed {one}" for one in remove or []])
        ledger.hand.note(who(), "user key", name, told)
    say(f"{name}: {told}")
    say_lack(account)
    return WELL


@user.command()
def grant(
    name: UserName,
    letters: Annotated[str, typer.Argument(metavar="LETTERS", help="What it may do; `none` for nothing at all.")],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder of the home, from there on; / is the home itself.")] = "/",
    config: ConfigOption = None,
    *,
    inherit: Annotated[bool, typer.Option("--inherit", help="LETTERS is `none`: let the folder have those above it again.")] = False,
) -> int:
    """Say what a user may do, everywhere or in a folder.

    \b
    e enter   l list   r read   a append   w write       d delete
    f rename  m make folder     M set mode  T set time
    transload user grant partner elr           may look and fetch
    transload user grant partner elw /drop     may also put files into /drop
    The deepest folder that is named decides; its letters replace those above it.
    """  # noqa: D301 - typer's own mark for lines that are to stay as they are
    given = "" if letters == "none" else letters
    place = "/" + "/".join(part for part in folder.split("/") if part)
    if not folder.startswith("/") or (inherit and (given or place == "/")):
        raise ConfigError("grant: wants LETTERS and a folder that begins with /; or none, a folder below /, and --inherit")
    with at_users(config, name) as (ledger, users):
        folders = dict(users.get(name).rights.folders)
        if place == "/":
            users.change(name, permissions=given)
        else:
            folders.pop(place, None) if inherit else folders.update({place: given})
            users.change(name, folders=folders)
        told = f"{place}: {'as above it' if inherit else given or 'nothing'}"
        ledger.hand.note(who(), "user grant", name, told)
    say(f"{name}: {told}")
    return WELL


@user.command()
def rm(name: UserName, config: ConfigOption = None) -> int:
    """Remove a user; its files stay. Its sessions end within five seconds."""
    with at_users(config, name) as (ledger, users):
        home = users.get(name).home
        users.remove(name)
        ledger.hand.note(who(), "user rm", name)
    say(f"{name}: removed; its files stay in {home}")
    return WELL


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """What was given on the command line, as `Users` takes it; `none` takes away."""
    settings = {key: value for key, value in options.items() if value not in (None, [])}
    settings = {key: None if value in ("none", ["none"]) else value for key, value in settings.items()}
    if "permissions" in settings:
        settings["permissions"] = settings["permissions"] or ""
    return settings


def _named(settings: dict[str, Any]) -> str:
    """What was set, for the audit and for people; a password only by its name."""
    return ", ".join(f"{key} {_shown(key, value)}" for key, value in settings.items())


def _shown(key: str, value: Any) -> str:
    if key in ("password", "keys"):
        return "set"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(value) or "none"
    return "none" if value is None else str(value)
