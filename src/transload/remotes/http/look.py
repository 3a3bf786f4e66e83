"""What is there now, without its bytes: by HEAD, by one byte where HEAD is refused, or by the marker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from transload.errors import Busy
from transload.remotes.http.address import shown
from transload.remotes.http.answer import Told

if TYPE_CHECKING:
    from transload.remotes.http.settings import HttpFile
    from transload.remotes.http.web import Web

_AS_IT_IS = (401, 407, 408, 410, 425, 429)
_MARKER_LIMIT = 4096
_MILLISECONDS = 10**11


def look(web: Web, file: HttpFile) -> Told:
    """What the server, or the marker, tells of the file; raises what stands against it."""
    if file.marker:
        return _marker(web, file, file.marker)
    with web.asked("HEAD", file.url, query=file.query) as answer:
        if answer.status in (200, 203, 204):
            return answer.told
        # A server may refuse HEAD alone, with almost any code: an address signed for GET answers 403.
        if answer.status in _AS_IT_IS or (answer.status >= 500 and answer.status != 501):
            raise answer.refusal()
    with web.asked("GET", file.url, query=file.query, headers={"Range": "bytes=0-0"}) as answer:
        if answer.status not in (200, 203, 204, 206, 416):
            raise answer.refusal()
        return answer.told


def steady(told: Told, again: Callable[[], Told], *, wait: bool = True) -> Told:
    """`told`, without its time if that is made anew for every answer.

    A time that is the answer's own is the file's only if it stays, which a second look, a second later, shows.
    """
    if not told.young:
        return told
    if wait:
        time.sleep(1.1)
    now = again()
    return now if now.modified == told.modified else now._replace(modified=None, settles=False)


def _marker(web: Web, file: HttpFile, marker: str) -> Told:
    text = b""
    with web.asked("GET", marker, query=file.query) as answer:
        if answer.status != 200:
            raise answer.refusal()
        for block in answer.blocks():
            text += block
            if len(text) > _MARKER_LIMIT:
                break
    found = re.fullmatch(rb"(?:\xef\xbb\xbf)?\s*(\d{1,16})\s*", text)
    if found is None:
        message = f"{shown(marker)}: the marker holds no epoch second"
        raise Busy(message)
    epoch = int(found[1])
    return Told(None, epoch * (1000 if epoch >= _MILLISECONDS else 10**6), found[1].decode(), settles=True)
