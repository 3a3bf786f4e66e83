"""Whether a file is well-formed XML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO
from xml.parsers import expat

from transload.errors import Rejected
from transload.steps.format.faults import failed
from transload.units import show_size

_BLOCK = 1024 * 1024
_TAG = 16 * 1024 * 1024
_NAMES = 4_000_000


class Xml:
    """One reading of an XML document; neither its depth nor its names can fill the memory."""

    def __init__(self, depth: int) -> None:
        self._most, self._depth = depth, 0
        self._names: set[str] = set()
        self._room = _NAMES
        self._parser = expat.ParserCreate(intern=None)
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def check(self, file: BinaryIO, go_on: Callable[[], None]) -> None:
        """Read it all; Rejected says where it is wrong."""
        fed = 0
        try:
            while block := file.read(_BLOCK):
                self._parser.Parse(block, False)
                fed += len(block)
                # Whatever is not ended yet is read again with every block.
                if fed - self._parser.CurrentByteIndex > _TAG:
                    raise self._refused(f"a tag or comment of more than {show_size(_TAG)}")
                go_on()
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise failed(expat.ErrorString(error.code), error.lineno, error.offset + 1) from error
        except (ValueError, LookupError) as error:
            raise self._refused("its encoding cannot be read") from error

    def _refused(self, reason: str) -> Rejected:
        return failed(reason, self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)

    def _start(self, tag: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth > self._most:
            raise self._refused(f"nested more than {self._most} deep")
        if tag not in self._names:
            self._new(tag)
        for name in attributes[::2]:
            if name not in self._names:
                self._new(name)

    def _new(self, name: str) -> None:
        """The parser keeps every name for good."""
        self._names.add(name)
        self._room -= len(name) + 100
        if self._room < 0:
            raise self._refused("too many different tags or attributes")

    def _end(self, _tag: str) -> None:
        self._depth -= 1

    def _doctype(self, *_: Any) -> None:
        raise self._refused("it has a DTD, which may hold entities; such XML is refused")
