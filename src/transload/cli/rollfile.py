"""A file of users, CSV or TOML, read and checked as a whole: every fault with its line."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transload.errors import ConfigError

if TYPE_CHECKING:
    from transload.accounts import Account
    from transload.accounts.users import Users

_LISTS = ("keys", "protocols", "addresses", "match", "folders")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NONE_YET = "-"


class Line(NamedTuple):
    """One user as the file has it."""

    line: int
    name: str
    told: dict[str, Any]
    lines: Mapping[str, int] = {}
    """Of single settings, where they have their own."""


def accounts(path: Path, users: Users) -> tuple[list[Account], dict[str, int]]:
    """The accounts that a file describes, and the line of each; ConfigError with every fault, one a line."""
    text = _text(path)
    toml = path.suffix.lower() == ".toml"
    found = list(_toml(path, text) if toml else _csv(path, text))
    faults = [fault for one in found for fault in _faults(one, users)]
    first: dict[str, int] = {}
    for one in found:
        if one.name in first:
            faults.append((one.line, f'there is a user "{one.name}" on line {first[one.name]} already'))
        first.setdefault(one.name, one.line)
    if faults:
        raise ConfigError("\n".join(f"{path}:{line}: {fault}" for line, fault in sorted(faults)))
    if not found:
        raise ConfigError(f"{path}: there is no user in it")
    with ThreadPoolExecutor() as pool:  # a password takes its time
        return list(pool.map(lambda one: _made(one, users), found)), first


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8") from error


def _csv(path: Path, text: str) -> Iterator[Line]:
    lines = text.splitlines(keepends=True)
    rows = csv.reader(lines, delimiter=";" if lines and lines[0].count(";") > lines[0].count(",") else ",", strict=True)
    try:
        heads = [head.strip().lower() for head in next(rows, [])]
        if "name" not in heads:
            raise ConfigError(f"{path}:1: wants a line of heads with `name` in it, such as name,password,home,permissions")
        twice = sorted({head for head in heads if heads.count(head) > 1})
        if twice:
            raise ConfigError(f"{path}:1: there are two columns {twice[0] or 'without a head'}")
        at = rows.line_num
        for row in rows:
            begun, at = at + 1, rows.line_num
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(heads):
                raise ConfigError(f"{path}:{begun}: has {len(row)} cells where the heads are {len(heads)}")
            told = {
                head: cell if head.startswith("password") else cell.strip() for head, cell in zip(heads, row, strict=True) if cell.strip()
            }
            yield Line(begun, told.pop("name", ""), {head: _cell(head, cell) for head, cell in told.items()})
    except csv.Error as error:
        raise ConfigError(f"{path}:{rows.line_num}: is no CSV: {error}") from error


def _cell(head: str, cell: str) -> Any:
    if head == "enabled":
        return _YES.get(cell.lower(), cell)
    if head in _LISTS:
        parts = [part.strip() for part in cell.split(";" if head in ("keys", "match", "folders") else None) if part.strip()]
        parts = [part.strip(";,") for part in parts]
        return dict(part.partition("=")[::2] for part in parts) if head == "folders" else parts
    return cell


def _toml(path: Path, text: str) -> Iterator[Line]:
    from transload.config.lines import lines

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{path}:{found[1] if found else 1}: is no TOML: {str(error).partition(' (at ')[0]}") from None
    at = lines(text)
    for key in raw:
        if key != "users" or not isinstance(raw[key], dict):
            raise ConfigError(f"{path}:{at.get((key,), 1)}: {key}: wants tables [users.NAME], and nothing else")
    for name, table in raw.get("users", {}).items():
        line = at.get(("users", name), 1)
        if not isinstance(table, dict):
            raise ConfigError(f"{path}:{line}: users.{name}: wants a table")
        told = dict(table)
        limits = told.pop("limits", {})
        told |= limits if isinstance(limits, dict) else {"limits": limits}
        near = {str(place[-1]): each for place, each in at.items() if place[:2] == ("users", name) and len(place) in (3, 4)}
        yield Line(line, name, told, near)


def _faults(one: Line, users: Users) -> Iterator[tuple[int, str]]:
    """Every fault of a user, looked for setting by setting."""
    who = one.name or _NONE_YET
    for settings in [{}, *({key: value} for key, value in one.told.items())]:
        try:
            _made(Line(one.line, one.name if not settings else "x", settings), users, hashing=False)
        except ConfigError as error:
            yield one.lines.get(next(iter(settings), ""), one.line), f"{who}: {error}"
    if {"password", "password_hash"} <= one.told.keys():
        yield one.line, f"{who}: password_hash: stands beside password; leave one of the two away"


def _made(one: Line, users: Users, *, hashing: bool = True) -> Account:
    from transload.accounts.passwords import check, imported
    from transload.secret import Secret

    told = dict(one.told)
    kept = told.pop("password_hash", None)
    password = told.pop("password", None)
    if isinstance(password, dict):
        password = _revealed(Secret, password)
    if kept is not None:
        kept = imported(str(kept))
    if password is not None:
        check(password)
    made = users.made(one.name, **told)
    if password is not None and hashing:
        return users.made(one.name, **told, password=password)
    return made.model_copy(update={"password": kept}) if kept is not None else made


def _revealed(secret: Any, told: Mapping[str, Any]) -> str:
    try:
        found: str = secret.model_validate(told).reveal()
    except ValueError:
        raise ConfigError('password: wants a text, { env = "NAME" }, { file = "path" } or { command = ["..."] }') from None
    except ConfigError as error:
        raise ConfigError(f"password: {error}") from None
    return found


__all__ = ["accounts"]
