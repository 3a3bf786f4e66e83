"""One file's bytes into a sink: resumed where it can be, judged before the first byte, counted to the last."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from email.utils import formatdate
from typing import TYPE_CHECKING

from transload.errors import Busy, Changed, Refused, Unreachable
from transload.model import Entry
from transload.remotes.http.address import suffix
from transload.remotes.http.answer import PARTIAL, Answer, Told
from transload.remotes.http.sink import Sink
from transload.remotes.http.web import Web
from transload.units import show_size

if TYPE_CHECKING:
    from transload.remotes.http.settings import HttpFile

_OVERLAP = 4096
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)
_A_PAGE = "a web page came where a file was expected (refuse_html = false takes it)"
_PACKED = {".gz": "gzip", ".tgz": "gzip", ".z": "compress", ".br": "br", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}


def same(one: Told, other: Told) -> bool:
    """Whether two answers tell of the same version, as far as they tell."""
    if one.modified is not None and other.modified is not None and not (one.young or other.young):
        return one.modified == other.modified
    return one.etag is None or other.etag is None or one.etag == other.etag


class Download:
    """Fetches the file of one entry; `told` is what its answer said of it."""

    def __init__(self, web: Web, file: HttpFile, entry: Entry, sink: Sink) -> None:
        self._web = web
        self._file = file
        self._entry = entry
        self._sink = sink
        self.told = Told()
        self.marked = file.marker is not None
        self.measured = True

    def run(self) -> None:
        """All bytes are in the sink; raises what stopped them. `measured` says whether the end was told, not only seen."""
        if self._sink.size and not self._resumed():
            self._sink.restart()
        if not self._sink.size:
            self._whole()

    def again(self) -> str:
        """The hash of a second download, of which nothing is kept."""
        digest = hashlib.sha256()
        with self._asked() as answer:
            self._judge(answer)
            for block in answer.blocks():
                digest.update(block)
        return digest.hexdigest()

    def _asked(self, span: str = "") -> AbstractContextManager[Answer]:
        headers = {"Range": f"bytes={span}"} | self._condition() if span else {}
        return self._web.asked("GET", self._file.url, query=self._file.query, headers=headers)

    def _condition(self) -> dict[str, str]:
        etag, modified = self._entry.etag or "", self._entry.modified
        if self.marked or not (etag or modified):
            return {}
        if etag and not etag.startswith("W/"):
            return {"If-Range": etag}
        return {"If-Range": formatdate(modified // 10**6, usegmt=True)} if modified else {}

    def _resumed(self) -> bool:
        """Whether the rest came: what is there already, up to the seam, is asked for again and compared."""
        have = self._sink.size
        seam = self._sink.tail(_OVERLAP)
        with self._asked(f"{have - len(seam)}-") as answer:
            size = answer.told.size or 0
            if answer.status != PARTIAL or size < have or answer.range != (have - len(seam), size - 1, size):
                return False
            self._judge(answer)
            return self._take(answer, size - have, seam)

    def _whole(self) -> None:
        with self._asked() as answer:
            self._judge(answer)
            self.measured = answer.length is not None or answer.chunked
            self._take(answer, answer.length)

    def _judge(self, answer: Answer) -> None:
        if answer.status not in (200, 203, PARTIAL) or (answer.status == PARTIAL and answer.range is None):
            raise answer.refusal()
        self.told = answer.told
        fault = self._unexpected(answer)
        if fault:
            message = f"{answer.what}: {fault}"
            raise Busy(message)
        self._plain(answer)
        self._fits(answer, self.told.size or 0)
        if not self.marked and not same(Told(self._entry.size, self._entry.modified, self._entry.etag), self.told):
            message = f"{answer.what}: it is another version than the one listed"
            raise Changed(message)

    def _unexpected(self, answer: Answer) -> str:
        kind = answer.header("content-type").partition(";")[0].strip().lower()
        if self._file.refuses_html and kind in ("text/html", "application/xhtml+xml"):
            return _A_PAGE
        if self._file.content_type and kind not in {wanted.lower() for wanted in self._file.content_type}:
            return f"{repr(kind) if kind else 'no content type'} came, expected {' or '.join(self._file.content_type)}"
        return ""

    def _plain(self, answer: Answer) -> None:
        encoding = answer.header("content-encoding").lower()
        if encoding in ("", "identity") or self._file.encoded:
            return
        if _PACKED.get(f".{suffix(self._file.url).rpartition('.')[2].lower()}") != encoding.removeprefix("x-"):
            message = f"{answer.what}: Content-Encoding {encoding[:40]!r}, though none was asked for (encoded = true takes it as it is)"
            raise Refused(message)

    def _fits(self, answer: Answer, size: int) -> None:
        if self._file.max_size is not None and size > self._file.max_size:
            message = f"{answer.what}: {show_size(size)} is more than max_size, {show_size(self._file.max_size)}"
            raise Refused(message)

    def _take(self, answer: Answer, expected: int | None, seam: bytes = b"") -> bool:
        """Write the body, without the `seam` that it must begin with; whether it does."""
        before = self._sink.size
        hashed = self._file.twice is not None or not self.measured
        for block in _without(seam, answer.blocks()):
            if block is None:
                return False
            if self._sink.size == 0 and self._file.refuses_html and _PAGE.match(block):
                message = f"{answer.what}: {_A_PAGE}"
                raise Busy(message)
            self._fits(answer, self._sink.size + len(block))
            self._sink.write(block, hashed=hashed)
        if expected is not None and self._sink.size - before != expected:
            message = f"{answer.what}: ended after {self._sink.size - before} of {expected} bytes"
            raise Unreachable(message)
        return True


def _without(seam: bytes, blocks: Iterator[bytes]) -> Iterator[bytes | None]:
    """The blocks after the `seam` that they begin with; None when they do not."""
    begun = b""
    while len(begun) < len(seam):
        block = next(blocks, None)
        if block is None:
            break
        begun += block
    if not begun.startswith(seam):
        yield None
    elif len(begun) > len(seam):
        yield begun[len(seam) :]
    yield from blocks
