"""What a server answers, and what to do about it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from transload.errors import Busy, Conflict, Denied, Full, Missing, Refused, TransloadError, Unreachable
from transload.listing import stamp
from transload.model import spell

MAX_SIZE = 2**63
UNKNOWN = frozenset({500, 501, 502, 503, 504, 522})
_DENIED = re.compile(rb"permission|denied|access|not allowed|not permitted|forbidden|prohibited|read-only|privilege", re.IGNORECASE)
_MISSING = re.compile(rb"no such|not found|not exist|can(?:no|')t find|cannot find", re.IGNORECASE)
_FULL = re.compile(rb"no space|disk full|quota|insufficient|not enough (?:disk )?space|exceeded", re.IGNORECASE)
_TAKEN = re.compile(rb"exists", re.IGNORECASE)
_CROWDED = re.compile(rb"too many|maximum|limit|try again|max(?:\.| )? ?clients", re.IGNORECASE)


class Reply(NamedTuple):
    """One answer: its code and its lines."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def ok(self) -> bool:
        """Whether it is a yes, or a "go on"."""
        return self.code < 400

    @property
    def text(self) -> str:
        """The answer as a person can read it."""
        return spell(b" ".join(line.strip() for line in self.lines)[:300])


def fault(reply: Reply, what: str) -> TransloadError:
    """The error that `reply` amounts to, when we wanted `what`."""
    return _kind(reply)(f"{what}: the server answers {reply.text!r}")


def _kind(reply: Reply) -> type[TransloadError]:
    code, text = reply.code, b" ".join(reply.lines)
    if code in (450, 550, 553) or code == 530:
        return _by_text(code, text)
    return _BY_CODE.get(code) or _BY_CLASS.get(code // 100, Unreachable)


def _by_text(code: int, text: bytes) -> type[TransloadError]:
    if code == 530:
        return Busy if _CROWDED.search(text) else Denied
    for words, kind in ((_FULL, Full), (_MISSING, Missing), (_DENIED, Denied), (_TAKEN, Conflict)):
        if words.search(text):
            return kind
    return {450: Busy, 550: Missing}.get(code, Refused)


_BY_CODE: dict[int, type[TransloadError]] = {
    421: Busy,
    425: Busy,
    426: Unreachable,
    430: Denied,
    431: Denied,
    434: Unreachable,
    451: Busy,
    452: Full,
    521: Denied,
    522: Denied,
    532: Denied,
    533: Denied,
    534: Denied,
    535: Denied,
    536: Denied,
    552: Full,
}
_BY_CLASS: dict[int, type[TransloadError]] = {4: Busy, 5: Refused}


@contextmanager
def telling(where: str) -> Iterator[None]:
    """Foreign errors become ours; the message starts with `where`."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        message = f"{where}: the certificate is not to be trusted: {error.verify_message}"
        raise Denied(message) from error
    except ssl.SSLEOFError as error:
        # Its word on our certificate, or on our having none, can be lost when it hangs up.
        message = f"{where}: the server broke off TLS; it may want a client certificate (cert and key)"
        raise Unreachable(message) from error
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        # The other side's word on our certificate, or on our having none.
        kind = Denied if "alert" in reason and "certificate" in reason else Unreachable
        message = f"{where}: TLS failed: {reason}"
        raise kind(message) from error
    except TimeoutError as error:
        message = f"{where}: no answer in time"
        raise Unreachable(message) from error
    except (OSError, EOFError) as error:
        message = f"{where}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
        raise Unreachable(message) from error


def size_in(reply: Reply) -> int | None:
    """The size in the answer to SIZE, None where it tells none that can be."""
    words = reply.lines[0][4:].split() if reply.code == 213 else []
    return count(words[0]) if words else None


def count(text: bytes) -> int | None:
    """A number of bytes; None for what cannot be one."""
    if not text.isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if number < MAX_SIZE else None


def time_in(reply: Reply) -> int | None:
    """The UTC time in the answer to MDTM, None where it tells none that can be."""
    words = reply.lines[0][4:].split() if reply.code == 213 else []
    return stamp(words[0])[0] if words else None
