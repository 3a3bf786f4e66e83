"""Whether a file is JSON, or has JSON in each of its lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, BinaryIO

from transload.steps.format.faults import LONGEST, failed, too_long

_OFTEN = 10_000
_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


class _Depth(int):
    """What stands in the place of an object that was read: how deep it is nested."""

    __slots__ = ()


def check_json(data: bytes, most: int, line: int = 0) -> None:
    """`line` is where the text stands in a file of several."""
    text = _utf8(data, line)
    try:
        whole = json.loads(text, object_pairs_hook=_object, parse_int=_nothing, parse_float=_nothing, parse_constant=_no_number)
        deep = _depth(whole) > most
    except json.JSONDecodeError as error:
        raise failed(error.msg, error.lineno + max(0, line - 1), error.colno) from error
    except _NotJsonError as error:
        raise failed(str(error), *_where(text, line, number=error.number)) from error
    except RecursionError:
        deep = True
    if deep:
        raise failed(f"nested more than {most} deep", line)


class _NotJsonError(Exception):
    """Python takes it, and others do not; `number` says whether it is one that is none."""

    def __init__(self, message: str, *, number: bool = False) -> None:
        super().__init__(message)
        self.number = number


def _utf8(data: bytes, line: int) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        at = data.count(b"\n", 0, error.start) + max(1, line)
        raise failed("it is not UTF-8", at, error.start - start + 1) from error
    if text.startswith("\ufeff"):
        raise failed("it begins with a byte order mark, which JSON must not have", max(1, line), 1)
    return text


def _object(pairs: list[tuple[str, Any]]) -> _Depth:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _NotJsonError(f"the key {json.dumps(twice)[:100]} stands twice in one object")
    return _Depth(1 + max(map(_depth, values.values()), default=0))


def _depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return value if isinstance(value, _Depth) else 0


def _nothing(_: str) -> None:
    """A number's value is not asked for: it may have millions of digits."""


def _no_number(word: str) -> None:
    raise _NotJsonError(f"{word} is no JSON", number=True)


def _where(text: str, line: int, *, number: bool) -> tuple[int, int]:
    found = next((one for one in _NO_NUMBER.finditer(text) if one[1]), None) if number else None
    if found is None:
        return line, 0
    return text.count("\n", 0, found.start()) + max(1, line), found.start() - text.rfind("\n", 0, found.start())


def check_json_lines(file: BinaryIO, most: int, go_on: Callable[[], None]) -> int:
    """How many there are."""
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise too_long(number)
        if not number % _OFTEN:
            go_on()
        check_json(line.rstrip(b"\r\n"), most, number)
    return number
