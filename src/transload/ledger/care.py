"""Care of the ledger itself: its schema brought up to date, its soundness, backups and their return."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from transload.errors import ConfigError, LedgerAway
from transload.ledger.database import VERSION, Database
from transload.ledger.fleet import Fleet
from transload.ledger.plain import rows
from transload.ledger.presence import Presence, locked

if TYPE_CHECKING:
    from sqlalchemy import URL

MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(url: str, *, scripts: Path = MIGRATIONS) -> tuple[str | None, str]:
    """Bring the schema up to date in one transaction; gives the versions before and after.

    Raises ConfigError when it is of a newer program, or in use by a process that would not understand it any more.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    with _opened(url) as database:
        before = database.version()
        head = str(ScriptDirectory(str(scripts)).get_current_head())
        if before is not None and before > head:
            raise ConfigError(f"the ledger {database.where} is of schema {before}, newer than {head}: there is no way down but a backup")
        _refuse_use(database)
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        with database.write() as connection:
            database.alone(connection, "schema")
            if not connection.in_transaction():
                connection.begin()  # else Alembic would take the transaction for its own, and commit each migration
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before, head


def check(url: str) -> list[str]:
    """What is wrong with the ledger, a line each; nothing when it is sound."""
    with _opened(url) as database:
        version = database.version()
        if version != VERSION:
            return [f"the schema is {version or 'not there'}, this program wants {VERSION}"]
        fault = database.check()
        if fault:
            return [f"the database is damaged: {line}" for line in fault.splitlines()]
        with database.read() as connection:
            return [f"{count:,} {told}" for told, query in _FAULTS.items() if (count := rows(connection, query).scalar())]


def backup(url: str, file: Path) -> int:
    """Write a consistent copy of the ledger, also while it is in use, to a file that is not there yet; gives its size."""
    if file.exists():
        raise ConfigError(f"{file} is there already; a backup replaces nothing")
    part = file.with_name(f".{file.name}.part")
    try:
        with _opened(url) as database:
            if database.sqlite:
                _copy(Path(database.where), part)
            else:
                _postgres("pg_dump", database.url, "--format=custom", f"--file={part}")
        _sync(part)
        part.rename(file)
        _sync(file.parent)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def restore(url: str, file: Path) -> str:
    """Put a backup in the ledger's place; gives where the old one was put, or nothing when there was none.

    The backup is examined first. Raises ConfigError when it is no sound backup, of a newer program, or older than a sound
    ledger that is there, and when the ledger is in use.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file")
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        return _restore_file(Path(parts.database or ""), file)
    with _opened(url) as database:
        _restore_postgres(database, file)
    return ""


def _restore_file(path: Path, file: Path) -> str:
    theirs = _examined(file)
    held = locked(path)
    if held:
        raise ConfigError(f"the ledger {path} is in use by {', '.join(held)}: stop it first")
    ours = _last(path)
    if ours is not None and ours > theirs:
        raise ConfigError(f"the ledger {path} is sound and knows more ({ours} events) than {file} ({theirs}): move it away first")
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _copy(file, part)
    aside = _aside(path)
    part.replace(path)
    _sync(path.parent)
    return aside


def _aside(path: Path) -> str:
    """Keep the old file and its log beside the new one: a log left in place would be read into the new file."""
    if not path.exists():
        return ""
    aside = f"{path}.before-{time.strftime('%Y%m%dT%H%M%S')}"
    os.link(path, aside)
    for end in ("-wal", "-shm"):
        if Path(f"{path}{end}").exists():
            Path(f"{path}{end}").rename(f"{aside}{end}")
    return aside


def _examined(file: Path) -> int:
    """The number of the newest event of a backup; ConfigError when it is none."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source:
            [sound] = source.execute("pragma integrity_check(1)").fetchone()
            if sound != "ok":
                raise ConfigError(f"{file} is damaged: {sound}")
            [version] = source.execute("select version_num from alembic_version").fetchone()
            if version > VERSION:
                raise ConfigError(f"{file} is of schema {version}, newer than this program's {VERSION}")
            [last] = source.execute("select coalesce(max(id), 0) from events").fetchone()
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{file} is no backup of a ledger: {error}") from error
    return int(last)


def _last(path: Path) -> int | None:
    """The number of the newest event of the ledger that is there, None when there is none that could be read."""
    try:
        return _examined(path) if path.exists() else None
    except ConfigError:
        return None


def _copy(source: Path, target: Path) -> None:
    """A consistent copy, whatever others write meanwhile."""
    target.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
            new.execute("pragma journal_mode = delete")
            [sound] = new.execute("pragma integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise LedgerAway(f"{source} cannot be copied to {target.parent}: {error}") from error
    if sound != "ok":
        target.unlink()
        raise LedgerAway(f"the ledger {source} is damaged: {sound}")


def _restore_postgres(database: Database, file: Path) -> None:
    _postgres("pg_restore", None, "--list", str(file))
    with database.read() as connection:
        if inspect(connection).has_table("arrivals") and rows(connection, "select 1 from events limit 1").first():
            raise ConfigError(f"the ledger {database.where} is not empty: a backup goes into an empty database only")
    _refuse_use(database)
    words = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
    _postgres("pg_restore", database.url, *words, f"--dbname={database.url.database}", str(file))


def _postgres(program: str, url: URL | None, *words: str) -> None:
    """Run one of PostgreSQL's own programs; ConfigError when it is not there or does not succeed."""
    found = shutil.which(program) or next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))[-1:]), None)
    if found is None:
        raise ConfigError(f"{program} is not installed here: it comes with PostgreSQL's client programs")
    env = dict(os.environ)
    if url is not None:
        given = {"PGHOST": url.host or url.query.get("host"), "PGPORT": url.port or url.query.get("port"), "PGUSER": url.username}
        given |= {"PGPASSWORD": url.password, "PGDATABASE": url.database}
        env |= {key: str(value) for key, value in given.items() if value}
    done = subprocess.run([found, *words], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{program} did not succeed: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")


def _refuse_use(database: Database) -> None:
    """A process at work would go on with what is no longer so."""
    if database.version() is None:
        return
    presence = Presence(database)
    alive = [worker.id for worker in Fleet(database).workers() if not presence.free(worker.id)]
    if alive:
        raise ConfigError(f"the ledger {database.where} is in use by {', '.join(alive)}: stop it first")


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    with closing(Database(url, prepare=False)) as database:
        yield database


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_FAULTS = {
    "deliveries are of no arrival": "select count(*) from deliveries d where not exists (select 1 from arrivals a where a.id = d.arrival)",
    "remembered files are of no arrival": "select count(*) from known k where not exists (select 1 from arrivals a where a.id = k.arrival)",
    "names are held by no arrival": (
        "select count(*) from names n where n.arrival > 0 and not exists (select 1 from arrivals a where a.id = n.arrival)"
    ),
    "files are ready and owe nothing": (
        "select count(*) from arrivals a where a.state = 'ready' and not exists "
        "(select 1 from deliveries d where d.arrival = a.id and d.state in ('owed', 'staged'))"
    ),
    "files were received without a hash": "select count(*) from arrivals where state in ('ready', 'delivered') and sha256 is null",
    "files are quarantined, and the quarantine knows nothing of them": (
        "select count(*) from arrivals a where a.state = 'quarantined' and not exists "
        "(select 1 from quarantine q where q.arrival = a.id and q.state = 'held')"
    ),
    "files are in the hands of nobody": (
        "select count(*) from arrivals a where a.claim is not null and not exists (select 1 from claims c where c.id = a.claim)"
    ),
    "deliveries are in the hands of nobody": (
        "select count(*) from deliveries d where d.claim is not null and not exists (select 1 from claims c where c.id = d.claim)"
    ),
}
"""What must never be, and how many there are of it."""

__all__ = ["MIGRATIONS", "backup", "check", "restore", "upgrade"]
