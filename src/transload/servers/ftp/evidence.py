"""Whether a client is still there at the end of its upload: what tells a file that is whole from one whose client died.

When a program is killed, the system ends all its connections at once; that of the data looks just like the end of a file.
The control connection tells: it ends in the same moment, but the news may travel a little longer; and on a busy machine the dying
program may have to wait for its turn in between, for Linux closes what was opened last, the data, first. There the program itself tells,
where we may look at it (see `holders`); else we wait for as long as that may take.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from functools import cache

_LEAST = 0.0019
_MOST = 5.0
_NEAR = 0.002
"""Seconds of a round trip up to which nothing gets lost on the way."""
_REPEATED = 0.2
"""Seconds after which the system repeats what got lost, at least."""
_PROCESSORS = len(os.sched_getaffinity(0))
_TURN = 0.01
"""Seconds for which a program waits for its turn, for each other that wants a processor at the moment: half again what was measured."""
_ENDING = 1.0
"""Seconds in which a program that is ending closes its connections: we hear of it, and wait no longer."""
_ESTABLISHED, _CLOSE_WAIT = 1, 8


def round_trip(line: socket.socket) -> float:
    """Seconds to the client and back."""
    told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    smooth = int.from_bytes(told[68:72], sys.byteorder)
    least = int.from_bytes(told[148:152], sys.byteorder) if len(told) >= 152 else smooth
    # A client that has nothing to say acknowledges late, which looks like a long way.
    return min(smooth, 4 * least or smooth) / 1e6


def grace(line: socket.socket, lives: Callable[[], bool | None] | None) -> float:
    """For how long to look for a client that died: a few round trips, and on a long way one repetition.

    `lives` asks, of a client on this machine, whether its program goes on (True), is ending (False), or cannot be told of (None);
    None is for one elsewhere.
    """
    try:
        trip = round_trip(line)
    except OSError:
        return _LEAST
    if trip > _NEAR:
        return min(_MOST, 4 * trip + _REPEATED)
    least, goes_on = max(_LEAST, 3 * trip), lives is None or lives()
    if goes_on is None:
        return max(_TURN, least) + crowded()
    return least if goes_on else _ENDING


def crowded() -> float:
    """For how long a program may have to wait for a processor of this machine: nothing, unless more want one than there are."""
    try:
        running = int(os.pread(_loads(), 64, 0).split()[3].partition(b"/")[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return _TURN * max(0, running - 1 - _PROCESSORS) / _PROCESSORS


@cache
def _loads() -> int:
    return os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)


def there(line: socket.socket) -> bool:
    """Whether the client still holds its end of this connection, as far as we know by now."""
    try:
        return line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED
    except OSError:
        return False


def half_open(line: socket.socket) -> bool:
    """Whether we can still send to the client."""
    try:
        return line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (_ESTABLISHED, _CLOSE_WAIT)
    except OSError:
        return False
