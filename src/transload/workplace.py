"""What a worker has at hand: config, ledger, spool, connections, and what it tells of its progress."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

from transload import log
from transload.errors import Awaited, Busy, Changed, ConfigError, Full, Permanent, TransloadError, Unreachable
from transload.ledger import Trouble, now
from transload.protocols import HOOK, STEPS
from transload.quarantine import Keys, Vault
from transload.remotes.base import RemoteSettings, SessionBase
from transload.remotes.hook import HookRemote
from transload.units import printable

_GIVEN_UP = 60.0
"""How long (seconds) a run leaves what it has given up alone at least: a short back-off would keep it going for ever."""
_AT_ONCE = 4
"""How many calls of one hook go on at once."""

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from transload.config import Backoff, Config, Route
    from transload.intake import Intake
    from transload.ledger import Claim, Ledger
    from transload.spool import Spool


def hooks_of(config: Config) -> dict[str, RemoteSettings]:
    """The hooks of all routes, as the destinations that they are."""
    return {to.remote: _hook(config, route) for route in config.routes for to in route.destinations if to.remote.startswith(HOOK)}


def _hook(config: Config, route: Route) -> HookRemote:
    told = route.on_received
    base = HookRemote(route=route.name, folder=config.data / "hooks", cwd=config.file.parent, connections=_AT_ONCE)
    if told is None:
        return base
    return base.model_copy(update={"command": told.command, "url": told.url, "secret": told.secret, "limit": told.timeout})


def vault_of(config: Config) -> Vault:
    """Where the bytes of what is kept apart lie."""
    return Vault(config.data / "quarantine", Keys(config.quarantine.key, config.quarantine.older_keys))


def node_of(data: Path) -> str:
    """A name for this data folder, kept in it, so that it is the same after a move or a new host name."""
    path = data / "node"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = f"{socket.gethostname()}-{uuid4().hex[:12]}"
        try:
            with path.open("x") as file:
                file.write(made + "\n")
        except FileExistsError:
            return path.read_text().strip()
        return made


class _OneByOne(SessionBase):
    in_turn = True


class StepsPlace(RemoteSettings):
    """Where the steps of a node are done: as many at once as it has processors."""

    session: ClassVar[type] = _OneByOne
    kind: Literal["steps"] = "steps"

    def where(self) -> str:
        """This place as logs show it."""
        return "the steps"


def steps_at(node: str, route: str) -> str:
    """What the steps of a route on a node are called among the remotes that are away, when nobody answers them."""
    return f"{STEPS}{node}/{route}"


def asked_by(route: Route, node: str) -> set[str]:
    """All remotes that a route's files on a node may wait for, and its steps."""
    return {route.source.remote, *(to.remote for to in route.destinations), steps_at(node, route.name)}


def steps_of(node: str) -> dict[str, RemoteSettings]:
    """The place of this node's steps."""
    return {f"{STEPS}{node}": StepsPlace(connections=max(2, len(os.sched_getaffinity(0))))}


@dataclass(frozen=True, slots=True)
class Workplace:
    """All that pulling, delivering and settling need; made once per process, replaced whole when the config is reloaded."""

    config: Config
    ledger: Ledger
    spool: Spool
    intake: Intake
    worker: str
    node: str
    open: Callable[[str], AbstractContextManager[Any]]
    leave: Callable[[str, int], None] = field(default=lambda _remote, _count: None)
    told: Callable[[str, int, int], None] = field(default=lambda _what, _files, _bytes: None)
    once: bool = False
    stopping: Callable[[], bool] = field(default=lambda: False)
    go_on: Callable[[], None] = field(default=lambda: None)
    deliver: Callable[[Workplace, Claim], None] = field(default=lambda _work, _claim: None)
    beside: Mapping[str, RemoteSettings] = field(default_factory=dict)
    """What is opened by name and is no remote of the config: the homes of our servers' users, the hooks."""

    def place(self, name: str) -> RemoteSettings | None:
        """The remote of that name, or what takes the place of one."""
        return self.config.remotes.get(name) or self.beside.get(name)

    @property
    def vault(self) -> Vault:
        """Where the bytes of what is kept apart lie."""
        return vault_of(self.config)

    @property
    def connections(self) -> dict[str, int]:
        """How many connections each remote may have, and what takes the place of one."""
        return {name: place.connections for places in (self.config.remotes, self.beside) for name, place in places.items()}

    def route(self, name: str) -> Route:
        """The route of that name; ConfigError when the config has it no more."""
        return self.config.route(name)

    def trouble(self, number: int, route: Route, attempts: int, error: TransloadError) -> Trouble:
        """The same as `means`, and it is logged."""
        told = self.means(number, route, attempts, error)
        self.say(route, told)
        return told

    def say(self, route: Route, told: Trouble, **more: int) -> None:
        """Log what a trouble means."""
        # A run tells of what has failed at its end.
        say = self._log.error if told.until is None and not self.once else self._log.warning
        say("failed" if told.until is None else "tried again later", route=route.name, reason=told.reason, **more)

    def means(self, number: int, route: Route, attempts: int, error: TransloadError) -> Trouble:
        """What a file's error means for it: again at a time, or failed at once.

        What is permanent fails. Nobody answering, being busy, having no room, and a file that is still being written are
        tried again for ever; anything else ends after the route's attempts.
        """
        reason = printable(str(error))
        if isinstance(error, Permanent | ConfigError):
            return Trouble(number, reason)
        if isinstance(error, Awaited) and self.once:
            return Trouble(number, reason, self.later(route, route.attempts), route.attempts)
        if isinstance(error, Unreachable | Busy | Full | Changed):
            return Trouble(number, reason, self.later(route, attempts))
        if attempts + 1 >= route.attempts:
            return Trouble(number, f"{reason} (tried {attempts + 1} times)")
        return Trouble(number, reason, self.later(route, attempts))

    def away(self, remote: str, route: Route, error: TransloadError) -> tuple[int, bool]:
        """The remote cannot be used at present: nothing is formed for it until a time that grows with every failure.

        Gives that time, and whether a run has given the remote up. It is logged when it begins, and when the reason is another.
        """
        before = self.ledger.fleet.trips().get(remote)
        failures = before.failures if before else 0
        # A wrong password is not asked again three times in one run.
        weight = route.attempts if isinstance(error, Permanent | ConfigError) else 1
        if before is None or before.reason != str(error):
            say = self._log.warning if self.once else self._log.error
            say("a remote cannot be used", remote=remote, route=route.name, reason=str(error))
        until = self.later(route, failures)
        failures = self.ledger.fleet.unreachable(remote, str(error), until, weight)
        return until, self.once and failures >= route.attempts

    def answers(self, remote: str) -> None:
        """The remote can be used; where it could not the last time, that is logged."""
        for trip in self.ledger.fleet.reachable(remote):
            self._log.info("a remote can be used again", remote=remote, tried=trip.failures, reason=trip.reason)

    @property
    def _log(self) -> FilteringBoundLogger:
        return log.get("transload.work")

    def later(self, route: Route, attempts: int) -> int:
        """When the try after `attempts` failed ones is due.

        What a run has given up is not due again while other files keep it going: the next run begins anew.
        """
        given_up = self.once and attempts + 1 >= route.attempts
        return now() + round((max(route.backoff.cap, _GIVEN_UP) if given_up else pause(route.backoff, attempts)) * 1e6)


def pause(backoff: Backoff, attempts: int) -> float:
    """How long (seconds) to wait after `attempts` failed tries: doubling, up to the cap, with jitter."""
    return min(backoff.cap, backoff.first * 2.0 ** min(attempts, 30)) * random.uniform(0.75, 1.25)
