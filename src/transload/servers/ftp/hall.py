"""What all sessions of one FTP server share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from transload import log
from transload.config.server import FtpServer
from transload.errors import TransloadError
from transload.servers.base import Gate
from transload.servers.ftp.holders import Holders

if TYPE_CHECKING:
    from transload.servers.ftp.incoming import Incoming
    from transload.servers.ftp.loop import Loop
    from transload.servers.ftp.ports import Ports
    from transload.servers.ftp.session import Session
    from transload.servers.ftp.tls import Contexts

T = TypeVar("T")


@dataclass(slots=True)
class Hall:
    """Lives in the loop."""

    settings: FtpServer
    gate: Gate
    loop: Loop
    ports: Ports
    contexts: Contexts | None
    logins: Executor
    work: Executor
    """For what may take longer than the other sessions should wait."""
    sums: Executor
    """For what may take as long as it likes: nobody else waits for it."""
    sessions: set[Session] = field(default_factory=set)
    orphans: set[Incoming] = field(default_factory=set)
    """Uploads whose sessions are over, while their last bytes come in."""
    holders: Holders = field(init=False)

    def __post_init__(self) -> None:
        """As they have come in."""
        self.holders = Holders(self.work.submit)

    def aside(self, where: Executor, ask: Callable[[], T], answer: Callable[[T | TransloadError], None]) -> None:
        """Do `ask` in a thread; its result, or its error, goes to `answer` in the loop."""

        def asked() -> None:
            try:
                found: T | TransloadError = ask()
            except TransloadError as error:
                found = error
            except Exception:  # noqa: BLE001 - the session must hear that it ended
                log.get("transload.ftp").exception("a fault inside the FTP server")
                found = TransloadError("a fault inside the server")
            if not self.loop.call(answer, found):
                answer(found)  # the server has stopped, and every session is closed: what was found is let go of

        where.submit(asked)
