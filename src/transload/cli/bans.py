"""The commands about wrong logins: ban ls, ban rm."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from transload.cli.base import (
    UNWELL,
    WELL,
    ConfigOption,
    JsonOption,
    app,
    clock,
    counted,
    load,
    moment,
    reading,
    say,
    show_json,
    table,
    warn,
    who,
)
from transload.errors import ConfigError

ban = typer.Typer(
    help="See who tried wrong passwords too often, and forgive.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(ban, name="ban")


@ban.command()
def ls(
    config: ConfigOption = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also wrong logins that led to no ban, and bans that are over.")] = False,
    as_json: JsonOption = False,
) -> int:
    """List who is banned, the newest first.

    Addresses, and users at one address. [servers.bans] in the config says after how many wrong logins, for how long, and which
    networks never are.
    """
    now = time.time_ns() // 1000
    with reading(load(config, secrets=False)) as ledger:
        found = [one for one in (ledger.bans.all() if ledger else ()) if everything or (one.until or 0) > now]
    if as_json:
        show_json([_document(one, now) for one in found])
    elif found:
        rows = [(*_split(one.key), str(one.strikes), clock(one.last), clock(one.until)) for one in found]
        table(("ADDRESS", "USER", "WRONG", "LAST", "UNTIL"), rows, right=(2,))
    else:
        say("nobody is banned")
    return WELL


def _split(key: str) -> tuple[str, str]:
    address, _, user = key.partition(" ")
    return address, user or "-"


def _document(one: Any, now: int) -> dict[str, Any]:
    address, _, user = one.key.partition(" ")
    return {
        "address": address,
        "user": user or None,
        "strikes": one.strikes,
        "last": moment(one.last),
        "until": moment(one.until),
        "banned": (one.until or 0) > now,
        "reason": one.reason,
    }


@ban.command()
def rm(
    addresses: Annotated[list[str] | None, typer.Argument(metavar="ADDRESS", help="Addresses, or networks as ban ls shows them.")] = None,
    config: ConfigOption = None,
    *,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only of this user; at any address if none is named.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Forgive everybody.")] = False,
) -> int:
    """Forgive wrong logins.

    A ban is over, and counting begins anew; servers feel it within five seconds. Exits 1 when there was nothing to forgive.
    """
    from transload.accounts.addresses import source

    if not (addresses or user or everybody) or (everybody and (addresses or user)):
        raise ConfigError("ban rm: name an address, --user NAME, or --all; transload ban ls shows them")
    places = {source(one) for one in addresses or ()} | set(addresses or ())
    with reading(load(config, secrets=False)) as ledger:
        keys = [one.key for one in (ledger.bans.all() if ledger else ()) if _is_meant(one.key, places, user)]
        if ledger and keys:
            ledger.bans.lift(keys)
            ledger.hand.note(who(), "ban rm", ", ".join(keys))
    if not keys:
        warn("there was nothing to forgive; transload ban ls --all shows all there is")
        return UNWELL
    for key in keys:
        say(f"{key}: forgiven")
    say(f"{counted(len(keys), 'entry').replace('entrys', 'entries')} forgotten")
    return WELL


def _is_meant(key: str, places: set[str], user: str | None) -> bool:
    address, _, name = key.partition(" ")
    return (not places or address in places) and (user is None or name == user)
