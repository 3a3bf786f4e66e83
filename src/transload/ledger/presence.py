"""Signs of life that end with the process: a file lock beside SQLite, an advisory lock inside PostgreSQL."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from transload.errors import LedgerAway
from transload.ledger.database import Database, telling
from transload.ledger.fleet import Worker

SILENCE = 60.0
"""Seconds without a heartbeat after which a process counts as dead, though its lock still holds (it is frozen)."""
_STANDING = ("keeper", "telling-")
"""How the locks are called that several take in turn: their files stay, or two could hold two files of one name."""
# The two halves of the lock's number are told apart; only sessions of the same role may be ended, and only those are named to us.
_EVICT = """
select pg_terminate_backend(theirs.pid) from pg_locks held
join pg_stat_activity holder on holder.pid = held.pid
join pg_stat_activity theirs on theirs.application_name = holder.application_name and theirs.datid = holder.datid
where held.locktype = 'advisory' and held.granted and holder.datname = current_database() and holder.pid <> pg_backend_pid()
and (held.classid::bigint << 32 | held.objid::bigint) = hashtextextended(:name, 0)
and holder.application_name like 'transload %'
"""


class Presence:
    """Locks named by text, held until released or until the process ends."""

    def __init__(self, database: Database, *, silence: float = SILENCE) -> None:
        """Locks beside (or inside) this database; `silence` is how long (seconds) a process may be without a heartbeat."""
        self._db, self._silence = database, silence
        self._held: dict[str, int | Connection] = {}
        self._lost: set[str] = set()
        self._beats: dict[str, tuple[int, float]] = {}
        self._guard = threading.Lock()

    def hold(self, name: str) -> bool:
        """Take the lock of that name, without waiting; True when this process has it (already).

        What was held and went with the database server is taken anew.
        """
        with self._guard:
            self._lost |= {other for other in list(self._held) if not self._still(other)}
            for lost in list(self._lost):
                if self._take(lost):
                    self._lost.discard(lost)
            return name in self._held or self._take(name)

    def free(self, name: str) -> bool:
        """Whether nobody holds the lock of that name."""
        with self._guard:
            if name in self._held:
                return False
            taken = self._lock(name)
            if taken is not None:
                self._give_back(taken, name)
            return taken is not None

    def release(self, name: str) -> None:
        """Give the lock back, if it is ours."""
        with self._guard:
            self._lost.discard(name)
            taken = self._held.pop(name, None)
            if taken is not None:
                self._give_back(taken, name)

    def close(self) -> None:
        """Give all locks back."""
        for name in list(self._held):
            self.release(name)

    def is_dead(self, worker: Worker) -> bool:
        """Whether that process has ended, or has been silent for too long while this one looked on.

        It is this process's own patience that counts: clocks of two machines differ, and any clock may be set.
        """
        beat, since = self._beats.get(worker.id, (None, 0.0))
        if beat != worker.beat:
            beat, since = worker.beat, time.monotonic()
            self._beats[worker.id] = beat, since
        return time.monotonic() - since > self._silence or self.free(worker.id)

    def evict(self, worker: str) -> None:
        """End the database sessions of a process that counts as dead but holds its lock: it is frozen, perhaps inside a transaction.

        The server's own limit for such (idle_in_transaction_session_timeout) does not see one that was frozen right after
        several statements that it sent in one go. Beside SQLite there are no sessions; should it go on, it makes new ones.
        """
        if not self._db.sqlite:
            with self._db.write() as connection:
                connection.execute(text(_EVICT), {"name": worker})

    def _take(self, name: str) -> bool:
        taken = self._lock(name)
        if taken is not None:
            self._held[name] = taken
        return taken is not None

    def _lock(self, name: str) -> int | Connection | None:
        return _lock_file(_path(self._db.where, name)) if self._db.sqlite else self._lock_row(name)

    def _lock_row(self, name: str) -> Connection | None:
        with telling(self._db.where):
            connection = self._db.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                taken = connection.execute(text("select pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}).scalar()
            except BaseException:
                connection.close()
                raise
        if taken:
            # It is out of the pool as long as it is held.
            connection.detach()
            return connection
        connection.close()
        return None

    def _still(self, name: str) -> bool:
        held = self._held[name]
        if isinstance(held, int):
            return True
        try:
            held.execute(text("select 1"))
        except DBAPIError:
            # The server went away and took the lock with it.
            del self._held[name]
            held.invalidate()
            held.close()
            return False
        return True

    def _give_back(self, taken: int | Connection, name: str) -> None:
        if isinstance(taken, int):
            if not name.startswith(_STANDING):
                _path(self._db.where, name).unlink(missing_ok=True)
            os.close(taken)
            return
        try:
            taken.execute(text("select pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": name})
        except DBAPIError:
            # It is gone already, with the server.
            taken.invalidate()
        taken.close()


def locked(ledger: Path) -> list[str]:
    """Whose locks beside a SQLite ledger are held."""
    held = []
    for path in sorted(_path(str(ledger), "").glob("*")):
        descriptor = _lock_file(path)
        if descriptor is None:
            held.append(path.name)
        else:
            os.close(descriptor)
    return held


def _path(ledger: str, name: str) -> Path:
    return Path(f"{ledger}-locks", name)


def _lock_file(path: Path) -> int | None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerAway(f"the lock {path} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
