"""A session with an object store: looking, fetching, delivering."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from transload.errors import Conflict, Missing, Permanent, Refused, Rejected, Unreachable
from transload.model import Entry, Fetched, Name, Parcel, Receipt, Staged, spell
from transload.remotes.base import SessionBase
from transload.remotes.objects.asking import Unsigned
from transload.remotes.objects.fetching import fetch
from transload.remotes.objects.plainly import pages_after
from transload.remotes.objects.putting import publish, stage
from transload.remotes.objects.telling import Unlistable
from transload.remotes.objects.unfinished import Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from obstore import ObjectMeta

    from transload.protocols import Spool
    from transload.remotes.objects.bucket import Bucket

MOST_ENTRIES = 10_000_000
DEEPEST = 64
PAGE = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ObjectSession(SessionBase):
    """For one thread; it uses a pool of its own for many objects at once."""

    def __init__(self, bucket: Bucket) -> None:
        self.refused = []
        self._bucket = bucket
        self._unfinished = Unfinished(bucket)
        self._pool = ThreadPoolExecutor(bucket.remote.parallel, thread_name_prefix="transload-objects")

    def close(self) -> None:
        """End the pool; whatever it still does is waited for."""
        self._unfinished.end()
        self._pool.shutdown(cancel_futures=True)

    def list(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """Every object below `folder`; a folder that holds nothing is empty, a bucket that is not there is Missing."""
        self.refused.clear()
        base = self._bucket.key(folder.encode("utf-8", "surrogateescape"))
        start = len(base) + 1 if base else 0
        count = 0
        for metas in self._pages(base, recursive=recursive):
            for meta in metas:
                count += 1
                if count > MOST_ENTRIES:
                    message = f"{self._bucket.remote.where()}: more than {MOST_ENTRIES:,} objects below {folder!r}"
                    raise Refused(message)
                entry = self._entry(folder, meta["path"][start:], meta)
                if entry:
                    yield entry
        if not count and base:
            yield from self._itself(folder, base)

    def _pages(self, base: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
        """As obstore tells it as far as it can, which is fast; the rest, or all, by requests of our own."""
        last = ""
        try:
            for page in self._told(base, recursive=recursive):
                if not (last or base) and self._is_bent(page):
                    with suppress(Unsigned):
                        yield from self._plainly(base, "", recursive=recursive)
                        return
                yield self._without_folder_markers(page)
                last = page[-1]["path"] if page else last
        except Unlistable as error:
            fault = error
        else:
            return
        try:
            yield from self._plainly(base, last, recursive=recursive)
        except Unsigned as error:
            raise Refused(f"{fault}; to pass over it: {error}") from error

    def _plainly(self, base: str, last: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
        for page in pages_after(self._bucket, base, last, recursive=recursive):
            yield [meta for meta in page if meta["size"] or not meta["path"].endswith("/")]

    def _is_bent(self, page: Sequence[ObjectMeta]) -> bool:
        """Whether a key begins with a slash: obstore drops it, and tells a key that is not there.

        In the order of keys such a one stands before all that begin with a digit or a letter, so one question is enough.
        """
        first = next((meta for meta in page if meta["path"] > "/" and meta["size"]), None)
        if first is None:
            return False
        try:
            there = self._bucket.head(first["path"])
        except Permanent:
            return False  # who may list and not look, or not without a key of encryption, hears of it when fetching
        return there is None or there["e_tag"] != first["e_tag"]

    def _told(self, base: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
        import obstore

        bucket = self._bucket
        if not recursive:
            yield bucket.ask(obstore.list_with_delimiter, bucket.store(), base or None, key=base)["objects"]
            return
        stream = iter(bucket.ask(obstore.list, bucket.store(), base or None, chunk_size=PAGE, key=base))
        while page := bucket.ask(next, stream, None, key=base):
            yield page

    def _without_folder_markers(self, page: Sequence[ObjectMeta]) -> Sequence[ObjectMeta]:
        """`page` without the empty objects "folder/" that some tools make: obstore shows them as an empty "folder"."""
        empty = [meta["path"] for meta in page if not meta["size"]]
        if not empty:
            return page
        markers = {key for key, found in zip(empty, self._pool.map(self._bucket.head, empty), strict=True) if found is None}
        return [meta for meta in page if meta["path"] not in markers]

    def _entry(self, folder: str, text: str, meta: ObjectMeta) -> Entry | None:
        try:
            name = Name(text)
        except Rejected as error:
            self.refused.append(str(error))
            return None
        if _CONTROL.search(text):
            self.refused.append(f"{name.text[:200]!r} holds a control character")
            return None
        if name.raw.count(b"/") > DEEPEST:
            self.refused.append(f"{name.text[:200]!r} is more than {DEEPEST} folders deep")
            return None
        return self._bucket.entry(folder, name, meta)

    def _itself(self, folder: str, base: str) -> Iterator[Entry]:
        meta = self._bucket.head(base)
        if meta is not None:
            parent, _, last = folder.rstrip("/").rpartition("/")
            yield self._bucket.entry(parent or ("/" if folder.startswith("/") else ""), Name(last), meta)

    def stat(self, entry: Entry) -> Entry | None:
        """The object as it is now, or None."""
        meta = self._bucket.head(self._bucket.key(entry.path))
        return None if meta is None else replace(self._bucket.entry(entry.folder, entry.name, meta), link=entry.link)

    def fetch(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        """Many at once; an object that was replaced since it was listed is Changed, never mixed."""
        return fetch(self._bucket, self._pool, entries, spool)

    def stage(self, parcels: Iterable[Parcel]) -> Iterator[Staged]:
        """Only checks that the store can hold each: an object is invisible until it is whole, so nothing lies about."""
        return stage(self._bucket, parcels)

    def publish(self, staged: Iterable[Staged]) -> Iterator[Receipt]:
        """Put each whole: small ones in one conditional request, large ones in parts that are completed at the end."""
        yield from publish(self._bucket, self._pool, self._unfinished, staged, self.moved)
        self._unfinished.end()

    def look(self, name: Name) -> Entry | None:
        """What is there under `name`, or None."""
        meta = self._bucket.head(self._bucket.spelled(name))
        return None if meta is None else self._bucket.entry("", name, meta)

    def hash(self, name: Name) -> str | None:
        """The SHA-256 that was written with the object by us, else of its bytes; None if absent."""
        return _hash(self._bucket, self._bucket.spelled(name))

    def sweep(self, key: str, name: Name) -> None:  # noqa: ARG002
        """What a dead try left of an upload in parts under `name` is gone on with by the next `publish`, or aborted at its end.

        No object ever has a temporary name.
        """
        self._unfinished.sweep(self._bucket.spelled(name))

    def remove(self, entry: Entry) -> None:
        """Remove the object; Missing when it is not there."""
        key = self._bucket.key(entry.path)
        if self._bucket.head(key) is None:
            raise Missing(self._about(key, "it is not there"))
        self._bucket.delete(key)

    def move(self, entry: Entry, to: Name) -> None:
        """Copy within the store, then remove; an identical object that is already there counts as copied."""
        key = self._bucket.key(entry.path)
        goal = self._bucket.key(replace(entry, name=to).path)
        found = self._bucket.head(key)
        if found is None:
            raise Missing(self._about(key, "it is not there"))
        if not self._copied(key, goal):
            there, here = self._bucket.head(goal), _hash(self._bucket, key)
            if there is None or there["size"] != found["size"] or _hash(self._bucket, goal) != here:
                raise Conflict(self._about(goal, "another object already has that name"))
        there = self._bucket.head(goal)
        if there is None or there["size"] != found["size"]:
            raise Unreachable(self._about(goal, "the copy is not whole"))
        self._bucket.delete(key)

    def _copied(self, key: str, goal: str) -> bool:
        import obstore

        safely = self._bucket.remote.copies_safely
        if not safely and self._bucket.head(goal) is not None:
            return False
        try:
            self._bucket.ask(obstore.copy, self._bucket.store(), key, goal, overwrite=not safely, key=key)
        except Conflict:
            return False
        return True

    def _about(self, key: str, text: str) -> str:
        return f"{self._bucket.remote.where()}: {spell(key.encode())}: {text}"


def _hash(bucket: Bucket, key: str) -> str | None:
    found = bucket.attributes(key)
    if found is None:
        return None
    told = found[1].get("sha256", "")
    return told if len(told) == sha256().digest_size * 2 and "delivery" in found[1] else bucket.read_back(key)
