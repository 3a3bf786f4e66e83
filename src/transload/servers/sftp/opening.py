"""How an upload begins: anew, or with what is there already, which may first have to be copied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from transload import log
from transload.errors import Conflict, Denied, Missing, Refused, TransloadError
from transload.model import spell
from transload.servers.base import Item, Then, Upload, Visit
from transload.servers.sftp.files import Incoming
from transload.servers.sftp.landings import Landings

_AT_HAND = 1 << 20
"""Larger files are not copied in the loop."""
_APPEND, _CREATE, _TRUNCATE, _EXCLUDE = 4, 8, 16, 32


class Opening:
    """Of one session. Lives in the event loop."""

    def __init__(
        self,
        visit: Visit,
        loop: asyncio.AbstractEventLoop,
        work: Executor,
        landings: Landings,
        opened: Callable[[int, Incoming], None],
        fail: Callable[[int, TransloadError], None],
    ) -> None:
        """Copies are made in `work`; `opened` and `fail` hear, by the number of the request, what came of it."""
        self._visit, self._loop, self._work, self._landings, self._opened, self._fail = visit, loop, work, landings, opened, fail
        self.count = 0
        """How many are being copied."""

    def begin(self, ident: int, path: bytes, flags: int) -> None:
        """Begin an upload to `path` as the flags of SSH_FXP_OPEN say; raises what a visit does, and Missing, Conflict or Refused."""
        anew = flags & (_CREATE | _TRUNCATE | _EXCLUDE | _APPEND) == _CREATE | _TRUNCATE
        there = None if anew else self._there(path)
        self._landings.anew(path)
        if there is None and not flags & _CREATE:
            raise Missing(f"{spell(path)}: not there")
        if there is not None and flags & _CREATE and flags & _EXCLUDE:
            raise Conflict(f"{spell(path)}: is there already")
        if there is not None and there.folder:
            raise Refused(f"{spell(path)}: is a folder")
        appends = bool(flags & _APPEND)
        # Whatever the client goes on to write, at the end or in the middle: what it leaves alone stays.
        offset = there.size if there is not None and not appends and not flags & _TRUNCATE else 0
        upload = partial(self._visit.upload, path, offset=offset, append=appends)
        begun = partial(self._begun, ident, path, appends=appends, goes_on=not flags & _TRUNCATE)
        if there is not None and there.size > _AT_HAND and (offset or appends):
            self._begin_aside(ident, path, upload, begun)
        else:
            begun(upload())

    def _there(self, path: bytes) -> Item | None:
        try:
            return self._visit.item(path)
        except (Missing, Denied):
            return None

    def _begun(self, ident: int, path: bytes, upload: Upload, *, appends: bool, goes_on: bool) -> None:
        self._opened(ident, Incoming(path, upload, self._loop.time(), appends=appends, goes_on=goes_on))

    def _begin_aside(self, ident: int, path: bytes, upload: Callable[[], Upload], begun: Callable[[Upload], None]) -> None:
        """The copying takes its time, and the other sessions have theirs."""
        found: list[Upload] = []
        self.count += 1

        def done(error: TransloadError | None) -> None:
            self.count -= 1
            if error is not None:
                self._fail(ident, error)
            else:
                begun(found[0])

        self._work.submit(aside, lambda: found.append(upload()), self._landings.begin((path,), done))


def aside(work: Callable[[], None], then: Then) -> None:
    """In a thread: do `work`, and tell `then` how it went."""
    try:
        work()
    except TransloadError as error:
        then(error)
    except Exception:  # noqa: BLE001 - its text is not for the client, who must hear that it ended
        log.get("transload.sftp").exception("a request failed")
        then(TransloadError("it failed; the server's log says why"))
    else:
        then(None)
