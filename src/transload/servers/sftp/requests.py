"""What each request of SFTP version 3 does: with open files here, by name in `naming`."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial

from transload import log
from transload.errors import Busy, Denied, Refused, TransloadError
from transload.model import spell
from transload.remotes.sftp import packets
from transload.remotes.sftp.packets import WHERE, Garbled, text
from transload.servers.base import Item, Visit
from transload.servers.sftp import answers
from transload.servers.sftp.faults import told
from transload.servers.sftp.files import HOPELESS, Incoming, Listing, Outgoing
from transload.servers.sftp.landings import Landings, UnderWay, in_loop
from transload.servers.sftp.naming import MAX_HANDLES, Naming
from transload.servers.sftp.opening import Opening, aside
from transload.servers.sftp.paths import absolute
from transload.servers.sftp.pools import Pools

_READ, _WRITE = 1, 2

Work = Callable[[int, bytes, int, int], None]


class Requests:
    """The requests of one channel. Lives in the event loop; `send` takes answers, `hold` the seconds for which to take no more requests."""

    def __init__(
        self,
        visit: Visit,
        loop: asyncio.AbstractEventLoop,
        pools: Pools,
        send: Callable[[bytes], None],
        hold: Callable[[float], None],
        ended: Callable[[], None],
    ) -> None:
        """For `visit`; what takes its time is done in `pools`; `ended` is told when something that was waited for is over."""
        self.visit, self._loop, self._pools, self._send, self._hold, self._ended = visit, loop, pools, send, hold, ended
        self.landings = Landings(loop, ended)
        self.slow = 0
        self._owner = visit.account.name.encode()[:32]
        self._open: dict[bytes, Incoming | Outgoing | Listing] = {}
        self._last = 0
        self._over = False
        self._opening = Opening(visit, loop, pools.work, self.landings, self._opened, self._fail)
        by_name = Naming(visit, self.landings, send, lambda handle: self._opened_as(handle).path, self._sync)
        self._works: dict[int, Work] = {
            packets.OPEN: self._open_file,
            packets.CLOSE: self._close,
            packets.READ: self._read,
            packets.WRITE: self._write,
            packets.FSTAT: self._fstat,
            packets.FSETSTAT: self._fsetstat,
            packets.OPENDIR: self._open_folder,
            packets.READDIR: self._read_folder,
            **by_name.works,
        }

    def act(self, kind: int, ident: int, data: bytes, at: int, stop: int) -> None:
        """Do one request, whose body lies in `data` from `at` to `stop`. Raises Garbled for what is none."""
        work = self._works.get(kind)
        if work is None:
            self._send(answers.status(ident, packets.OP_UNSUPPORTED, b"not done here"))
            return
        try:
            work(ident, data, at, stop)
        except UnderWay as soon:
            self.landings.after(soon.path, partial(self.act, kind, ident, data, at, stop))
        except TransloadError as error:
            self._fail(ident, error)
        except (Garbled, struct.error, IndexError) as error:
            raise Garbled(str(error)) from error
        except Exception:  # noqa: BLE001 - its text is not for the client, and the session goes on
            log.get("transload.sftp").exception("a request failed", user=self.visit.account.name, kind=kind)
            self._send(answers.status(ident, packets.FAILURE, b"it failed; the server's log says why"))

    @property
    def incoming(self) -> Iterator[Incoming]:
        """The uploads under way."""
        return (file for file in tuple(self._open.values()) if isinstance(file, Incoming))

    def cut(self, reason: str) -> None:
        """The channel is gone: nothing that is still open counts as complete."""
        self._over = True
        files, self._open = self._open, {}
        for file in files.values():
            if isinstance(file, Incoming):
                self.cut_one(file, reason)
            elif isinstance(file, Outgoing):
                file.close()

    def cut_one(self, file: Incoming, reason: str) -> None:
        """That upload must end here."""
        file.cut(reason, self._pools.work)

    def _fail(self, ident: int, error: TransloadError) -> None:
        self._send(answers.status(ident, *told(error)))

    # --- opening and closing

    def _keep(self, file: Incoming | Outgoing | Listing) -> bytes:
        self._last = (self._last + 1) & 0xFFFFFFFF
        name = self._last.to_bytes(4, "big")
        self._open[name] = file
        return name

    def _check_handles(self) -> None:
        if len(self._open) + self._opening.count >= MAX_HANDLES:
            raise Busy(f"{MAX_HANDLES} files are open: close some first")

    def _file(self, data: bytes, at: int, stop: int) -> tuple[Incoming | Outgoing | Listing, int]:
        handle, at = text(data, at, stop)
        return self._opened_as(handle), at

    def _opened_as(self, handle: bytes) -> Incoming | Outgoing | Listing:
        file = self._open.get(handle)
        if file is None:
            raise Refused("nothing is open under that handle")
        return file

    def _open_file(self, ident: int, data: bytes, at: int, stop: int) -> None:
        name, then = text(data, at, stop)
        flags = int.from_bytes(data[then : then + 4], "big")
        path = absolute(name)
        self.landings.check(path)
        self._check_handles()
        if flags & _WRITE:
            self._opening.begin(ident, path, flags)
        elif flags & _READ:
            self._send(answers.handle(ident, self._keep(Outgoing(path, self.visit.read(path)))))
        else:
            raise Refused(f"{spell(name)}: it was opened neither for reading nor for writing")

    def _opened(self, ident: int, file: Incoming) -> None:
        if self._over:
            self.cut_one(file, "the session is over")
        else:
            self._send(answers.handle(ident, self._keep(file)))

    def _close(self, ident: int, data: bytes, at: int, stop: int) -> None:
        file, _ = self._file(data, at, stop)
        del self._open[text(data, at, stop)[0]]
        if isinstance(file, Incoming):
            self._land(ident, file)
            return
        if isinstance(file, Outgoing):
            file.close()
        self._send(answers.fine(ident))

    def _land(self, ident: int, file: Incoming) -> None:
        fault = file.end(self.visit)
        if fault is not None:
            self._not_whole(ident, file, fault)
            return
        then = self.landings.begin((file.path,), partial(self._landed, ident, file))
        try:
            file.upload.finish(then)
        except TransloadError as error:
            then(error)

    def _not_whole(self, ident: int, file: Incoming, fault: TransloadError) -> None:
        """Whoever asks for it after the answer sees what was kept of it."""
        if isinstance(fault, HOPELESS):
            raise fault
        then = self.landings.begin((file.path,), lambda _: self._fail(ident, fault))
        file.cut(str(fault), self._pools.work).add_done_callback(lambda _: then(None))

    def _landed(self, ident: int, file: Incoming, error: TransloadError | None) -> None:
        if error is not None:
            self.landings.failed(file.path)
            self._fail(ident, error)
            return
        try:
            if file.mode is not None:
                self.visit.set_mode(file.path, file.mode)
        except TransloadError:
            pass  # the bytes are safe, which is what is asked here; a mode that is not taken is seen by looking
        self._send(answers.fine(ident))

    # --- reading and writing

    def _write(self, ident: int, data: bytes, at: int, stop: int) -> None:
        file, at = self._file(data, at, stop)
        offset, length = WHERE.unpack_from(data, at)
        at += WHERE.size
        if at + length != stop:
            raise Garbled("a block is longer or shorter than it says")
        if not isinstance(file, Incoming):
            raise Denied("it was not opened for writing")
        file.write(offset, memoryview(data)[at:stop], self.visit)
        file.moved = self._loop.time()
        self._send(answers.fine(ident))
        wait = self.visit.hold_in(length)
        if wait > 0:
            self._hold(wait)

    def _read(self, ident: int, data: bytes, at: int, stop: int) -> None:
        file, at = self._file(data, at, stop)
        offset, length = WHERE.unpack_from(data, at)
        if not isinstance(file, Outgoing):
            raise Denied("it was not opened for reading alone")
        length = min(length, answers.MAX_BLOCK)
        if file.at_hand(offset, length):
            self._give(ident, file.read(offset, length))
            return
        file.hold()
        self._wait_for_disk()
        self._loop.run_in_executor(self._pools.reads, file.read, offset, length).add_done_callback(partial(self._was_read, ident, file))

    def _was_read(self, ident: int, file: Outgoing, done: asyncio.Future[bytes]) -> None:
        file.let_go()
        self.slow -= 1
        try:
            self._give(ident, done.result())
        except OSError:
            self._send(answers.status(ident, packets.FAILURE, b"it cannot be read now"))
        self._ended()

    def _give(self, ident: int, block: bytes) -> None:
        if not block:
            self._send(answers.status(ident, packets.EOF, b"end of file"))
            return
        self._send(answers.data(ident, block))
        wait = self.visit.hold_out(len(block))
        if wait > 0:
            self._hold(wait)

    def _sync(self, ident: int, data: bytes, at: int, stop: int) -> None:
        """What was written so far is on the disk when this is answered (fsync@openssh.com); the requests behind it go on meanwhile."""
        file, _ = self._file(data, at, stop)
        if not isinstance(file, Incoming):
            self._send(answers.fine(ident))
            return
        if file.fault is not None:
            raise file.fault
        self._wait_for_disk()
        self._pools.work.submit(aside, file.upload.syncing(), in_loop(self._loop, partial(self._synced, ident, file)))

    def _synced(self, ident: int, file: Incoming, error: TransloadError | None) -> None:
        self.slow -= 1
        if error is None:
            self._send(answers.fine(ident))
        else:
            # The disk may have given up the bytes that it could not write: a second try would find nothing wrong.
            file.fault = file.fault or error
            self._fail(ident, error)
        self._ended()

    def _wait_for_disk(self) -> None:
        """Many of these at once stop the requests behind them."""
        self.slow += 1
        self._hold(0)

    # --- what is known of an open file

    def _fstat(self, ident: int, data: bytes, at: int, stop: int) -> None:
        file, _ = self._file(data, at, stop)
        if isinstance(file, Incoming):
            item = Item(b"", file.upload.size, file.upload.modified or int(time.time() * 1e6), 0o600, folder=False)
        else:
            item = self.visit.item(file.path)
            if isinstance(file, Outgoing):
                item = item._replace(size=file.size)
        self._send(answers.attrs(ident, item))

    def _fsetstat(self, ident: int, data: bytes, at: int, stop: int) -> None:
        file, at = self._file(data, at, stop)
        wanted, _ = packets.attrs(data, at, stop)
        if isinstance(file, Incoming):
            if wanted.size is not None:
                file.cut_to(wanted.size, self.visit)
            if wanted.modified is not None:
                file.upload.modified = wanted.modified * 1_000_000
            file.mode = file.mode if wanted.mode is None else wanted.mode
        else:
            if wanted.size is not None:
                raise Denied("it was not opened for writing")
            if wanted.modified is not None:
                self.visit.set_time(file.path, wanted.modified * 1_000_000)
        self._send(answers.fine(ident))

    # --- folders

    def _open_folder(self, ident: int, data: bytes, at: int, stop: int) -> None:
        path = absolute(text(data, at, stop)[0])
        self._check_handles()
        self._send(answers.handle(ident, self._keep(Listing(path, iter(self.visit.items(path)), self._owner))))

    def _read_folder(self, ident: int, data: bytes, at: int, stop: int) -> None:
        file, _ = self._file(data, at, stop)
        if not isinstance(file, Listing):
            raise Refused("it is not a folder")
        page = file.page(time.time())
        self._send(answers.names(ident, page) if page else answers.status(ident, packets.EOF, b"end of folder"))
