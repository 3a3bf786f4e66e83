"""Sizes, times and rates as people write them: "200MB", "10m", "5MB/s"."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_SIZES = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def size(text: object) -> int:
    """The number of bytes in "200MB" (10^6), "1GiB" (2^30) or a plain number; ValueError says what is wanted."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", str(text).lower()) if isinstance(text, str) else None
    if found is None:
        message = 'wants a size such as "200MB" or "1GiB"'
        raise ValueError(message)
    unit = found[2] or ""
    return round(float(found[1]) * (_BINARY.get(unit) or _SIZES[unit]))


def duration(text: object) -> float:
    """The number of seconds in "10m", "1h30m", "250ms" or "0s"; ValueError says what is wanted."""
    if isinstance(text, int | float) and not isinstance(text, bool) and text >= 0:
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", text.lower()) if isinstance(text, str) else []
    if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])|\s", "", str(text).lower()):
        message = 'wants a time such as "10m", "1h30m" or "250ms"'
        raise ValueError(message)
    return sum(float(number) * (0.001 if unit == "ms" else _TIMES[unit]) for number, unit in parts)


def rate(text: object) -> int:
    """The number of bytes a second in "5MB/s"; ValueError says what is wanted."""
    try:
        return size(re.sub(r"\s*/\s*s\s*$", "", text) if isinstance(text, str) else text)
    except ValueError:
        message = 'wants a rate such as "5MB/s"'
        raise ValueError(message) from None


def show_size(count: float) -> str:
    """`count` bytes as a person reads them: 1.5 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def show_duration(seconds: float) -> str:
    """`seconds` as people write them, and as `duration` reads them: 7d, 3d04h, 1d, 28h, 2h05m, 3m20s, 10m, 0.4s.

    Two units at most, what is smaller is left out; more than one day and less than two are told in hours.
    """
    short = round(seconds, 1 if seconds >= 1 else 2)
    if short < 60:
        return f"{short:g}s"
    whole = round(seconds)
    days = whole >= 2 * _TIMES["d"] or whole == _TIMES["d"]
    large, small = ("d", "h") if days else ("h", "m") if whole >= 3600 else ("m", "s")
    count, rest = divmod(whole, _TIMES[large])
    more = rest // _TIMES[small]
    return f"{count}{large}" + (f"{more:02}{small}" if more else "")


def _schema(example: str) -> Any:
    return WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}], "examples": [example]})


ByteSize = Annotated[int, BeforeValidator(size), _schema("200MB")]
Duration = Annotated[float, BeforeValidator(duration), _schema("10m")]
Rate = Annotated[int, BeforeValidator(rate), _schema("5MB/s")]


def printable(text: str) -> str:
    """Text that somebody else made, with a "?" for each character but a line's end that cannot be shown, or kept."""
    return text if text.isprintable() else "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
