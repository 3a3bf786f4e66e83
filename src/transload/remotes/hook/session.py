"""A hook as a destination: to publish a delivery is to call the hook with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from transload.errors import ConfigError, Transient
from transload.model import Entry, Name, Parcel, Receipt, Staged
from transload.protocols import Arrived
from transload.remotes.base import RemoteSettings, SessionBase
from transload.remotes.hook import command, web
from transload.remotes.hook.calls import Calls
from transload.remotes.hook.copies import clear, copied
from transload.remotes.hook.functions import function_of
from transload.secret import Secret, scrub

_calls: dict[str, Calls] = {}
"""What is being called for each route: the hanging hook of one is not in the way of another's."""


class HookSession(SessionBase):
    """Calls one route's hook. What it was told of stays whole and readable until the call has ended."""

    in_turn = True

    def __init__(self, hook: HookRemote) -> None:
        """For the hook of one route."""
        self._hook = hook
        self.refused = []

    def stat(self, entry: Entry) -> Entry | None:  # noqa: ARG002 - there is nothing to look at
        return None

    def stage(self, parcels: Iterable[Parcel]) -> Iterator[Staged]:
        """There is nothing to prepare."""
        for parcel in parcels:
            yield Staged(parcel)

    def publish(self, staged: Iterable[Staged]) -> Iterator[Receipt]:
        """Call the hook for each, one after another; one that fails does not stop the next."""
        for one in staged:
            self._go_on()
            try:
                self._call(one.parcel)
            except (Transient, ConfigError) as error:
                yield Receipt(one.parcel, error=error)
            else:
                yield Receipt(one.parcel)

    def look(self, name: Name) -> Entry | None:  # noqa: ARG002 - a call leaves nothing to look at
        return None

    def hash(self, name: Name) -> str | None:  # noqa: ARG002 - the same
        return None

    def sweep(self, key: str, name: Name) -> None:  # noqa: ARG002 - the copies are called by the key alone
        clear(key, self._hook.folder)

    def _go_on(self) -> None:
        # It raises when this process is to stop.
        self.moved(0)

    def _call(self, parcel: Parcel) -> None:
        hook, arrived = self._hook, _arrived(parcel)
        calls = _calls.setdefault(hook.route, Calls())
        if hook.command is not None:
            with copied(parcel, hook.folder) as path:
                arrived = replace(arrived, path=path)
                command.run(hook.command, _json(asdict(arrived)), _facts(arrived), hook.cwd, hook.limit, self._go_on)
        elif hook.url is not None:
            facts = asdict(arrived)
            del facts["path"]
            work = partial(web.post, hook.url, _json(facts), hook.secret, hook.limit)
            calls.make(object(), work, hook.limit + 1, self._go_on)
        else:
            function = function_of(hook.route)
            work = partial(_in_python, function.call, parcel, arrived, hook.folder)
            calls.make((hook.route, arrived.id), work, function.timeout, self._go_on)


class HookRemote(RemoteSettings):
    """A route's hook: a command, a URL, or a function in Python."""

    session: ClassVar[type] = HookSession

    kind: Literal["hook"] = "hook"
    route: str
    folder: Path
    """Where the copies are for as long as a call takes."""
    cwd: Path
    command: tuple[str, ...] | None = None
    url: str | None = None
    secret: Secret | None = None
    limit: float = 60.0
    """How many seconds one call may take."""

    @contextmanager
    def connect(self) -> Iterator[HookSession]:
        """A session; there is nothing to connect to before the call."""
        yield HookSession(self)

    def where(self) -> str:
        """What is called, as logs and pages show it."""
        if self.command is not None:
            return f"command {self.command[0]}"
        return f"url {urlsplit(self.url).hostname}" if self.url is not None else "a function in Python"


def _in_python(function: object, parcel: Parcel, arrived: Arrived, folder: Path) -> None:
    with copied(parcel, folder) as path:
        try:
            function(replace(arrived, path=path))  # type: ignore[operator]
        except Exception as error:
            raise Transient(scrub(f"the hook raised {type(error).__name__}: {error}")) from error
        except SystemExit as error:
            raise Transient("the hook raised SystemExit") from error


def _arrived(parcel: Parcel) -> Arrived:
    told = parcel.metadata
    return Arrived(
        id=int(told["arrival"]),
        path="",
        name=told["name"],
        size=parcel.size,
        sha256=parcel.sha256,
        user=told["user"],
        client=told["client"],
        protocol=told["protocol"],
        time=float(told["time"]),
        route=told["route"],
    )


def _json(facts: object) -> bytes:
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":")).encode()


def _facts(arrived: Arrived) -> dict[str, str]:
    """The same for the environment."""
    return {f"TRANSLOAD_{key.upper()}": str(value) for key, value in asdict(arrived).items()}
