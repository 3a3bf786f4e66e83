"""Where accounts and bans are kept: the interfaces. The ledger is one such place; the library has smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from transload.accounts.account import Account


class Known(NamedTuple):
    """An account, and what changes with every change of it."""

    account: Account
    stamp: int


class People(Protocol):
    """Who may come in. For any number of threads; a change is durable when the call returns."""

    def find(self, name: str) -> Known | None:
        """The account of that name."""

    def all(self) -> Sequence[Account]:
        """All accounts, by name."""

    def put(self, *accounts: Account, seen: Mapping[str, int] | None = None) -> None:
        """Make these, or replace those of their names: all or none.

        With `seen` only as long as their stamps are still these (none: there is none of that name); Conflict names those where
        it is otherwise.
        """

    def remove(self, name: str) -> bool:
        """Take it away; False when there is none of that name."""

    def stamps(self, names: Collection[str]) -> dict[str, int]:
        """The stamps of those that are (still) there."""

    def rehashed(self, known: Known, password: str) -> None:
        """The same password has got a newer hash; nothing if the account was changed meanwhile. Its stamp stays."""


class Ban(NamedTuple):
    """Wrong logins in a row of `key`: an address, or an address and a user; refused until then (microseconds)."""

    key: str
    strikes: int
    last: int
    until: int | None = None
    reason: str | None = None


class Bans(Protocol):
    """Wrong logins and what came of them. For any number of threads and processes."""

    def strike(self, counts: Mapping[str, Callable[[Ban | None], Ban]]) -> Sequence[Ban]:
        """One more wrong login for each of these keys: what was known of it goes into its function, what comes out is kept."""

    def all(self) -> Sequence[Ban]:
        """All that is known, the newest first."""

    def lift(self, keys: Collection[str]) -> int:
        """Forget these; tells how many there were."""

    def forget(self, before: int) -> None:
        """Forget those whose last wrong login, and ban, lie before that time."""


__all__ = ["Ban", "Bans", "Known", "People"]
