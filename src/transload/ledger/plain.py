"""Plain SQL for what is done for every single file, where the expression language would cost more than the database.

A `?` stands for a value; `in ?` takes a list of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection


def rows(connection: Connection, sql: str, *values: Any) -> Any:
    """What a statement gives (or does)."""
    if connection.dialect.name == "sqlite":
        flat: list[Any] = []
        for value in values:
            flat += value if isinstance(value, list) else (value,)
        return connection.exec_driver_sql(_listed(sql, tuple(len(one) if isinstance(one, list) else None for one in values)), tuple(flat))
    text = _arrayed(sql, tuple(_kind(value) for value in values))
    given = tuple(value for value in values if value != [])
    return connection.exec_driver_sql(text, (given[-1], *given[:-1]) if "wanted(one)" in text else given)


def each(connection: Connection, sql: str, lines: Sequence[tuple[Any, ...]]) -> None:
    """Do a statement once for every line of values."""
    if lines:
        connection.exec_driver_sql(sql if connection.dialect.name == "sqlite" else sql.replace("?", "%s"), list(lines))


def _kind(value: Any) -> str | None:
    """What a list is a list of, for PostgreSQL; None for what is no list."""
    if not isinstance(value, list):
        return None
    return _KINDS[type(value[0])] if value else ""


_KINDS = {bytes: "bytea", str: "text", int: "bigint"}


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
