"""Sessions that say nothing, transfers that do not move: looked for again and again."""

from __future__ import annotations

from transload.config.server import FtpServer
from transload.servers.ftp.data import Transfer
from transload.servers.ftp.session import Session
from transload.servers.slow import why_slow

_COMING = 30.0
"""Seconds for a data connection to be made."""
_GOODBYE = 5.0
"""Seconds in which a client may read our last word."""
_STRANGERS = 2.0
"""The same, once somebody from elsewhere has tried to make it."""


def look(session: Session, settings: FtpServer, now: float) -> None:
    """End the session if it must end; cut its transfer if that must be cut."""
    if session.leaving is not None:
        if now - session.leaving > _GOODBYE:
            session.close()
        return
    if session.visit is None:
        if now - session.asked > settings.login_time and not session.busy:
            session.end(b"421 That took too long; goodbye")
        return
    transfer = session.transfer
    if transfer is not None and (transfer.landing or transfer.over):
        return
    if why := session.visit.over:
        part(session, why)
    elif transfer is not None:
        _look_at(session, transfer, settings, now)
    elif session.awaiting is not None and now - session.awaiting.since > _COMING:
        session.drop_data()
    elif not session.busy and now - session.heard > settings.idle:
        session.end(b"421 Nothing was said for too long; goodbye")


def part(session: Session, why: str) -> None:
    """End the session for this reason; its transfer breaks off."""
    said = why.encode("utf-8", "replace")
    session.part(b"426 " + said, b"421 " + said)


def _look_at(session: Session, transfer: Transfer, settings: FtpServer, now: float) -> None:
    if transfer.data is None:
        foreign = session.awaiting is not None and session.awaiting.strangers
        if now - transfer.began > min(_STRANGERS if foreign else _COMING, settings.stalled):
            said = b"425 The data connection came from another address" if foreign else b"425 No data connection was made"
            transfer.stop(said)
    elif not transfer.held:
        why = why_slow(transfer, settings, now)
        if why and now - max(transfer.moved, session.heard) > settings.stalled:
            session.part(b"426 " + why.encode(), b"421 Nothing moves; goodbye")
        elif why:
            transfer.stop(b"426 " + why.encode())
