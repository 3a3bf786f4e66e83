"""The sizes of many objects at once: one listing costs as much as one question."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from transload.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from transload.remotes.objects.bucket import Bucket

WORTH_IT = 16
PAGE = 5_000
OTHERS = 100


def listed_sizes(bucket: Bucket, keys: AbstractSet[str]) -> dict[str, int]:
    """The sizes of those of `keys` that lie beside enough others, and not among too many strangers; the rest is left out."""
    folders: defaultdict[str, set[str]] = defaultdict(set)
    for key in keys:
        folders[key.rpartition("/")[0]].add(key)
    sizes: dict[str, int] = {}
    for folder, wanted in folders.items():
        if len(wanted) >= WORTH_IT:
            # A key that no path can be made of spoils the listing, not the delivery.
            with suppress(Refused):
                _list(bucket, folder, wanted, sizes)
    return sizes


def _list(bucket: Bucket, folder: str, wanted: AbstractSet[str], sizes: dict[str, int]) -> None:
    import obstore

    stream = iter(bucket.ask(obstore.list, bucket.store(), folder or None, chunk_size=1000, key=folder))
    seen, missing = 0, len(wanted)
    while missing and seen < PAGE + OTHERS * len(wanted):
        page = bucket.ask(next, stream, None, key=folder)
        if not page:
            return
        seen += len(page)
        found = {meta["path"]: meta["size"] for meta in page if meta["path"] in wanted}
        missing -= len(found)
        sizes.update(found)
