"""The child: gives up what it does not need, reads the archives that it is handed, and tells on its standard output."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
from typing import Any, BinaryIO

from transload.errors import Busy, ConfigError, Rejected
from transload.steps.archives import others, streams, tars, zips
from transload.steps.archives.limits import Meter
from transload.steps.archives.wire import DONE, FAILED, LOCKED, NEEDS, READY, REJECTED, Telling

_NO_NEW_PRIVILEGES = 38
_FILES = 32
_LONGEST_ORDER = 1 << 16


def main() -> None:
    """Open one archive after the other: each comes with its order over the socket that is the standard input."""
    bound = False
    with socket.socket(fileno=0) as orders, os.fdopen(1, "wb", buffering=1 << 19) as out:
        while True:
            given, files, _, _ = socket.recv_fds(orders, _LONGEST_ORDER, 1)
            if not given:
                return
            order = json.loads(given)
            if not bound:
                _bind(order)
                bound = True
            told = Telling(out)
            told.say(READY)
            out.flush()
            with os.fdopen(files[0], "rb", buffering=1 << 18) as archive:
                told.say(*outcome(order, archive, told))
            out.flush()


def _bind(order: dict[str, Any]) -> None:
    """From here on: no memory, time, files or rights beyond what reading takes."""
    seconds = int(order["timeout"]) + 1
    for what, limit, slack in (
        (resource.RLIMIT_AS, order["memory"], 0),
        # Past the first its own signal ends it; SIGKILL, which is for the second, may come from anybody.
        (resource.RLIMIT_CPU, seconds, 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, _FILES, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        _, most = resource.getrlimit(what)
        most = limit + slack if most == resource.RLIM_INFINITY else min(limit + slack, most)
        resource.setrlimit(what, (min(limit, most), most))
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def outcome(order: dict[str, Any], archive: BinaryIO, told: Telling) -> tuple[bytes, bytes]:
    """The last frame: done, or why not."""
    try:
        _unpack(order, archive, told)
    except Rejected as error:
        return REJECTED, _encoded(error)
    except Busy as error:
        return LOCKED, _encoded(error)
    except ConfigError as error:
        return NEEDS, _encoded(error)
    except MemoryError:
        return REJECTED, _memory(order)
    except BrokenPipeError:
        raise
    except OSError as error:
        # The decompressors say "invalid data" so; only an error that has a number comes from the disk.
        return (FAILED, _encoded(error)) if error.errno else (REJECTED, b"cannot be read: " + _encoded(error))
    except Exception as error:  # noqa: BLE001 - lzma's and zstd's own kinds; whatever it is, the file is what caused it
        said = _encoded(error)
        short = any(word in said.lower() for word in (b"memory", b"alloc"))
        return REJECTED, _memory(order) if short else b"cannot be read: " + said
    return DONE, b""


def _unpack(order: dict[str, Any], archive: BinaryIO, told: Telling) -> None:
    kind, memory = order["kind"], order["memory"]
    size, ratio, members, total, used = order["meter"]
    meter = Meter(size, ratio, members, total, tuple(used))
    if kind == "zip":
        password = order["password"]
        zips.unpack(archive, meter, memory, password and password.encode("utf-8", "surrogateescape"), told)
    elif kind == "tar":
        tars.unpack(tars.Whole(archive, meter), told)
    elif kind in streams.KINDS:
        streams.unpack(kind, archive, meter, memory, told)
    else:
        others.unpack(kind, archive, meter, told)


def _encoded(error: BaseException) -> bytes:
    said = str(error) or type(error).__name__
    return said.encode("utf-8", "surrogateescape")


def _memory(order: dict[str, Any]) -> bytes:
    return b"needs more than %d MB of memory to open" % (order["memory"] // 1_000_000)
