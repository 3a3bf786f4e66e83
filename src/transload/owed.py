"""What a fetched file owes by its route: to whom, and under which name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transload.ledger import Owed
from transload.names import Facts, versioned

if TYPE_CHECKING:
    from transload.config import From, Route
    from transload.ledger import Wanted
    from transload.model import Fetched, Name


class Owing:
    """Renders the deliveries that the files of one route owe."""

    def __init__(self, route: Route) -> None:
        """For files of `route`."""
        self._route = route

    def of(self, wanted: Wanted, fetched: Fetched) -> list[Owed]:
        """The deliveries of one file; raises Rejected when a template makes no safe name of it."""
        entry, spooled, route = fetched.entry, fetched.spooled, self._route
        facts = Facts(
            name=entry.name,
            route=route.name,
            now=datetime.now(UTC),
            modified=entry.modified,
            sha256=spooled.sha256 if spooled else "",
            version=wanted.version,
            groups=groups_of(route.source, entry.name, entry.path),
        )
        return [
            Owed(to.id, to.remote, to.name.render(facts), to.required, to.conflict, versioned)
            for to in route.destinations
            if to.takes(entry.name)
        ]


def groups_of(source: From, name: Name, path: bytes) -> Mapping[str, str]:
    """What `match` names in `name`; and, of what a user of our servers sent, the user, with which its whole `path` begins."""
    groups = source.wanted.groups(name)
    if source.server:
        return {"user": path.partition(b"/")[0].decode("utf-8", "surrogateescape"), **groups}
    return groups
