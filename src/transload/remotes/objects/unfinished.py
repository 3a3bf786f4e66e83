"""Uploads in parts that nobody will complete: invisible in the store, and paid for until somebody aborts them."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from transload.errors import Permanent
from transload.remotes.objects.asking import asked
from transload.remotes.objects.plainly import decoded, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transload.remotes.objects.bucket import Bucket

FRESH = 5.0


class Unfinished:
    """What dead tries left, for a whole batch by one question where there is little of it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._known: Mapping[str, Sequence[str]] | None = {}
        self._until = 0.0

    def abort(self, key: str) -> None:
        """Give up all uploads of exactly this key that are there now.

        Who may not, or cannot ask, leaves them to the bucket's lifecycle rule: they hinder nobody.
        """
        if not self._bucket.remote.keeps_parts:
            return
        with suppress(Permanent):
            for upload in self._of(key):
                with suppress(Permanent):
                    asked(self._bucket, "DELETE", key, {"uploadId": upload})

    def _of(self, key: str) -> Sequence[str]:
        if monotonic() > self._until:
            prefix = self._bucket.remote.prefix
            try:
                self._known = self._below(f"{prefix}/" if prefix else "")
            except Permanent:
                self._known = {}
            self._until = monotonic() + FRESH
        known = self._below(key) if self._known is None else self._known
        return (known or {}).get(key, ())

    def _below(self, prefix: str) -> Mapping[str, Sequence[str]] | None:
        """By key; None when they are more than one answer holds."""
        answer = parsed(self._bucket, {"uploads": "", "encoding-type": "url", **({"prefix": prefix} if prefix else {})})
        if answer.findtext("{*}IsTruncated") == "true":
            return None
        found: defaultdict[str, list[str]] = defaultdict(list)
        for upload in answer.iterfind("{*}Upload"):
            found[decoded(upload.findtext("{*}Key"), answer)].append(upload.findtext("{*}UploadId") or "")
        return found
