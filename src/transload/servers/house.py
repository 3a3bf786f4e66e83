"""The servers that a config describes, in one process: who may come in, where files land, and the doors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from transload import log
from transload.servers.declared import declare
from transload.servers.doors import Doors
from transload.servers.gate import Gate, doors, temper
from transload.servers.home import Homes
from transload.servers.landing import LedgerLanding
from transload.servers.memory import give_back_large_pieces
from transload.servers.pace import Paces
from transload.servers.posting import Posting
from transload.servers.visit import Stays

if TYPE_CHECKING:
    from transload.config import Config
    from transload.ledger import Ledger
    from transload.spool import Spool


class House:
    """Gate, landing and doors of the program."""

    def __init__(self, config: Config, ledger: Ledger, spool: Spool, node: str, wake: Callable[[], None]) -> None:
        """Nothing listens yet; the declared users are there. `wake` is called when something has landed. Raises ConfigError."""
        give_back_large_pieces()
        self._config, self._ledger = config, ledger
        self._declare(config)
        self._paces = Paces(config.servers.upload_rate, config.servers.download_rate)
        homes = Homes(config.data / "inbox")
        self._landing = LedgerLanding(config, ledger, spool, node, wake, homes)
        self._gate = Gate(
            ledger.people,
            ledger.bans,
            Stays(homes, self._landing, self._paces),
            doors=doors(config.servers),
            temper=temper(config.servers.bans),
        )
        self._doors = Doors(config.servers, config.data / "keys", self._gate)
        self._posting = Posting(config.data, node, ledger, self._gate, self._doors.ports)

    def _declare(self, config: Config) -> None:
        for line in declare(config.users, self._ledger.people, config.data):
            log.get("transload.servers").info(line)

    def start(self) -> None:
        """Open the doors; raises ConfigError, and none is open."""
        self._doors.start()
        self._posting.start()

    def stop(self) -> None:
        """Close the doors, let what has come land, and let nobody in any more."""
        self._doors.stop()
        self._landing.close()
        self._gate.close()
        self._posting.close()

    def change(self, config: Config) -> None:
        """Go on with another config, or raise ConfigError, and nothing has changed."""
        old = self._config
        self._doors.change(config.servers)
        try:
            self._declare(config)
        except BaseException:
            self._doors.change(old.servers)
            raise
        self._gate.change(doors(config.servers), temper(config.servers.bans))
        self._paces.change(config.servers.upload_rate, config.servers.download_rate)
        self._landing.change(config)
        self._config = config

    def port(self, server: str) -> int:
        """The port at which "ftp" or "sftp" listens; 0 when it does not."""
        return self._doors.port(server)


def opened(config: Config, ledger: Ledger, spool: Spool, node: str, wake: Callable[[], None]) -> House:
    """The house of that config with its doors open; raises ConfigError, and nothing is left of it."""
    house = House(config, ledger, spool, node, wake)
    try:
        house.start()
    except BaseException:
        house.stop()
        raise
    return house
