"""Where a file's bytes go while they come: at once into the spool when small, else into a part that can be resumed."""

from __future__ import annotations

import hashlib

from transload.model import Entry, Spooled
from transload.protocols import Part, Spool
from transload.remotes.http.answer import BLOCK


class Sink:
    """The bytes of one entry on their way into the spool."""

    def __init__(self, entry: Entry, spool: Spool, *, fresh: bool) -> None:
        """With `fresh`, what an earlier, cut fetch left is forgotten."""
        self.size = 0
        self._entry = entry
        self._spool = spool
        self._held = bytearray()
        self._hash = hashlib.sha256()
        self._part: Part | None = None
        if entry.size is None or entry.size > BLOCK:
            self._part = spool.part(entry)
            if fresh and self._part.offset:
                self._part.restart()
            self.size = self._part.offset

    def tail(self, count: int) -> bytes:
        """The last bytes of what an earlier, cut fetch left."""
        return self._part.tail(count) if self._part else b""

    def restart(self) -> None:
        """Forget what is there."""
        self.size = 0
        self._hash = hashlib.sha256()
        self._held.clear()
        if self._part is not None:
            self._part.restart()

    def write(self, block: bytes, *, hashed: bool) -> None:
        """Append `block`; with `hashed`, count it into `digest`."""
        self.size += len(block)
        if hashed:
            self._hash.update(block)
        if self._part is None:
            self._held += block
            if len(self._held) > BLOCK:
                self._part = self._spool.part(self._entry)
                if self._part.offset:
                    self._part.restart()
                self._part.write(bytes(self._held))
                self._held.clear()
        else:
            self._part.write(block)

    def digest(self) -> str:
        """The hash of what was written, to be compared with a second download."""
        return self._hash.hexdigest()

    def done(self) -> Spooled:
        """All is there."""
        return self._part.done() if self._part else self._spool.put(self._entry, bytes(self._held))

    def keep(self) -> None:
        """It was cut."""
        if self._part is not None:
            self._part.keep()

    def drop(self) -> None:
        """It is not wanted."""
        if self._part is not None:
            self._part.drop()
