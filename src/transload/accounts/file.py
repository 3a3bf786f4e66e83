"""Accounts and bans in a file of their own, or in memory alone: for servers without a ledger."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transload import disk
from transload.accounts.account import Account
from transload.accounts.people import Ban, Known
from transload.errors import ConfigError, Conflict, LedgerAway


class JsonFile:
    """One JSON object in a file that only its owner reads: replaced whole and durably, by one writer at a time."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        """The file at `path`, made with the first change; None for memory alone. Raises ConfigError when it is damaged."""
        self._path = None if path is None else Path(path).absolute()
        self._lock = threading.RLock()
        self._seen: object = None
        self._held: dict[str, Any] = {}
        self.read()

    def read(self) -> dict[str, Any]:
        """What it holds now; not to be changed."""
        with self._lock:
            if self._path is None:
                return self._held
            try:
                found = self._path.stat()
                seen = found.st_ino, found.st_mtime_ns, found.st_size
                if seen != self._seen:
                    self._held, self._seen = self._loaded(self._path), seen
            except FileNotFoundError:
                self._held, self._seen = {}, None
            except OSError as error:
                raise LedgerAway(f"{self._path} cannot be read: {error.strerror}") from error
            return self._held

    @staticmethod
    def _loaded(path: Path) -> dict[str, Any]:
        try:
            held = json.loads(path.read_bytes())
        except ValueError as error:
            raise ConfigError(f"{path} is damaged: it is no JSON") from error
        if not isinstance(held, dict):
            raise ConfigError(f"{path} is damaged: it holds no JSON object")
        return held

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """What it holds, to be changed; written at the end, whole or not at all."""
        with self._lock, self._alone():
            held = dict(self.read())
            yield held
            if self._path is not None:
                self._write(self._path, json.dumps(held, indent=1).encode())
            self._held = held

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            disk.replace_file(path, data, 0o600)
            found = path.stat()
        except OSError as error:
            raise LedgerAway(f"{path} cannot be written: {error.strerror}") from error
        self._seen = found.st_ino, found.st_mtime_ns, found.st_size


class FilePeople:
    """Accounts in a file; what was changed there by another process is seen at the next look."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Those in the file at `path`, or in memory alone. Raises ConfigError when it is damaged."""
        self._file = JsonFile(path)

    def find(self, name: str) -> Known | None:
        """The account of that name, and what changes with every change of it."""
        held = self._file.read().get(name)
        return None if held is None else Known(_account(held), _stamp(held))

    def all(self) -> Sequence[Account]:
        """All accounts, by name."""
        return [_account(held) for _, held in sorted(self._file.read().items())]

    def put(self, *accounts: Account, seen: Mapping[str, int] | None = None) -> None:
        """Make these, or replace those of their names: all or none; with `seen` only where nothing was changed meanwhile."""
        with self._file.changing() as held:
            before = {one.name: _stamp(held[one.name]) for one in accounts if one.name in held}
            other = [one.name for one in accounts if seen is not None and before.get(one.name) != seen.get(one.name)]
            if other:
                raise Conflict(", ".join(other))
            held |= {one.name: one.model_dump(mode="json", exclude_defaults=True) for one in accounts}

    def remove(self, name: str) -> bool:
        """Take it away; False when there is none of that name."""
        with self._file.changing() as held:
            return held.pop(name, None) is not None

    def stamps(self, names: Collection[str]) -> dict[str, int]:
        """The stamps of those that are (still) there."""
        held = self._file.read()
        return {name: _stamp(held[name]) for name in names if name in held}

    def rehashed(self, known: Known, password: str) -> None:
        """The same password has got a newer hash; nothing if the account was changed meanwhile. Its stamp stays."""
        with self._file.changing() as held:
            name = known.account.name
            if name in held and _stamp(held[name]) == known.stamp:
                held[name] = held[name] | {"password": password, "first": held[name].get("first", held[name]["password"])}


def _account(held: Mapping[str, Any]) -> Account:
    return Account.model_validate({key: value for key, value in held.items() if key != "first"})


def _stamp(held: Mapping[str, Any]) -> int:
    """A number that tells one account from another; a newer hash of the same password (`first` is the older one) changes nothing."""
    told = {**held, "password": held.get("first", held.get("password"))}
    told.pop("first", None)
    return int.from_bytes(hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()[:7])


class FileBans:
    """Wrong logins in a file, or in memory alone."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Those in the file at `path`, or in memory alone. Raises ConfigError when it is damaged."""
        self._file = JsonFile(path)

    def strike(self, counts: Mapping[str, Callable[[Ban | None], Ban]]) -> Sequence[Ban]:
        """One more wrong login for each of these keys: what was known of it goes into its function, what comes out is kept."""
        with self._file.changing() as held:
            after = [count(Ban(*held[key]) if key in held else None) for key, count in counts.items()]
            held |= {ban.key: list(ban) for ban in after}
            return after

    def all(self) -> Sequence[Ban]:
        """All that is known, the newest first."""
        return sorted((Ban(*held) for held in self._file.read().values()), key=lambda ban: -ban.last)

    def lift(self, keys: Collection[str]) -> int:
        """Forget these; tells how many there were."""
        with self._file.changing() as held:
            return sum(held.pop(key, None) is not None for key in keys)

    def forget(self, before: int) -> None:
        """Forget those whose last wrong login, and ban, lie before that time."""
        with self._file.changing() as held:
            for key in [key for key, one in held.items() if max(Ban(*one).last, Ban(*one).until or 0) < before]:
                del held[key]
