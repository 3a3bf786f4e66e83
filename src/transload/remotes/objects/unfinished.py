"""Uploads in parts that nobody will complete: invisible in the store, and paid for until somebody aborts them."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from transload.errors import Permanent, TransloadError
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
        self._swept: dict[str, Sequence[str]] = {}

    def sweep(self, key: str) -> None:
        """All uploads of exactly this key that are there now are to be gone on with, or given up when `end` is called.

        Who may not ask leaves them to the bucket's lifecycle rule: they hinder nobody.
        """
        if self._bucket.remote.keeps_parts:
            with suppress(Permanent):
                self._swept[key] = self._of(key)

    def newest(self, key: str) -> str | None:
        """What the last try has left of this key, if it left anything; what is older is given up when `end` is called."""
        if key not in self._swept:
            self.sweep(key)
        return next(reversed(self._swept.get(key, ())), None)

    def end(self) -> None:
        """Give up all that was swept, as far as the store lets us."""
        swept, self._swept = self._swept, {}
        for key, uploads in swept.items():
            for upload in uploads:
                with suppress(TransloadError):
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
