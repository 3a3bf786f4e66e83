"""A whole LIST: which family of servers wrote it, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from transload.listing.dos import dos
from transload.listing.facts import FACTS, Fact, Unread
from transload.listing.mainframes import HEADING, MEMBERS, mainframe
from transload.listing.mlsd import mlsd
from transload.listing.others import other
from transload.listing.unix import unix
from transload.listing.vms import NAME_ALONE, vms

# Lines that speak of the listing, not of a file.
_SILENT = re.compile(
    rb"\s*|total:? [\d.,]+[kKMGT]?B?(?: (?:blocks|files|bytes)\.?)?"
    rb"|total of \d+ \S+ in \d+ .*|total of \d+ files.*|\s*directory (?:of )?\S*:?[\\\[]\S*"
    rb"|\s*[A-Z0-9$_]+:\[\S*\]|\s*volume (?:in drive|serial number) .*"
    rb"|\s*[\d.,]+ +(?:files?|dir(?:s|ectories)?)(?:\(s\))? +[\d.,]+ +bytes(?: free)?",
    re.IGNORECASE,
)
_FACTS = re.compile(rb"(?:[A-Za-z0-9.]+=[^;]*;)+ .+", re.DOTALL)


def listed(lines: Iterable[bytes], now: datetime) -> Iterator[Fact | Unread]:
    """The facts of every line (without its end), and every line that cannot be read; "." and ".." are left out.

    `now` chooses the year where a line tells none.
    """
    reader = _Reader(now.replace(minute=0, second=0, microsecond=0))
    for line in lines:
        for found in reader.read(line):
            if isinstance(found, Unread) or found.name not in (b".", b".."):
                yield found
    yield from reader.end()


class _Reader:
    """What earlier lines of the same listing mean for the next one."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._name = b""
        self._members = False

    def read(self, line: bytes) -> Iterator[Fact | Unread]:
        if self._name:
            name, self._name = self._name, b""
            fact = vms(name + b" " + line[:FACTS], self._now)
            if fact is not None:
                yield fact
                return
            yield Unread(name)
        fact = unix(line, self._now)
        if fact is not None:
            yield fact
        elif _FACTS.fullmatch(line):
            # A server that answers LIST with what MLSD would say.
            told = mlsd(line)
            yield from [told] if told else []
        else:
            yield from self._rare(line)

    def _rare(self, line: bytes) -> Iterator[Fact | Unread]:
        fact = dos(line)
        if fact is None and len(line) <= FACTS:
            if _SILENT.fullmatch(line) or HEADING.fullmatch(line):
                self._members = self._members or bool(MEMBERS.fullmatch(line))
                return
            if NAME_ALONE.fullmatch(line):
                self._name = line.strip()
                return
            fact = vms(line, self._now) or mainframe(line, members=self._members) or other(line, self._now)
        yield Unread(line) if fact is None else fact

    def end(self) -> Iterator[Unread]:
        if self._name:
            yield Unread(self._name)
