"""From the store into the spool: pool threads read many objects at once, the session's own thread hashes and writes."""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Event, Semaphore
from typing import TYPE_CHECKING

from transload.errors import Changed, Missing, TransloadError, Unreachable
from transload.model import Fetched, to_micros
from transload.remotes.objects.telling import NoBucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

    from obstore import GetOptions, GetResult, ObjectMeta

    from transload.model import Entry, Spooled
    from transload.protocols import Part, Spool
    from transload.remotes.objects.bucket import Bucket

WHOLE = 2**20
QUEUED = 24
OVERLAP = 64 * 1024


def fetch(bucket: Bucket, pool: ThreadPoolExecutor, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
    """One outcome per entry, as each is done; raises Unreachable when the store is, keeping what came for a resume."""
    belt = _Belt()
    live: dict[int, _Reading] = {}
    waiting = iter(entries)
    more = True
    try:
        while more or live:
            while more and len(live) < bucket.remote.parallel:
                entry = next(waiting, None)
                if entry is None:
                    more = False
                else:
                    reading = _begin(entry, spool)
                    live[id(reading)] = reading
                    reading.future = pool.submit(_read, bucket, reading, belt)
            block = belt.take() if live else None
            outcome = _received(block, spool) if block else None
            if block and outcome:
                del live[id(block.reading)]
                yield outcome
    finally:
        belt.halt(live.values())
        for reading in live.values():
            if reading.part is not None:
                reading.part.keep()


@dataclass(slots=True)
class _Reading:
    """One object on its way; `part` only for one that does not come in one piece."""

    entry: Entry
    part: Part | None = None
    offset: int = 0
    had: int = 0
    first: bytes = b""
    future: Future[None] | None = None


@dataclass(slots=True)
class _Block:
    """What a pool thread hands over: bytes, and at the end what the store told of the object, or the error."""

    reading: _Reading
    data: bytes = b""
    restart: bool = False
    meta: ObjectMeta | None = None
    error: Exception | None = None


class _Belt:
    """Blocks from many threads to one; a full belt makes them wait, a halted one sends them home."""

    def __init__(self) -> None:
        self._blocks: SimpleQueue[_Block] = SimpleQueue()
        self._places = Semaphore(QUEUED)
        self._halted = Event()

    def put(self, block: _Block) -> bool:
        """Whether anybody still wants blocks."""
        self._places.acquire()
        if self._halted.is_set():
            return False
        self._blocks.put(block)
        return True

    def take(self) -> _Block:
        block = self._blocks.get()
        self._places.release()
        return block

    def halt(self, readings: Iterable[_Reading]) -> None:
        """Nobody wants blocks any more: wait until no thread works on one."""
        self._halted.set()
        futures = [reading.future for reading in readings if reading.future is not None]
        self._places.release(len(futures) + 1)
        wait([future for future in futures if not future.cancel()])


def _begin(entry: Entry, spool: Spool) -> _Reading:
    if entry.size is not None and entry.size <= WHOLE:
        return _Reading(entry)
    part = spool.part(entry)
    # Only the etag says that the rest belongs to what is there already.
    if part.offset and (entry.etag is None or part.offset >= (entry.size or 0)):
        part.restart()
    return _Reading(entry, part, part.offset, part.offset, part.head(min(part.offset, OVERLAP)))


def _read(bucket: Bucket, reading: _Reading, belt: _Belt) -> None:
    """In a pool thread."""
    try:
        key = bucket.key(reading.entry.path)
        if reading.offset and not _continues(bucket, reading, key):
            reading.offset = 0
            belt.put(_Block(reading, restart=True))
        found = _asked(bucket, reading, key)
        _compare(reading.entry, found.meta)
        if reading.part is None:
            belt.put(_Block(reading, bytes(bucket.ask(found.bytes, key=key)), meta=found.meta))
            return
        meta = found.meta
        if all(belt.put(_Block(reading, data)) for data in bucket.blocks(found, key)):
            belt.put(_Block(reading, meta=meta))
    except Changed as error:
        belt.put(_Block(reading, error=_gone(bucket, reading) or error))
    except Exception as error:  # noqa: BLE001 - whoever waits for blocks must hear of it
        belt.put(_Block(reading, error=error))


def _gone(bucket: Bucket, reading: _Reading) -> TransloadError | None:
    """Azure says of an object that is not there that its etag does not match."""
    try:
        found = bucket.head(bucket.key(reading.entry.path))
    except TransloadError as error:
        return error
    return Missing(f"{bucket.remote.where()}: {reading.entry.text}: it is not there") if found is None else None


def _continues(bucket: Bucket, reading: _Reading, key: str) -> bool:
    """Whether what is there already begins as the object does."""
    begin = _asked(bucket, reading, key, (0, len(reading.first)))
    return reading.first == bytes(bucket.ask(begin.bytes, key=key))


def _asked(bucket: Bucket, reading: _Reading, key: str, part: tuple[int, int] | None = None) -> GetResult:
    import obstore

    options: GetOptions = {}
    if reading.entry.etag:
        options["if_match"] = f'"{reading.entry.etag}"'
    if part or reading.offset:
        options["range"] = part or {"offset": reading.offset}
    return bucket.ask(obstore.get, bucket.store(), key, key=key, options=options)


def _compare(entry: Entry, meta: ObjectMeta) -> None:
    """The store itself compares an etag; without one size and time must do."""
    late = entry.modified is not None and abs(to_micros(meta["last_modified"]) - entry.modified) > entry.precision * 1_000_000
    if (entry.size is not None and meta["size"] != entry.size) or (late and entry.etag is None):
        message = f"{entry.text}: it is no longer the object that was listed"
        raise Changed(message)


def _received(block: _Block, spool: Spool) -> Fetched | None:
    """In the session's thread: the outcome, or None while the object is not whole."""
    reading = block.reading
    if block.error is not None:
        return _failed(reading, block.error)
    if reading.part is not None and block.restart:
        reading.part.restart()
        reading.had = 0
    if reading.part is not None and block.data:
        reading.part.write(block.data)
        reading.had += len(block.data)
    if block.meta is None:
        return None
    had = len(block.data) if reading.part is None else reading.had
    if had != block.meta["size"]:
        message = f"{reading.entry.text}: ended after {had} of {block.meta['size']} bytes"
        raise Unreachable(message)
    tag = block.meta["e_tag"]
    entry = replace(reading.entry, size=had, etag=tag.strip('"') if tag else None)
    return Fetched(entry, _spooled(reading, block.data, spool))


def _spooled(reading: _Reading, data: bytes, spool: Spool) -> Spooled:
    if reading.part is None:
        return spool.put(reading.entry, data)
    spooled = reading.part.done()
    reading.part = None
    return spooled


def _failed(reading: _Reading, error: Exception) -> Fetched:
    """One object's own failure; what concerns all of them is raised."""
    if isinstance(error, Unreachable | NoBucket) or not isinstance(error, TransloadError):
        raise error
    if reading.part is not None:
        reading.part.drop()
        reading.part = None
    return Fetched(reading.entry, error=error)
