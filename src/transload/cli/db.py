"""The commands about the ledger itself: db upgrade, check, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transload.cli.base import UNWELL, WELL, ConfigOption, JsonOption, app, load, say, show_json, warn
from transload.units import show_size

db = typer.Typer(
    help="Look after the ledger: upgrade, check, backup, restore.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(db, name="db")

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup: a SQLite file, or PostgreSQL's custom format.")]


@db.command()
def upgrade(config: ConfigOption = None) -> int:
    """Bring the ledger's schema to this program's version.

    As it has to be after an update. Stop `transload up` first, and take a backup: there is no way down. It is done wholly or not at all.
    """
    from transload.ledger.care import upgrade as bring_up

    before, after = bring_up(load(config, secrets=False).database_url)
    made = "made" if before is None else f"from {before}"
    say(f"the schema is {after} already: nothing to do" if before == after else f"the schema is {after} now ({made})")
    return WELL


@db.command()
def check(config: ConfigOption = None, *, as_json: JsonOption = False) -> int:
    """Examine the ledger, and change nothing.

    Every page of the database, and that what belongs together is together. It may run beside `transload up`.
    Exits 1 when something is found.
    """
    from transload.ledger.care import check as examine

    faults = examine(load(config, secrets=False).database_url)
    if as_json:
        show_json({"sound": not faults, "faults": faults})
    elif faults:
        for fault in faults:
            warn(fault)
    else:
        say("the ledger is sound")
    return UNWELL if faults else WELL


@db.command()
def backup(file: BackupFile, config: ConfigOption = None) -> int:
    """Write a consistent copy of the ledger to FILE.

    Also beside a running `transload up`. Overwrites nothing. The spool is no part of it: back up its folder after the ledger,
    and both fit together. For PostgreSQL it needs pg_dump.
    """
    from transload.ledger.care import backup as write_copy

    size = write_copy(load(config, secrets=False).database_url, file)
    say(f"{file}: {show_size(size)}")
    return WELL


@db.command()
def restore(file: BackupFile, config: ConfigOption = None) -> int:
    """Put a backup in the place of the ledger.

    Of one that is damaged, lost, or older than the backup. Stop `transload up` first. The backup is examined before anything is
    touched, and the old file is kept beside the new one. Into PostgreSQL it goes only where the database is empty. What arrived
    since the backup is seen as new: a destination that has the same bytes under that name already is left as it is.
    """
    from transload.ledger.care import restore as put_back

    aside = put_back(load(config, secrets=False).database_url, file)
    say(f"the ledger is as it was in {file}" + (f"; the old one is {aside}" if aside else ""))
    return WELL
