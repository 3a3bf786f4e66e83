"""What all steps have in common: settings that can be called with a file, and what they are handed and give back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from transload.model import Name

H = TypeVar("H", bound="Held")


@dataclass(frozen=True, slots=True)
class FileView:
    """A file as a step sees it: its spooled bytes, which nobody changes, and what is known of it.

    `name` is what it is called below its route's folder; `modified` and `received` (when it was first seen, the same for
    every try) are in microseconds since 1970; `depth` is how many archives it was taken out of.
    """

    id: int
    route: str
    name: Name
    size: int
    sha256: str
    path: Path
    modified: int | None = None
    version: int = 1
    received: int = 0
    depth: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> BinaryIO:
        """The bytes, from the first one, for reading."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a step lets on: bytes of its own at `path` in the scratch folder, or those of the file it was given (None).

    `member` says that it came out of an archive: a child arrival of its own.
    """

    name: Name
    path: Path | None = None
    size: int = 0
    sha256: str = ""
    modified: int | None = None
    member: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a step found out about the bytes, for the ledger: "scan", "clean", and what it was found with."""

    what: str
    found: str
    facts: Mapping[str, str] = field(default_factory=dict)


class Scratch(Protocol):
    """What a step works with: an empty folder of its own that goes when it is done, and ways to say what it lets on."""

    @property
    def folder(self) -> Path:
        """The folder, for what belongs to nobody else (mode 0700)."""

    def keep(self, file: FileView, name: Name | None = None) -> Output:
        """The file's own bytes, under another name where one is given."""

    def write(self, name: Name, data: bytes | Iterable[bytes], *, modified: int | None = None, member: bool = False) -> Output:
        """A new file of these bytes, hashed while they are written. Raises Full when there is no room."""

    def create(self, name: Name, *, modified: int | None = None, member: bool = False) -> AbstractContextManager[Sink]:
        """The same, written piece by piece: the output is `sink.output` once the context is left without an error."""

    def note(self, verdict: Verdict) -> None:
        """Write down what was found, whatever becomes of the file."""

    def known(self, what: str, sha256: str) -> Verdict | None:
        """What was found out about these bytes before, if that may be used again."""

    def beside(self, name: Name) -> FileView | None:
        """The file of that name that came out of the same archive, else that the same route received last, if its bytes are still here."""

    def held(self, key: Hashable, make: Callable[[], H]) -> H:
        """What `make` opens (a connection), once for all files of a batch and closed after them; `key` tells one from another."""

    def go_on(self) -> None:
        """Raise Lost when the work is to be put back, and otherwise show that the work goes on: to be called every second or so."""


class Held(Protocol):
    """What can be kept open for a batch."""

    def close(self) -> None:
        """Let go."""


class Sink(Protocol):
    """One file that a step writes."""

    output: Output

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises Full when there is no room."""


class Step(BaseModel, ABC):
    """A step is its frozen settings; calling it with a file does the work. It has no memory.

    A kind adds `kind: Literal["..."]` and `__call__`. Its docstring and its fields' descriptions are its documentation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    splits: ClassVar[bool] = False
    """Whether what comes out may be several files, or none under the file's own name."""

    kind: str

    def faults(self) -> Sequence[str]:
        """What is wrong with what the step needs, one line each, as `transload test` tells it; most need nothing."""
        return ()

    @abstractmethod
    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """What goes on in place of `file`; often `work.keep(file)` alone.

        Raises Rejected (quarantine, with a reason), Waiting (something is still to come), Transient (the same again later:
        "no answer" is not an answer), or ConfigError.
        """
