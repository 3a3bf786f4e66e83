"""An upload: its bytes, the evidence that its client was there to the end, and the "yes" when it is true."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from transload.errors import Refused, TransloadError
from transload.servers.base import Upload
from transload.servers.ftp import answers
from transload.servers.ftp.data import Transfer
from transload.servers.ftp.wire import Broken, Hung

if TYPE_CHECKING:
    from transload.servers.ftp.session import Session

_AT_ONCE = 1 << 20
"""Bytes that one session may read before the others have their turn."""
_READS = 64
"""The same for a client whose bytes come in very small pieces: TLS gives a record at a time, and a record may hold one byte."""
_LAST = 2.0
"""Seconds in which the last bytes of a client that is gone may come in."""
_LEAST_BLOCK = 4096
_SLOW = 0.25


class Incoming(Transfer):
    """One upload. Lives in the loop; what makes it durable calls back from elsewhere."""

    def __init__(self, session: Session, upload: Upload, yes: bytes) -> None:
        """`yes` is what the client hears when it is true."""
        super().__init__(session)
        self._orphaned = ""
        self._upload, self._yes = upload, yes
        self._sure: Future[bool] = Future()
        self._block = session.loop.block

    def ready(self) -> None:
        data, visit = self.data, self.session.visit
        if data is None or visit is None or self.over or self.landing:
            return
        until, reads = self.count + _AT_ONCE, 0
        while self.count < until and reads < _READS:
            reads += 1
            block = self._block
            try:
                count = data.wire.read_into(block)
            except Hung:
                self._ended(whole=False)
                return
            except Broken as error:
                self.broken(error)
                return
            if count is None:
                return
            if not count:
                self._ended(whole=True)
                return
            self.count += count
            self.moved = time.monotonic()
            try:
                self._upload.write(block[:count])
            except TransloadError as error:
                self._refused(error)
                return
            seconds = visit.hold_in(count)
            if seconds > 0:
                if seconds > _SLOW and len(block) > _LEAST_BLOCK:
                    self._block = block[: len(block) // 2]
                self.hold(seconds)
                return

    def _refused(self, error: TransloadError) -> None:
        if self._orphaned:
            self.give_up()
            return
        if isinstance(error, Refused):
            self._upload.discard()
            self.end(answers.told_of_bytes(error))
        else:
            self.stop(answers.told_of_bytes(error))

    def _ended(self, *, whole: bool) -> None:
        """The last byte is there. Making it durable begins at once, and is not done before the client was looked for."""
        assert self.data is not None  # noqa: S101 - its bytes came by it
        self.landing = True
        self.data.close()
        session = self.session
        session.hall.orphans.discard(self)
        # What ends in one turn of the loop is handed over at its end, and what is sure in one too: so it lands together.
        session.loop.last(self._upload.finish, self._then, self._sure)
        if whole and not self._orphaned:
            seconds = self._upload.grace
            session.loop.later(session.grace() if seconds is None else seconds, self._look)
        else:
            session.loop.last(self._known, False)

    def _look(self) -> None:
        self.session.loop.last(self._known, self.session.there)

    def _known(self, there: bool) -> None:  # noqa: FBT001 - it is called by the loop
        if not self._sure.done():
            self._sure.set_result(there)

    def _then(self, error: TransloadError | None) -> None:
        """In any thread."""
        self.session.loop.call(self._answer, error)

    def _answer(self, error: TransloadError | None) -> None:
        self.landing = False
        self.end(self._yes if error is None else answers.told_of_bytes(error))

    def broken(self, error: Broken) -> None:
        if self._orphaned:
            self.give_up()
            return
        self.stop(b"426 The data connection broke: " + str(error).encode("utf-8", "replace"))

    def lost(self, reason: str) -> None:
        """The session is over. It does not count any more, but what is on its way is still kept for resuming."""
        session, data = self.session, self.data
        if self._orphaned:
            return
        if self.over or self.landing or data is None or data.closed:
            super().lost(reason)
            return
        self._orphaned, session.data = reason, None
        session.hall.orphans.add(self)
        session.loop.later(_LAST, self.give_up)
        self.ready()

    def give_up(self) -> None:
        """No more of it comes."""
        if not self.over and not self.landing:
            self.over = True
            self.session.hall.orphans.discard(self)
            if self.data is not None:
                self.data.close()
            self.drop(self._orphaned)

    def stop(self, answer: bytes) -> bool:
        if self.over or self.landing:
            return False
        self.over = True
        if self.data is not None:
            self.data.close()
        session = self.session
        # What is kept may have to go to another disk: that takes its time. Who asks for its size then is told the truth.
        session.hall.aside(
            session.hall.work, lambda: self._upload.cut(answer.decode("utf-8", "replace")), lambda _: session.transferred(answer)
        )
        return True

    def drop(self, reason: str) -> None:
        if not self.landing:
            self.session.hall.work.submit(self._upload.cut, reason)
        elif not self._sure.done():
            self._sure.set_result(False)
