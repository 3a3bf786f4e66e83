"""What a fetched file owes by its route: to whom, and under which name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transload.ledger import Owed
from transload.names import Facts, versioned

if TYPE_CHECKING:
    from transload.config import From, Route, To
    from transload.ledger import Wanted
    from transload.model import Entry, Fetched, Name


class Owing:
    """Renders the deliveries that the files of one route owe."""

    def __init__(self, route: Route) -> None:
        """For files of `route`."""
        self._route = route

    def of(self, wanted: Wanted, fetched: Fetched) -> list[Owed]:
        """The deliveries of one file; raises Rejected when a template makes no safe name of it."""
        spooled, route = fetched.spooled, self._route
        # The hook is told of what arrives; the others are owed what comes out of the steps.
        targets = self._hook if route.steps else route.destinations
        return self._arrived(targets, fetched.entry, spooled.sha256 if spooled else "", wanted.version)

    def told(self, entry: Entry, sha256: str, version: int) -> list[Owed]:
        """What one file owes to the hook alone, whatever the templates make of its name."""
        return self._arrived(self._hook, entry, sha256, version)

    @property
    def _hook(self) -> Sequence[To]:
        return self._route.destinations[len(self._route.to) :]

    def _arrived(self, targets: Sequence[To], entry: Entry, sha256: str, version: int) -> list[Owed]:
        groups = groups_of(self._route.source, entry.name, entry.path)
        return self._owed(targets, entry.name, entry.modified, sha256, version, groups)

    def stepped(self, name: Name, modified: int | None, sha256: str, version: int, groups: Mapping[str, str]) -> list[Owed]:
        """The same of what has come out of the route's steps."""
        return self._owed(self._route.to, name, modified, sha256, version, groups)

    def _owed(
        self, targets: Sequence[To], name: Name, modified: int | None, sha256: str, version: int, groups: Mapping[str, str]
    ) -> list[Owed]:
        facts = Facts(name, self._route.name, datetime.now(UTC), modified, sha256, version, groups)
        return [Owed(to.id, to.remote, to.name.render(facts), to.required, to.conflict, versioned) for to in targets if to.takes(name)]


def groups_of(source: From, name: Name, path: bytes) -> Mapping[str, str]:
    """What `match` names in `name`; and, of what a user of our servers sent, the user, with which its whole `path` begins."""
    groups = source.wanted.groups(name)
    if source.server:
        return {"user": path.partition(b"/")[0].decode("utf-8", "surrogateescape"), **groups}
    return groups
