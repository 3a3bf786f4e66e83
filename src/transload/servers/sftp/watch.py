"""Sessions that say nothing, transfers that do not move: looked for once a second."""

from __future__ import annotations

from transload.config.server import SftpServer
from transload.servers.sftp.files import Incoming
from transload.servers.sftp.line import Line
from transload.servers.sftp.talk import Talk

_MINUTE = 60.0


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
            if reason := _slow(file, talk, settings, now):
                file.cut(reason)
                if now - heard > settings.stalled:
                    line.end(reason)  # nothing else moves there either: the client is gone, or hangs
                    return


def _slow(file: Incoming, talk: Talk, settings: SftpServer, now: float) -> str:
    if file.fault is not None or talk.held:
        return ""
    if now - file.moved > settings.stalled:
        return f"no byte came for {settings.stalled:g} s"
    if now - file.began > settings.deadline:
        return f"it took longer than {settings.deadline:g} s"
    since, count = file.judged
    if settings.least_rate and now - since >= _MINUTE:
        file.judged = (now, file.count)
        if file.count - count < settings.least_rate * (now - since):
            return f"it was slower than {settings.least_rate:g} bytes a second"
    return ""
