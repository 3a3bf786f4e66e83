"""Sessions that say nothing, transfers that do not move: looked for once a second."""

from __future__ import annotations

from transload.config.server import SftpServer
from transload.servers.sftp.line import Line
from transload.servers.slow import why_slow


def look(line: Line, settings: SftpServer, now: float) -> None:
    """End the session on `line` if it must end; cut those of its uploads that must be cut."""
    caller = line.caller
    if caller is None or caller.visit is None:
        return  # asyncssh's own timer ends a login that takes too long
    if why := caller.visit.over:
        line.end(why)
        return
    heard = max([caller.since, *(talk.heard for talk in caller.talks)])
    if now - heard > settings.idle and not line.lands:
        line.end("idle for too long")
        return
    for talk in tuple(caller.talks):
        if talk.choked and now - talk.heard > settings.stalled:
            line.end("the answers are not read")
            return
        for file in talk.requests.incoming:
            free = file.fault is None and not talk.held
            if free and (reason := why_slow(file, settings, now)):
                talk.requests.cut_one(file, reason)
                if now - heard > settings.stalled:
                    line.end(reason)  # nothing else moves there either: the client is gone, or hangs
                    return
