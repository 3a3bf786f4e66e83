"""The database under the ledger: SQLite with WAL and FULL sync, or PostgreSQL; one transaction per call."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import ARRAY, ColumnElement, Connection, Engine, any_, create_engine, event, insert, inspect, literal, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from transload.errors import Busy, ConfigError, Full, LedgerAway
from transload.ledger.plain import bare, telling_plainly
from transload.ledger.schema_of_notices import tables

VERSION = "0004"
_BUSY = 60.0
FROZEN = 20.0
"""A process that is frozen inside a transaction holds its locks: after so many seconds PostgreSQL takes them away."""
# A plan that was made while a table was small would be kept while it grows: every statement is planned for the table as it is.
_POSTGRES = {
    "connect_timeout": 10,
    "options": f"-c plan_cache_mode=force_custom_plan -c idle_in_transaction_session_timeout={FROZEN * 1000:.0f}",
}


class NoRoom(LedgerAway, Full):
    """The disk of the ledger is full; it goes on by itself when there is room."""


class Database:
    """An engine, and transactions that say in one line why they could not be had."""

    def __init__(self, url: str, *, busy: float = _BUSY, prepare: bool = True) -> None:
        """Connect to `url`; a SQLite file and an empty schema are made when absent.

        `busy` is how long (seconds) another process may keep us from writing; without `prepare` the schema is neither made nor
        looked at. Raises LedgerAway when it cannot be reached or is damaged, ConfigError when its schema is of another version.
        """
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.where = self.url.database or "" if self.sqlite else self.url.render_as_string(hide_password=True)
        self._busy = busy
        self._writing = threading.Lock()
        self._writer: Connection | None = None
        """The connection that wrote last, kept for the next: there is never more than one that writes."""
        self.engine = self._sqlite_engine() if self.sqlite else self._postgres_engine()
        try:
            if prepare:
                self._prepare()
        except BaseException:
            self.close()
            raise

    def version(self) -> str | None:
        """The version of the schema that is there, None for none."""
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found = connection.execute(text("select version_num from alembic_version")).scalar()
            return None if found is None else str(found)

    def _sqlite_engine(self) -> Engine:
        path = Path(self.where)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LedgerAway(f"the ledger {path} cannot be made: {error.strerror}: {error.filename}") from error
        _refuse_damaged(path)
        engine = create_engine(
            self.url, connect_args={"timeout": self._busy, "isolation_level": None, "check_same_thread": False}, pool_size=16
        )
        event.listen(engine, "connect", _settings)
        return engine

    def _postgres_engine(self) -> Engine:
        url = self.url.set(drivername="postgresql+psycopg")
        # All sessions of one process have one name, which no other process has (see Presence.evict).
        told = _POSTGRES | {"application_name": f"transload {os.getpid()} {uuid4().hex}"}
        return create_engine(url, pool_size=8, max_overflow=24, pool_pre_ping=True, connect_args=told)

    def _prepare(self) -> None:
        found = self.version()
        if found is None:
            found = self._make()
        if found != VERSION:
            remedy = "run `transload db upgrade`" if found < VERSION else "install the newer Transload that wrote it"
            raise ConfigError(f"the ledger {self.where} is of schema {found}, this program wants {VERSION}: {remedy}")

    def _make(self) -> str:
        with self.write() as connection:
            self.alone(connection, "schema")
            if not inspect(connection).has_table("alembic_version"):
                tables.create_all(connection)
                connection.execute(text("create table alembic_version (version_num varchar(32) not null primary key)"))
                connection.execute(text("insert into alembic_version values (:version)"), {"version": VERSION})
            return str(connection.execute(text("select version_num from alembic_version")).scalar())

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; committed at the end, rolled back if anything raises."""
        if not self.sqlite:
            with telling(self.where), self.engine.begin() as connection:
                yield connection
            return
        with self._writing, telling(self.where):
            connection = self._writer or self.engine.connect()
            self._writer = None
            try:
                with telling_plainly("begin and commit"):
                    bare(connection).execute("begin immediate")
                yield connection
                with telling_plainly("begin and commit"):
                    bare(connection).execute("commit")
                if connection.in_transaction():
                    connection.rollback()  # of SQLAlchemy's own transaction, which has nothing left in it
            except BaseException:
                # What is not committed is rolled back when the connection is given back.
                connection.close()
                raise
            self._writer = connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view to read from."""
        with telling(self.where), self.engine.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("begin")
            yield connection

    def add_all(self, connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
        """Insert `rows`, if any."""
        if rows:
            connection.execute(insert(table), rows)

    def among(self, column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
        """Whether the column has one of these values: many thousands are one parameter for PostgreSQL."""
        if self.sqlite:
            among: ColumnElement[bool] = column.in_(values)
        else:
            among = column == any_(literal(list(values), ARRAY(column.type)))
        return among

    def alone(self, connection: Connection, what: str) -> None:
        """Let no other transaction that says the same go on before this one has ended (SQLite has one writer anyhow)."""
        if not self.sqlite:
            connection.execute(text("select pg_advisory_xact_lock(hashtext(:what))"), {"what": f"transload {what}"})

    def check(self) -> str:
        """What is wrong inside the database, or nothing."""
        with self.read() as connection:
            if self.sqlite:
                found = connection.exec_driver_sql("pragma integrity_check").scalar()
                return "" if found == "ok" else str(found)
            connection.execute(select(text("count(*)")).select_from(text("arrivals")))
            return ""

    def close(self) -> None:
        """Give all connections back."""
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        self.engine.dispose()


def now() -> int:
    """The present, in microseconds since 1970."""
    return time.time_ns() // 1000


def _settings(connection: Any, _record: Any) -> None:
    for pragma in ("journal_mode=wal", "synchronous=full", "temp_store=memory", "cache_size=-32000", "wal_autocheckpoint=4000"):
        set_pragma(connection, pragma)


def _refuse_damaged(path: Path) -> None:
    """A SQLite file that is cut off or no database is refused before anything is written to it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"the ledger {path} cannot be read: {error.strerror}"
        raise LedgerAway(message) from error
    fault = _damage(head, size, wal=Path(f"{path}-wal").exists())
    if fault:
        message = (
            f"the ledger {path} is damaged ({fault}); nothing was changed: restore it with `transload db restore BACKUP`, "
            "or move it away and run `transload adopt` on a new one"
        )
        raise LedgerAway(message)


def _damage(head: bytes, size: int, *, wal: bool) -> str:
    if size == 0:
        return "" if not wal else "it is empty beside its write-ahead log"
    if len(head) < 100 or head[:16] != b"SQLite format 3\0":
        return "it is no SQLite database"
    page = int.from_bytes(head[16:18]) or 1
    page = 65536 if page == 1 else page
    pages = int.from_bytes(head[28:32])
    if not wal and size < pages * page:
        return f"it has {size} bytes of {pages * page}"
    return ""


def _is_full(where: str) -> bool:
    try:
        found = os.statvfs(Path(where).parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 1 << 20


@contextmanager
def telling(where: str) -> Iterator[None]:
    """Turn what the database says into one line and an error of ours."""
    try:
        yield
    except OperationalError as error:
        raise _told(where, error) from error
    except IntegrityError as error:
        raise Busy(f"the ledger {where} was written by another at the same moment: {_cause(error)}") from error
    except PoolTimeout as error:
        raise LedgerAway(f"the ledger {where} cannot be used: all connections to it are in use") from error
    except DBAPIError as error:
        if error.connection_invalidated or (
            isinstance(error.orig, sqlite3.DatabaseError) and not isinstance(error.orig, sqlite3.IntegrityError)
        ):
            raise _told(where, error) from error
        raise


def _cause(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]


def _told(where: str, error: DBAPIError) -> Exception:
    cause = _cause(error)
    if "disk is full" in cause or "No space left" in cause or ("disk I/O" in cause and _is_full(where)):
        return NoRoom(f"the ledger {where} has no room ({cause}): it goes on by itself when there is some")
    if "malformed" in cause or "not a database" in cause:
        return LedgerAway(f"the ledger {where} is damaged ({cause}): restore it with `transload db restore BACKUP`")
    return LedgerAway(f"the ledger {where} cannot be used: {cause}")


def set_pragma(connection: sqlite3.Connection, pragma: str) -> None:
    """Set a pragma, also while another process that has just begun sets the journal: there SQLite itself waits for nobody."""
    until = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute(f"pragma {pragma}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


__all__ = ["FROZEN", "VERSION", "Database", "NoRoom", "now", "set_pragma", "telling"]
