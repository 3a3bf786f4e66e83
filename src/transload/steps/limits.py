"""The step `limits`: size, name and age must be what was agreed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from transload.errors import Rejected
from transload.patterns import Patterns, compiled
from transload.steps.base import FileView, Output, Scratch, Step
from transload.units import ByteSize, Duration, show_duration, show_size

_MICRO = 1_000_000


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _usable(text: str) -> str:
    compiled(text)
    return text


_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_Globs = Annotated[tuple[Annotated[str, AfterValidator(_usable)], ...], BeforeValidator(_listed), WithJsonSchema(_TEXTS)]


class Limited(Step):
    """Refuse a file whose size, name or age is not what was agreed."""

    kind: Literal["limits"] = "limits"
    min_size: ByteSize | None = Field(None, description="The smallest that a file may be; 1 refuses empty files.")
    max_size: ByteSize | None = Field(None, description="The largest that a file may be.")
    names: _Globs = Field((), description="Patterns of which the name must match one; any name where there is none.")
    min_age: Duration | None = Field(None, description="How long ago it must have been modified; a file without a time passes.")
    max_age: Duration | None = Field(None, description="How long ago it may have been modified; a file without a time passes.")

    @model_validator(mode="after")
    def _possible(self) -> Limited:
        for low, high in (("min_size", "max_size"), ("min_age", "max_age")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                message = f"{low} is above {high}: nothing would pass"
                raise ValueError(message)
        return self

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """The file as it is; Rejected says which limit it breaks."""
        fault = self._size(file.size) or self._name(file) or self._age(file.modified)
        if fault:
            raise Rejected(fault)
        yield work.keep(file)

    def _size(self, size: int) -> str:
        if self.min_size is not None and size < self.min_size:
            return f"is too small: {_bytes(size)}, the least is {_bytes(self.min_size)}"
        if self.max_size is not None and size > self.max_size:
            return f"is too large: {_bytes(size)}, the most is {_bytes(self.max_size)}"
        return ""

    def _name(self, file: FileView) -> str:
        if not self.names or file.name in self._patterns:
            return ""
        return f"its name matches none of {', '.join(self.names)}"

    def _age(self, modified: int | None) -> str:
        if modified is None:
            return ""
        age = time.time() - modified / _MICRO
        if self.min_age is not None and age < self.min_age:
            when = f"{show_duration(age)} ago" if age >= 0 else f"{show_duration(-age)} ahead of our clock"
            return f"is too new: modified {when}, the least is {show_duration(self.min_age)} ago"
        if self.max_age is not None and age > self.max_age:
            return f"is too old: modified {show_duration(age)} ago, the most is {show_duration(self.max_age)}"
        return ""

    @cached_property
    def _patterns(self) -> Patterns:
        return Patterns(self.names)


def _bytes(size: int) -> str:
    """To the byte: near a limit, rounded figures would look alike."""
    return f"{size} bytes ({show_size(size)})" if size >= 1000 else f"{size} bytes"
