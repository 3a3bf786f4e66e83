"""Accounts as people speak of them: add, change, remove, each checked before it is kept."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from pydantic import BaseModel, ValidationError

from transload.accounts.account import Account
from transload.accounts.homes import home_of
from transload.accounts.keys import parse
from transload.accounts.limits import Limits
from transload.accounts.passwords import Passwords, hashed, outdated
from transload.accounts.people import Known, People
from transload.accounts.proof import is_name
from transload.accounts.rights import ALL, Rights, folder_of
from transload.errors import ConfigError, Conflict

M = TypeVar("M", bound=BaseModel)
Methods = Literal["any", "key+password"]


class Settings(TypedDict, total=False):
    """What can be said of a user; sizes, rates and times as in a config. None takes a limit away."""

    password: str | None
    keys: Iterable[str]
    certificate: str | None
    methods: Methods
    home: str | os.PathLike[str] | None
    permissions: str
    folders: Mapping[str, str]
    enabled: bool
    quota: int | str | None
    quota_files: int | None
    upload_rate: int | str | None
    download_rate: int | str | None
    connection_upload_rate: int | str | None
    connection_download_rate: int | str | None
    sessions: int | None
    protocols: Iterable[str]
    addresses: Iterable[str]
    hours: str | None
    expires: datetime | str | None
    match: Iterable[str]
    min_size: int | str | None
    max_size: int | str | None


class Users:
    """The users of a server. What is changed here is felt by their sessions within five seconds. For any thread."""

    def __init__(
        self, people: People, base: Path, data: Path | None = None, *, again: bool = False, check: Callable[[Account], object] = repr
    ) -> None:
        """Those kept in `people`; homes are in `base` unless absolute, and show nothing else of `data`.

        With `again`, to add a user who is there is to make it what is said now, for programs that say so at each start. `check`
        may raise ConfigError for an account that is not to be.
        """
        self._people, self._base, self._data = people, base, data
        self._again, self._check = again, check

    def add(self, name: str, **settings: Unpack[Settings]) -> Account:
        """A new user. Without a password, key or certificate it exists, but cannot log in.

        `permissions` are letters: e enter, l list, r read, a append, d delete, f rename, m make folder, w write, M mode,
        T time; `folders` has others for folders of the home. Raises ConfigError that names what is wrong.
        """
        account = self.made(name, **settings)
        while True:
            known = self._people.find(name) if self._again else None
            if known is not None:
                account = _same_password(account, known.account, settings.get("password"))
                if account == known.account:
                    return account
            try:
                self._people.put(account, seen={name: known.stamp} if known is not None else {})
            except Conflict:
                if not self._again:
                    raise ConfigError(f'there is a user "{name}" already') from None
                continue  # somebody else has changed it just now
            return account

    def made(self, name: str, **settings: Unpack[Settings]) -> Account:
        """The account that `add` would keep; raises ConfigError that names what is wrong."""
        if not is_name(name):
            raise ConfigError(f"name: {_NAME}")
        blank = {"name": name, "home": home_of(name, None, self._base, None)}
        return self._with(blank, settings)

    def change(self, name: str, **settings: Unpack[Settings]) -> Account:
        """Change what is named, and leave the rest; raises ConfigError when there is no such user, or what is wrong."""
        while True:
            known = self._known(name)
            account = self._with({key: value for key, value in known.account}, settings)  # noqa: C416 - it has a field `keys`
            try:
                self._people.put(account, seen={name: known.stamp})
            except Conflict:
                continue  # somebody else has changed it just now: the same change to what it is now
            return account

    def put(self, accounts: Sequence[Account], *, replace: bool = False) -> None:
        """Keep what `made` has made: all or none; with `replace` also in the place of those there are. ConfigError names them else."""
        try:
            self._people.put(*accounts, seen=None if replace else {})
        except Conflict as error:
            raise ConfigError(f"there are users of these names already: {error}") from None

    def passwd(self, name: str, password: str) -> None:
        """Give a user another password; sessions that came in by the old one end."""
        self.change(name, password=password)

    def remove(self, name: str) -> None:
        """Take a user away; its files stay. Raises ConfigError when there is none of that name."""
        if not self._people.remove(name):
            raise ConfigError(self._none(name))

    def get(self, name: str) -> Account:
        """One user; raises ConfigError when there is none of that name."""
        return self._known(name).account

    def list(self) -> Sequence[Account]:
        """All users, by name."""
        return self._people.all()

    def _known(self, name: str) -> Known:
        known = self._people.find(name)
        if known is None:
            raise ConfigError(self._none(name))
        return known

    def _none(self, name: str) -> str:
        near = difflib.get_close_matches(name, [account.name for account in self._people.all()], 1)
        return f'there is no user "{name}"' + (f'; did you mean "{near[0]}"?' if near else "")

    def _with(self, before: dict[str, Any], settings: Mapping[str, Any]) -> Account:
        told = dict(settings)
        after = before | {"declared": False}  # what is changed by hand is no longer the config's
        unknown = told.keys() - Settings.__annotations__.keys()
        if unknown:
            raise ConfigError(f"{min(unknown)}: there is no such setting of a user")
        for key in ("certificate", "methods", "enabled"):
            if key in told:
                after[key] = told[key]
        if "password" in told:
            after["password"] = None if told["password"] is None else hashed(told["password"])
        if "keys" in told:
            after["keys"] = tuple(dict.fromkeys(_key(key) for key in told["keys"]))
        if "home" in told:
            after["home"] = home_of(after["name"], told["home"], self._base, self._data)
        rights: Rights = before.get("rights") or Rights()
        after["rights"] = rights_of(told.get("permissions", rights.letters), told.get("folders", rights.folders))
        limits = {key: value for key, value in told.items() if key in Limits.model_fields}
        after["limits"] = limits_of(before.get("limits") or Limits(), limits)
        account = _checked(Account, after)
        self._check(account)
        return account


def _same_password(account: Account, before: Account, password: str | None) -> Account:
    """The account with the hash that is kept already, if it is of this password: a new one would end the user's sessions."""
    kept = before.password
    same = password is not None and kept is not None and not outdated(kept) and Passwords().verify(kept, password)
    return account.model_copy(update={"password": kept}) if same else account


def rights_of(letters: str, folders: Mapping[str, str]) -> Rights:
    """Rights of these letters; ConfigError names what is no letter or no folder."""
    for key, text in (("permissions", letters), *folders.items()):
        wrong = [letter for letter in text if letter not in ALL]
        if wrong:
            raise ConfigError(f'{key}: there is no letter "{wrong[0]}"; there are {ALL}')
    return Rights(letters, {_folder(key): text for key, text in folders.items()})


def _folder(key: str) -> str:
    try:
        return folder_of(key)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def limits_of(before: Limits, told: Mapping[str, Any]) -> Limits:
    """These limits with what is told; None takes one away. ConfigError names what is wrong."""
    after = {key: getattr(before, key) for key in before.model_fields_set}
    for key, value in told.items():
        one = value if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
        if one is None or one == ():
            after.pop(key, None)
        else:
            after[key] = one
    return _checked(Limits, after)


def _key(line: object) -> str:
    if not isinstance(line, str):
        raise ConfigError("keys: wants public SSH keys, as in authorized_keys")
    try:
        return parse(line)
    except ConfigError as error:
        raise ConfigError(f"keys: {error}") from None


def _checked(model: type[M], values: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(fault_lines(error))) from None


def fault_lines(error: ValidationError) -> list[str]:
    """What pydantic found, one line for each setting, without the values: they may be secrets."""
    lines: dict[str, str] = {}
    for each in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in each["loc"])
        lines.setdefault(key, f"{key}: {_worded(each)}")
    return list(lines.values())


def _worded(each: Any) -> str:
    inner = each.get("ctx", {}).get("error")
    return (
        _WORDS.get(each["loc"][0]) or _KINDS.get(each["type"]) or (str(inner) if inner else each["msg"].replace("Input should be", "wants"))
    )


_KINDS = {"int_parsing": "wants a whole number", "int_from_float": "wants a whole number"}
_NAME = "wants at most 64 letters, digits, _, . and -, the first a letter or digit"
_WORDS = {
    "name": _NAME,
    "hours": "wants two times such as 08:00-18:00",
    "expires": "wants a time such as 2026-12-31 or 2026-12-31T18:00Z",
}

__all__ = ["Methods", "Settings", "Users", "fault_lines", "limits_of", "rights_of"]
