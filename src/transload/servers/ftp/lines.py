"""What clients say, line by line, before anybody makes sense of it."""

from __future__ import annotations

LONGEST = 2048
_IAC = 0xFF
_VERBS = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT", b"TRACE", b"PRI"})


class Nonsense(Exception):
    """No FTP client says such a thing: nothing that follows it is looked at."""


def next_line(said: bytearray) -> bytes | None:
    """Take the first line off `said`; None while it is not complete. Raises Nonsense."""
    end = said.find(b"\n")
    if end < 0:
        if len(said) > LONGEST:
            raise Nonsense("Line too long")
        return None
    if end > LONGEST:
        raise Nonsense("Line too long")
    if end == 0 or said[end - 1] != 0x0D:
        raise Nonsense("Lines end with CR LF")
    line = bytes(said[: end - 1])
    del said[: end + 1]
    if b"\r" in line and line.replace(b"\r\0", b"").count(b"\r"):
        raise Nonsense("Lines end with CR LF")
    if _IAC in line:
        line = without_telnet(line)
    return line


def without_telnet(line: bytes) -> bytes:
    """Without what Telnet puts before a command (IP, Synch), and with a doubled 0xFF as the one that it stands for."""
    while len(line) > 1 and line[0] == _IAC and 0xF0 <= line[1] < _IAC:
        line = line[3:] if line[1] >= 0xFB else line[2:]
    return line.replace(b"\xff\xff", b"\xff")


def parted(line: bytes) -> tuple[bytes, bytes]:
    """The command in capitals, and all that stands behind the one space. Raises Nonsense for what is another protocol."""
    verb, _, rest = line.partition(b" ")
    verb = verb.upper()
    if verb in _VERBS:
        raise Nonsense("This is an FTP server")
    return verb, rest


def beneath(cwd: bytes, path: bytes) -> bytes:
    """The absolute path that `path` means in the folder `cwd`, by its text alone; nothing is above the home."""
    out: list[bytes] = []
    for part in (path if path[:1] == b"/" else cwd + b"/" + path).split(b"/"):
        if part == b"..":
            del out[-1:]
        elif part not in (b"", b"."):
            out.append(part)
    return b"/" + b"/".join(out)
