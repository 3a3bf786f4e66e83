"""The virus scan: nothing goes on that a scanner has not called clean."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Annotated, BinaryIO, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from transload.errors import Busy, Changed, Rejected, TransloadError, Unreachable
from transload.secret import RelativePath
from transload.steps.base import FileView, Output, Scratch, Step, Verdict
from transload.steps.clamd import Clamd, place
from transload.steps.scanner_http import Dialect, HttpScanner
from transload.units import ByteSize, Duration, show_size

_LARGEST = 2**31 - 1
_LIMITS = "Heuristics.Limits.Exceeded"
_OLD = 7 * 86_400
# The harmless test virus, in pieces, so that no scanner takes this file for it.
_EICAR = b"".join((b"X5O!P%@AP[4", b"\\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-", b"ANTIVIRUS-TEST", b"-FILE!$H+H*"))
# An entry of a zip's directory, and the methods that it may name (others are the same four bytes by chance).
_ENTRY, _TOLD = b"PK\1\2", 28
_METHODS = {method.to_bytes(2, "little") for method in (0, 6, 8, 9, 12, 14, 93, 95, 98, 99)}
_DEEPER_THAN_ANY_LIMIT = 120


class Scan(Step):
    """Has every file scanned for viruses, inside archives too, before it goes on.

    An infected file goes to quarantine, and stays infected whatever a later scan says. A file that could not be scanned (the
    scanner is away or slow, a limit is passed, it is encrypted) is kept and tried again: no answer never counts as clean.
    Bytes that were found clean are not scanned again until clamd has new signatures. `transload test` says which settings of
    the scanner are unsafe; clamd wants `AlertExceedsMax yes` and `AlertEncrypted yes`, or it calls clean what it did not look into.
    Of an archive's members clamd may look at the first MaxFileSize bytes alone: `unpack` before the scan has each scanned whole.
    """

    kind: Literal["scan"] = "scan"
    clamd: str | None = Field(None, description='Where clamd answers: "unix:/run/clamav/clamd.ctl", "host:3310" or "tcp://host:3310".')
    url: str | None = Field(None, description="Instead of clamd: the address to which a scanner's HTTP service wants files posted.")
    dialect: Dialect = Field(
        "body",
        description='How it answers: "body" with the words "Everything ok : true", "v1alpha" and "v2" with JSON that has a Status.',
    )
    ca: RelativePath | None = Field(None, description="PEM file of the authorities to trust for https instead of the system's.")
    max_size: Annotated[ByteSize, Field(gt=0, le=_LARGEST)] = Field(
        100_000_000,
        description="A larger file is not sent, and waits. No more than the scanner takes (clamd: StreamMaxLength, MaxFileSize).",
    )
    timeout: Annotated[Duration, Field(gt=0)] = Field(300.0, description="How long the scanner may take to answer.")

    @field_validator("clamd")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None:
            place(value)
        return value

    @field_validator("url")
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            plain = value.isascii() and value.isprintable() and " " not in value and "@" not in parts.netloc
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0 or not plain:
                raise ValueError("wants http://host/path or https://host/path, without a password")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Scan:
        if (self.clamd is None) == (self.url is None):
            raise ValueError("wants exactly one of clamd and url")
        if self.clamd and self.model_fields_set & {"dialect", "ca"}:
            raise ValueError("dialect and ca belong to url")
        return self

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """Let the file on as it is, once it is found clean."""
        before = work.known("scan", file.sha256)
        if before is not None and before.found == "infected":
            verdict = before
        else:
            verdict = self.verdict(file, work.go_on, before, work.held(self, self._scanner))
        work.note(verdict)
        if verdict.found != "clean":
            raise Rejected(f"infected: {verdict.facts.get('signature', 'found by an earlier scan')}")
        yield work.keep(file)

    def faults(self) -> list[str]:
        """What is wrong or unsafe about the scanner and its settings, one line each; it is sent harmless files to find out."""
        try:
            with closing(self._scanner()) as scanner:
                return _faults(scanner, self.max_size)
        except TransloadError as error:
            return [str(error)]

    def facts(self, beat: Callable[[], None]) -> dict[str, str]:
        """Which scanner answers now, and its signatures ("" where it tells of none); raises Unreachable, or Busy."""
        with closing(self._scanner()) as scanner:
            return scanner.facts(beat)

    def _scanner(self) -> Clamd | HttpScanner:
        if self.clamd is not None:
            return Clamd(self.clamd, self.timeout)
        return HttpScanner(self.url or "", self.dialect, self.ca, self.timeout)

    def verdict(
        self, file: FileView, beat: Callable[[], None], before: Verdict | None = None, scanner: Clamd | HttpScanner | None = None
    ) -> Verdict:
        """What the scanner says of it, or said (`before`) of these bytes with the signatures that it has now.

        `scanner` is one that is open already. `beat` is called every second or so. Raises Busy, Unreachable or Changed when it cannot
        be told: they say that the file was not scanned, which is what alerts look for.
        """
        try:
            if scanner is not None:
                return self._verdict(file, beat, before, scanner)
            with closing(self._scanner()) as alone:
                return self._verdict(file, beat, before, alone)
        except (Unreachable, Busy, Changed) as error:
            if str(error).startswith("not scanned"):
                raise
            raise type(error)(f"not scanned: {error}") from error

    def _verdict(self, file: FileView, beat: Callable[[], None], before: Verdict | None, scanner: Clamd | HttpScanner) -> Verdict:
        if file.size > self.max_size:
            limits = f"{show_size(file.size)} is more than max_size, {show_size(self.max_size)}"
            raise Busy(f"not scanned: {limits}; raise max_size, and the scanner's limits with it")
        if before is not None and before.found == "clean" and before.facts.get("signatures") and dict(before.facts) == scanner.facts(beat):
            return before
        with file.open() as opened:
            answer = scanner.ask(opened, file.size, beat)
        if answer.sha256 not in {"", file.sha256}:
            raise Changed("not scanned: the bytes that were sent to the scanner are not those that were received")
        large = 0 if answer.signature else _largest_zipped(file)
        if large > self.max_size:
            part = f"it holds a zip with a member of {show_size(large)}, of which the scanner looks at the beginning alone"
            raise Busy(f"not scanned to its end: {part}; unpack it before it is scanned, or raise max_size and MaxFileSize")
        if answer.signature.startswith(_LIMITS):
            raise Busy(f"not scanned to its end: {answer.signature}; raise that limit in clamd.conf")
        if answer.signature.startswith("Heuristics.Encrypted"):
            raise Busy(f"not scanned: it is encrypted ({answer.signature}); unpack it with its password before it is scanned")
        if not answer.signature:
            return Verdict("scan", "clean", answer.facts)
        name = "".join(char if char.isprintable() else "?" for char in answer.signature[:200])
        return Verdict("scan", "infected", answer.facts | {"signature": name})


def _largest_zipped(file: FileView) -> int:
    """The size of the largest member that any zip lying plain in the file tells of.

    clamd cuts such a member to MaxFileSize and scans what is left, without a word even under `AlertExceedsMax yes` (1.4.6).
    """
    largest, rest = 0, b""
    with file.open() as opened:
        while piece := opened.read(2**20):
            data = rest + piece
            at = data.find(_ENTRY)
            while 0 <= at <= len(data) - _TOLD:
                if data[at + 10 : at + 12] in _METHODS:
                    largest = max(largest, int.from_bytes(data[at + 24 : at + _TOLD], "little"))
                at = data.find(_ENTRY, at + 4)
            rest = data[1 - _TOLD :]
    return largest


def _faults(scanner: Clamd | HttpScanner, max_size: int) -> list[str]:
    """What the answers to four harmless files give away: clamd tells nobody its settings, and its file may not be what it runs with."""
    found = [_age(scanner.facts(_on)["signatures"])] if isinstance(scanner, Clamd) else []
    eicar = _probed(scanner, _EICAR)
    if isinstance(eicar, Busy):
        raise eicar
    if not eicar:
        found.append("the scanner does not find EICAR, the harmless test virus: it has no signatures, or it scans nothing")
        return [one for one in found if one]
    if _probed(scanner, _too_deep()) == "":
        found.append("the scanner calls clean what is past its limits, without having looked: set `AlertExceedsMax yes` in clamd.conf")
    if _probed(scanner, _encrypted()) == "":
        found.append("the scanner calls an encrypted archive clean, without having looked: set `AlertEncrypted yes` in clamd.conf")
    with tempfile.TemporaryFile() as file:
        _as_large_as_can_be(file, max_size)
        found.append(_about_size(_probed(scanner, file), max_size))
    return [one for one in found if one]


def _on() -> None:
    """Nobody waits for a probe's heartbeat."""


def _probed(scanner: Clamd | HttpScanner, probe: bytes | BinaryIO) -> str | Busy:
    """The signature that is found in it, "" for clean, and why when it was not scanned."""
    with tempfile.TemporaryFile() as small:
        file: BinaryIO = small if isinstance(probe, bytes) else probe
        if isinstance(probe, bytes):
            file.write(probe)
            file.flush()
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        try:
            return scanner.ask(file, size, _on).signature
        except Busy as error:
            return error


def _age(signatures: str) -> str:
    """What is wrong with "27483/Thu Nov 20 09:00:00 2026"."""
    version, _, day = signatures.partition("/")
    with suppress(ValueError):
        days = (time.time() - time.mktime(time.strptime(day, "%a %b %d %H:%M:%S %Y"))) / 86_400
        return f"clamd's signatures ({version}) are {days:.0f} days old: is freshclam running?" if days * 86_400 > _OLD else ""
    return "clamd tells no version of its signatures (has freshclam ever run?): their age is not known, and every file is scanned anew"


def _about_size(found: str | Busy, max_size: int) -> str:
    file = f"a file of max_size ({show_size(max_size)})"
    if not found:
        return f"the scanner calls {file} clean without having looked: raise MaxFileSize in clamd.conf, or lower max_size"
    if isinstance(found, Busy) or found.startswith(_LIMITS):
        return f"{file} would wait for ever: raise StreamMaxLength, MaxFileSize and MaxScanSize in clamd.conf, or lower max_size ({found})"
    return ""


def _too_deep() -> bytes:
    data = _EICAR
    for _ in range(_DEEPER_THAN_ANY_LIMIT):
        data = gzip.compress(data, mtime=0)
    return data


def _encrypted() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", b"x" * 100)
    data = bytearray(made.getvalue())
    for flags in (6, data.index(b"PK\1\2") + 8):
        data[flags] |= 1
    return bytes(data)


def _as_large_as_can_be(file: BinaryIO, size: int) -> None:
    """A tar of `size` bytes with EICAR first, which takes next to no room on a disk."""
    member, filling = tarfile.TarInfo("a"), tarfile.TarInfo("b")
    member.size, filling.size = len(_EICAR), max(size - 2048, 0)
    file.write(member.tobuf(tarfile.USTAR_FORMAT) + _EICAR.ljust(512, b"\0") + filling.tobuf(tarfile.USTAR_FORMAT))
    file.truncate(max(size, 2048))
    file.flush()
