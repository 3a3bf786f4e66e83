"""Plain SQL for what is done for every single file, where the expression language would cost more than the database.

A `?` stands for a value; `in ?` takes a list of them.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


class Found:
    """What a statement gives; SQLAlchemy's own result costs many times what SQLite does for it."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def all(self) -> list[Any]:
        """Every row."""
        return self._cursor.fetchall()

    def first(self) -> Any:
        """The first row, if there is one."""
        row = self._cursor.fetchone()
        self._cursor.close()
        return row

    def scalar(self) -> Any:
        """The first value of the first row, if there is one."""
        row = self.first()
        return row[0] if row else None


def rows(connection: Connection, sql: str, *values: Any) -> Any:
    """What a statement gives (or does)."""
    if connection.dialect.name == "sqlite":
        flat: list[Any] = []
        for value in values:
            flat += value if isinstance(value, list) else (value,)
        text = _listed(sql, tuple(len(one) if isinstance(one, list) else None for one in values))
        with telling_plainly(text):
            return Found(bare(connection).execute(text, flat))
    text = _arrayed(sql, tuple(_kind(value) for value in values))
    given = tuple(value for value in values if value != [])
    return connection.exec_driver_sql(text, (given[-1], *given[:-1]) if "wanted(one)" in text else given)


def each(connection: Connection, sql: str, lines: Sequence[tuple[Any, ...]]) -> None:
    """Do a statement once for every line of values."""
    if not lines:
        return
    if connection.dialect.name == "sqlite":
        with telling_plainly(sql):
            _each(bare(connection), sql, lines)
    else:
        connection.exec_driver_sql(sql.replace("?", "%s"), list(lines))


def _each(connection: sqlite3.Connection, sql: str, lines: Sequence[tuple[Any, ...]]) -> None:
    """Several lines in one statement where they are inserted: the interpreter's lock is let go, and asked for again, once for them all."""
    for at in range(0, len(lines), _TOGETHER):
        some = lines[at : at + _TOGETHER]
        text = _many(sql, len(some))
        if text is None:
            connection.executemany(sql, lines)
            return
        connection.execute(text, [value for line in some for value in line])


def bare(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection below."""
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


class telling_plainly:  # noqa: N801 - used like a function, and quicker than a generator
    """SQLite's errors are told as SQLAlchemy tells them."""

    __slots__ = ("_sql",)

    def __init__(self, sql: str) -> None:
        self._sql = sql

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise DBAPIError.instance(self._sql, None, error, sqlite3.Error) from error


def _kind(value: Any) -> str | None:
    """What a list is a list of, for PostgreSQL; None for what is no list."""
    if not isinstance(value, list):
        return None
    return _KINDS[type(value[0])] if value else ""


_KINDS = {bytes: "bytea", str: "text", int: "bigint"}


_TOGETHER = 16
_INSERT = re.compile(r"(insert into .* values )(\([?, ]+\))(.*)")


@lru_cache(256)
def _many(sql: str, count: int) -> str | None:
    """The statement for so many lines at once, if it inserts them."""
    found = _INSERT.fullmatch(sql)
    return found and found[1] + ", ".join([found[2]] * count) + found[3]


@lru_cache(256)
def _listed(sql: str, counts: tuple[int | None, ...]) -> str:
    parts = sql.split("?")
    marks = ("?" if count is None else "(" + ",".join("?" * count) + ")" for count in counts)
    return parts[0] + "".join(mark + part for mark, part in zip(marks, parts[1:], strict=True))


@lru_cache(256)
def _arrayed(sql: str, kinds: tuple[str | None, ...]) -> str:
    if sql.startswith("select") and sql.endswith(" in ?") and kinds[-1]:
        # One look into the index for each of them, whatever the planner believes of a table that has just grown.
        sql = f"{sql[:-5]} = wanted.one offset 0"
        look = sql.replace("?", "%s")
        return f"select found.* from unnest(%s::{kinds[-1]}[]) as wanted(one) cross join lateral ({look}) as found"  # noqa: S608
    parts = sql.split("?")
    marks = ("%s" if kind is None else f"(%s::{kind}[])" if kind else "(null)" for kind in kinds)
    joined = parts[0] + "".join(mark + part for mark, part in zip(marks, parts[1:], strict=True))
    return joined.replace(" in (%s::", " = any(%s::")
