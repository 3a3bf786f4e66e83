"""A log record as one line, in which nothing but printable characters occurs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from transload.model import Name, spell
from transload.secret import scrub

_LONGEST = 32_000
_HEAD = ("time", "level", "logger", "event")


def as_json(record: Mapping[str, Any]) -> str:
    """The record as a JSON object."""
    line = json.dumps(_safe(record), ensure_ascii=False)
    return line if line.isprintable() else "".join(char if char.isprintable() else _json_escape(char) for char in line)


def as_text(record: Mapping[str, Any]) -> str:
    """The record for people: time, level, logger, event, then key=value."""
    time, level, logger, event = (_safe(record[key]) for key in _HEAD)
    rest = _safe({key: value for key, value in record.items() if key not in _HEAD})
    return _plain(" ".join((f"{time} {level:7} {logger}: {event}", *(f"{key}={_value(value)}" for key, value in rest.items()))))


def _value(value: Any) -> str:
    plain = isinstance(value, str) and value and not set(value) & set(' ="')
    return value if plain else json.dumps(value, ensure_ascii=False)


def _safe(value: Any) -> Any:
    """The value in JSON's types, without secrets and of a bearable length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {scrub(str(key)): _safe(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(inner) for inner in value]
    text = scrub(value if isinstance(value, str) else _shown(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte that was no UTF-8
    return char.encode("unicode_escape").decode()


def _json_escape(char: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(char.encode("utf-16-le", "surrogatepass")).cast("H"))


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, bytes):
        return spell(value)
    if isinstance(value, Name):
        return value.text
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a log line must not break what it tells of
        return f"<{type(value).__name__}>"
