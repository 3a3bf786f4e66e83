"""From the spool into the store: whole or not at all, many objects at once."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from hashlib import md5, sha256
from pathlib import Path
from typing import TYPE_CHECKING

from transload.errors import Busy, Changed, Conflict, Permanent, Transient, TransloadError, Unreachable
from transload.model import Receipt, Staged, Verify, spell
from transload.remotes.objects.continuing import go_on
from transload.remotes.objects.parcels import PART, Blocks, Pieces, Room, attributes, part_size, whole
from transload.remotes.objects.sizes import listed_sizes
from transload.remotes.objects.telling import NoBucket, NotOffered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from obstore import PutMode

    from transload.model import Parcel
    from transload.remotes.base import Moved
    from transload.remotes.objects.bucket import Bucket
    from transload.remotes.objects.unfinished import Unfinished

AT_ONCE = 4
ROOM = 64 * 2**20


def stage(bucket: Bucket, parcels: Iterable[Parcel]) -> Iterator[Staged]:
    """The store can hold the name, and the bytes are all here; nothing is sent yet."""
    for parcel in parcels:
        try:
            bucket.spelled(parcel.name)
            whole(parcel)
        except TransloadError as error:
            yield Staged(parcel, error=error)
        else:
            yield Staged(parcel, token="put")  # noqa: S106


def publish(bucket: Bucket, pool: ThreadPoolExecutor, unfinished: Unfinished, staged: Iterable[Staged], moved: Moved) -> Iterator[Receipt]:
    """One receipt per item, as each is done; raises Unreachable after those that were in flight have ended.

    `moved` hears of all bytes before they are sent, in several threads. Large objects go on where a try that is in `unfinished` ended.
    """
    putting = Putting(bucket, unfinished, moved)
    waiting = iter(staged)
    live: set[Future[Receipt]] = set()
    unproven: list[Receipt] = []
    lost: TransloadError | None = None
    more = True
    try:
        while more or live:
            while more and len(live) < bucket.remote.parallel * 2:
                item = next(waiting, None)
                if item is None:
                    more = False
                else:
                    live.add(pool.submit(putting.receipt, item.parcel))
            done, live = wait(live, return_when=FIRST_COMPLETED)
            for future in done:
                receipt = future.result()
                if isinstance(receipt.error, Unreachable | NoBucket):
                    lost, more = receipt.error, False
                elif putting.unproven(receipt):
                    unproven.append(receipt)
                else:
                    yield receipt
        yield from putting.proven(pool, unproven)
    finally:
        wait([future for future in live if not future.cancel()])
    if lost is not None:
        raise lost


class Putting:
    """One batch of puts: what they share is the room for bytes in memory."""

    def __init__(self, bucket: Bucket, unfinished: Unfinished, moved: Moved) -> None:
        self._bucket = bucket
        self._unfinished = unfinished
        self._moved = moved
        self._room = Room(ROOM)

    def receipt(self, parcel: Parcel) -> Receipt:
        """Put it and say so; in a pool thread."""
        try:
            key = self._bucket.spelled(parcel.name)
            whole(parcel)
            if parcel.size < PART:
                with self._room.of(parcel.size):
                    return self._small(parcel, key)
            part = part_size(parcel.size)
            with self._room.of(part * AT_ONCE):
                return self._large(parcel, key, part)
        except TransloadError as error:
            return Receipt(parcel, error=error)

    def _small(self, parcel: Parcel, key: str) -> Receipt:
        data = Path(parcel.file).read_bytes() if parcel.file else b""
        if parcel.sha256 and sha256(data).hexdigest() != parcel.sha256:
            raise _changed(parcel)
        self._moved(len(data))
        digest = md5(data, usedforsecurity=False).hexdigest() if self._bucket.remote.tells_md5() else ""
        try:
            tag = self._put(parcel, key, data)
        except Conflict as conflict:
            tag = self._settled(parcel, key, conflict)
        return self._verified(parcel, key, tag, digest)

    def _settled(self, parcel: Parcel, key: str, conflict: Conflict) -> str:
        """The etag of what is there if we put it; stores say "conflict" also while somebody else is still writing."""
        tag = self._earlier(parcel, key)
        if tag is not None:
            return tag
        if self._bucket.head(key) is None:
            message = f"{self._bucket.remote.where()}: {parcel.name.text}: somebody else is writing it"
            raise Busy(message)
        raise conflict

    def _put(self, parcel: Parcel, key: str, data: bytes) -> str:
        if parcel.replace:
            return self._send(parcel, key, data, "overwrite")
        if self._bucket.conditional:
            try:
                return self._send(parcel, key, data, "create")
            except NotOffered:
                self._bucket.conditional = False
        self._free(parcel, key)
        return self._send(parcel, key, data, "overwrite")

    def _send(self, parcel: Parcel, key: str, data: bytes, mode: PutMode) -> str:
        import obstore

        def send() -> str:
            store = self._bucket.store(len(data))
            result = self._bucket.ask(obstore.put, store, key, data, key=key, attributes=attributes(parcel), mode=mode, use_multipart=False)
            return (result["e_tag"] or "").strip('"')

        return self._bucket.made(send)

    def _large(self, parcel: Parcel, key: str, part: int) -> Receipt:
        """In parts, which no store lets depend on the name being free: so it is asked before."""
        earlier = self._earlier(parcel, key)
        if earlier is not None:
            return self._verified(parcel, key, earlier, "")
        if not parcel.replace:
            self._free(parcel, key)
        continued = self._continued(parcel, key, part)
        if continued is not None:
            return continued
        told = Pieces(parcel, part, self._moved) if parcel.verify is Verify.HASH and self._bucket.remote.tells_md5() else None
        body = told or Blocks(parcel.file, part, self._moved)
        tag = self._bucket.made(lambda: self._send_parts(parcel, key, part, body))
        if told and told.sha256() != parcel.sha256:
            self._discard(key, tag)
            raise _changed(parcel)
        return self._verified(parcel, key, tag, told.etag() if told else "")

    def _continued(self, parcel: Parcel, key: str, part: int) -> Receipt | None:
        """The receipt, where parts of an earlier try could be gone on with; None where there are none, or they are another file's."""
        upload = self._unfinished.newest(key) if self._bucket.remote.tells_md5() else None
        if upload is None:
            return None
        body = Pieces(parcel, part, lambda _: None)
        try:
            tag = go_on(self._bucket, key, upload, body, self._moved, AT_ONCE)
        except Permanent:
            return None  # it was given up meanwhile, or we may not
        if body.sha256() != parcel.sha256:
            self._discard(key, tag)
            raise _changed(parcel)
        found = self._bucket.attributes(key)
        # What an object tells of itself is given when its upload begins: these parts may have been begun for another file.
        if found is None or found[1].get("sha256", "") != parcel.sha256:
            return None
        return self._verified(parcel, key, tag, body.etag())

    def _send_parts(self, parcel: Parcel, key: str, part: int, body: Pieces | Blocks) -> str:
        import obstore

        result = self._bucket.ask(
            obstore.put,
            self._bucket.store(part),
            key,
            body,
            key=key,
            attributes=attributes(parcel),
            use_multipart=True,
            chunk_size=part,
            max_concurrency=AT_ONCE,
        )
        return (result["e_tag"] or "").strip('"')

    def _free(self, parcel: Parcel, key: str) -> None:
        if self._bucket.head(key) is not None:
            message = f"{self._bucket.remote.where()}: {parcel.name.text}: another object already has that name"
            raise Conflict(message)

    def _earlier(self, parcel: Parcel, key: str) -> str | None:
        """The etag of what an earlier try of this very parcel put, whose answer was lost."""
        found = self._bucket.attributes(key)
        if found is None:
            return None
        meta, told = found
        ours = told.get("delivery") == parcel.key and told.get("sha256", "") == parcel.sha256 and meta["size"] == parcel.size
        return (meta["e_tag"] or "").strip('"') if ours else None

    def _verified(self, parcel: Parcel, key: str, tag: str, digest: str) -> Receipt:
        """`digest` is what the etag must be if the store makes it from the bytes (encrypting stores do not)."""
        if digest and tag == digest and parcel.verify is not Verify.READ_BACK:
            return Receipt(parcel, Verify.HASH, tag)
        if parcel.verify in (Verify.NONE, Verify.SIZE):
            return Receipt(parcel, Verify.NONE, tag)  # the size is asked for all of a batch together
        self._agree(key, tag, parcel.sha256, self._bucket.read_back(key), "as SHA-256")
        return Receipt(parcel, Verify.READ_BACK, tag)

    @staticmethod
    def unproven(receipt: Receipt) -> bool:
        """Whether the store must still be asked for the size."""
        return receipt.error is None and receipt.verified is Verify.NONE and receipt.parcel.verify is Verify.SIZE

    def proven(self, pool: ThreadPoolExecutor, receipts: Sequence[Receipt]) -> Iterator[Receipt]:
        """The receipts after the store told each size: by one listing where many lie together, else one by one."""
        sizes = listed_sizes(self._bucket, {self._bucket.spelled(receipt.parcel.name) for receipt in receipts})
        yield from pool.map(lambda receipt: self._sized(receipt, sizes), receipts)

    def _sized(self, receipt: Receipt, sizes: Mapping[str, int]) -> Receipt:
        key, tag = self._bucket.spelled(receipt.parcel.name), receipt.etag or ""
        try:
            size = sizes.get(key)
            if size is None:
                meta = self._bucket.head(key)
                size = meta["size"] if meta else None
            self._agree(key, tag, receipt.parcel.size, size, "bytes")
        except Unreachable:
            raise
        except TransloadError as error:
            return replace(receipt, error=error)
        return replace(receipt, verified=Verify.SIZE)

    def _agree(self, key: str, tag: str, sent: object, stored: object, unit: str) -> None:
        if sent != stored:
            self._discard(key, tag)
            message = f"{self._bucket.remote.where()}: {spell(key.encode())}: {sent} {unit} were sent, {stored} arrived"
            raise Transient(message)

    def _discard(self, key: str, tag: str) -> None:
        """Remove what is not what was sent: its metadata would claim the right hash for ever."""
        meta = self._bucket.head(key)
        if meta is not None and (meta["e_tag"] or "").strip('"') == tag:
            self._bucket.delete(key)


def _changed(parcel: Parcel) -> Changed:
    return Changed(f"{parcel.file}: its bytes are not those that were hashed")
