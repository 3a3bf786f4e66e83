"""Who may come in: proofs, limits, caps and bans, the same for every protocol; and what a change means for those who are in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from transload.accounts import Account, Login, proof
from transload.accounts.addresses import plain
from transload.accounts.passwords import Passwords, hashed, outdated
from transload.accounts.people import Bans, Known, People
from transload.config.server import Bans as ConfiguredBans
from transload.config.server import FtpServer, Server, Servers
from transload.errors import Busy, Denied, LedgerAway, TransloadError
from transload.servers.base import Visit
from transload.servers.seats import Seat, Seats
from transload.servers.strikes import Strikes, Temper

Visits = Callable[[Seat], Visit]
"""Begins a session in a seat: it goes by `seat.account`, ends once `seat.over` says why, and calls `seat.leave()` when it is closed."""
ANONYMOUS = "anonymous"
_LOOK = 2.0
_TIDY = 3600.0


@dataclass(frozen=True, slots=True)
class Door:
    """What holds for one server (FTP with FTPS, or SFTP)."""

    sessions: int = 1024
    sessions_per_address: int = 256
    sessions_per_user: int = 256
    anonymous: bool = False


class Gate:
    """Lets in who may come in, and watches those who are in. For any thread."""

    def __init__(
        self,
        people: People,
        bans: Bans,
        visits: Visits,
        *,
        doors: Mapping[str, Door] | None = None,
        temper: Temper | None = None,
    ) -> None:
        """`doors` has a Door for "ftp" (FTP and FTPS) and for "sftp"; raises LedgerAway when bans cannot be read."""
        self._people, self._visits = people, visits
        self._doors = dict(doors or {})
        self._seats, self._passwords = Seats(), Passwords()
        self._strikes = Strikes(bans, temper or Temper())
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watching, name="gate", daemon=True)
        self._watch.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No one comes in any more; who is in has to go."""
        self._closing.set()
        self._watch.join()
        for seat in self._seats.taken():
            seat.over = seat.over or "the server stops"

    # Connections

    def greet(self, protocol: str, address: str) -> None:
        """A connection came, not logged in yet. Raises Denied (banned) or Busy (too many): drop it with a word. Never waits."""
        address = plain(address)
        if self._closing.is_set():
            raise Busy("the server stops")
        banned = self._strikes.banned(address)
        if banned:
            raise Denied(banned)
        name, door = self._door(protocol)
        self._seats.come(name, address, door.sessions, door.sessions_per_address)

    def gone(self, protocol: str, address: str) -> None:
        """A connection that was greeted is over."""
        self._seats.go(self._door(protocol)[0], plain(address))

    def _door(self, protocol: str) -> tuple[str, Door]:
        name = "sftp" if protocol == "sftp" else "ftp"
        return name, self._doors.get(name, Door())

    # Logging in

    def has_key(self, user: str, key: str) -> bool:
        """Whether that user may show this public key ("ssh-ed25519 AAAA..."); no proof, and no ban, yet."""
        known = self._find(user)
        return known is not None and known.account.enabled and proof.has_key(known.account, key)

    def methods(self, user: str) -> str:
        """Either "any" or "key+password"; "any" for users that do not exist."""
        known = self._find(user)
        return known.account.methods if known else "any"

    def admit(self, login: Login) -> Visit:
        """Log in. Takes up to a second (argon2, delays for wrong ones): call it in a thread.

        Raises Denied with a text for the log (the client hears nothing but "Login incorrect"), or Busy.
        """
        login = replace(login, address=plain(login.address))
        try:
            known = self._proved(login)
        except LedgerAway as error:
            raise Busy(f"no one can log in: {error}") from error
        _, door = self._door(login.protocol)
        seat = self._seats.take(known, login, known.account.limits.sessions or door.sessions_per_user)
        try:
            return self._visits(seat)
        except BaseException:
            seat.leave()
            raise

    def _proved(self, login: Login) -> Known:
        if self._closing.is_set():
            raise Busy("the server stops")
        with self._strikes.trying(login.user, login.address):
            begun = time.monotonic()
            known = self._find(login.user)
            proved = self._is_proved(known, login)
            if known is not None and proved:
                why = self._kept_out(known.account, login)
            else:
                why = "wrong password, key or certificate" if known else "there is no such user"
                if login.password is not None:  # keys and certificates are not guessed
                    self._strikes.wrong(login.user, login.address)
        if known is None or why:
            if login.password is not None:
                # All are answered after the same time, whatever the look at a hash took: one of another program may take longer.
                self._closing.wait(max(0.0, begun + self._strikes.delay(login.user, login.address) - time.monotonic()))
            raise Denied(f"{login.user}: {why}")
        self._strikes.right(login.user, login.address)
        if login.password is not None and known.account.password and outdated(known.account.password):
            known = self._renewed(known, login.password)
        return known

    def _find(self, user: str) -> Known | None:
        # What cannot be a name is not looked for; the way on is the same.
        return self._people.find(user) if proof.is_name(user) else None

    def _is_proved(self, known: Known | None, login: Login) -> bool:
        account = known.account if known else None
        if login.user == ANONYMOUS and self._door(login.protocol)[1].anonymous:
            return account is not None
        right = login.password is not None and self._passwords.verify(account.password if account else None, login.password)
        return account is not None and login.user != ANONYMOUS and proof.suffices(account, login, password=right)

    @staticmethod
    def _kept_out(account: Account, login: Login) -> str:
        """Why this account may not come in though it is who it says, or nothing."""
        return account.limits.admits(login.protocol, login.address, datetime.now(UTC)) if account.enabled else "it is disabled"

    def _renewed(self, known: Known, password: str) -> Known:
        newer = hashed(password)
        self._people.rehashed(known, newer)
        return Known(known.account.model_copy(update={"password": newer}), known.stamp)

    # Those who are in

    def present(self) -> list[Seat]:
        """The sessions that there are now."""
        return self._seats.taken()

    def change(self, doors: Mapping[str, Door], temper: Temper) -> None:
        """Go on with other numbers: whoever comes from now on meets them."""
        self._doors, self._strikes.temper = dict(doors), temper

    def _watching(self) -> None:
        tidied = 0.0
        while not self._closing.wait(_LOOK):
            with suppress(TransloadError):  # the ledger is away: those who are in stay, and it is looked again
                self.look()
                if time.monotonic() - tidied > _TIDY:
                    self._strikes.tidy()
                    tidied = time.monotonic()

    def look(self) -> None:
        """Let those who are in, and those who are shut out, feel what was changed; done every two seconds."""
        self._strikes.refresh()
        seats = self._seats.taken()
        if not seats:
            return
        stamps = self._people.stamps({seat.account.name for seat in seats})
        changed = {seat.account.name for seat in seats if stamps.get(seat.account.name) != seat.stamp}
        found = {name: self._people.find(name) for name in changed}
        for seat in seats:
            name = seat.account.name
            seat.over = seat.over or (_changed(seat, found[name]) if name in found else "") or self._kept_out(seat.account, seat.login)


def _changed(seat: Seat, known: Known | None) -> str:
    """Give a session its changed account; why it must end, or nothing."""
    if known is None:
        return "the account was removed"
    why = proof.undone(seat.account, known.account, seat.login)
    if not why:
        seat.account, seat.stamp = known
    return why


def doors(servers: Servers) -> dict[str, Door]:
    """The doors as the config has them."""
    told: dict[str, Server | None] = {"ftp": servers.ftp, "sftp": servers.sftp}
    return {
        name: Door(one.sessions, one.sessions_per_address, one.sessions_per_user, isinstance(one, FtpServer) and one.anonymous)
        for name, one in told.items()
        if one is not None
    }


def temper(bans: ConfiguredBans) -> Temper:
    """What is borne, as the config has it."""
    return Temper(bans.after, bans.after_any, bans.time, bans.longest, allow=bans.allow)


__all__ = ["ANONYMOUS", "Door", "Gate", "Temper", "Visits", "doors", "temper"]
